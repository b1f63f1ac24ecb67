"""The library of problem files that ships with the package. This module does not import the numerics."""

from __future__ import annotations

import tomllib
from pathlib import Path


def library() -> dict[str, Path]:
    """Paths of the library's problem files by name, in alphabetical order.

    In an installed package the files lie in its folder `library`, in a checkout in `problems` beside the package.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "library", package.parent / "problems"):
        files = {path.stem: path for path in sorted(folder.glob("*.toml"))}
        if files:
            return files
    return {}


def titles() -> dict[str, str]:
    """Titles of the library's problems by name."""
    return {name: tomllib.loads(path.read_text("utf-8")).get("title", "") for name, path in library().items()}
