"""The library of problem files that ships with the package. This module does not import the numerics."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path


def library() -> dict[str, Path]:
    """Paths of the library's problem files by name, in alphabetical order.

    In an installed package the files lie in its folder `library`, in a checkout in `problems` beside the package.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "library", package.parent / "problems"):
        if files := problem_files(folder):
            return files
    return {}


def suites() -> dict[str, Path]:
    """Paths of the library's suites by name: folders of problem files beside its problems."""
    folders = {path.parent for path in library().values()}
    return {path.name: path for folder in folders for path in sorted(folder.iterdir()) if path.is_dir() and problem_files(path)}


def problems() -> dict[str, Path]:
    """Paths of the library's problem files by name, and of those of its suites by "suite/name"."""
    return library() | {
        f"{suite}/{name}": path for suite, folder in suites().items() for name, path in problem_files(folder).items()
    }


def titles(files: Mapping[str, Path] | None = None) -> dict[str, str]:
    """Titles of problem files by name, by default of the library."""
    shown = library() if files is None else files
    return {name: tomllib.loads(path.read_text("utf-8")).get("title", "") for name, path in shown.items()}


def problem_files(folder: Path) -> dict[str, Path]:
    """Paths of the problem files in a folder by name, in alphabetical order."""
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}
