"""The library of problem files that ships with the package; nothing here imports the numerics."""

from __future__ import annotations

import tomllib
from pathlib import Path


def library() -> dict[str, Path]:
    """Names of the library's problems and the paths of their files, in alphabetical order.

    In an installed package the files lie in its folder `library`, in a checkout in `problems` beside the package.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "library", package.parent / "problems"):
        files = {path.stem: path for path in sorted(folder.glob("*.toml"))}
        if files:
            return files
    return {}


def titles() -> dict[str, str]:
    """Names of the library's problems and their titles."""
    return {name: tomllib.loads(path.read_text("utf-8")).get("title", "") for name, path in library().items()}
