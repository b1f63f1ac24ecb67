"""Mesh files that meshio reads; faces are named by the file's physical groups."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated
from xml.etree import ElementTree

from annotated_types import Len

from pdekan.domains.base import DomainError
from pdekan.domains.mesh import Mesh
from pdekan.domains.mesh_reader import MeshFileError, read

File = Annotated[str, Len(1, 1000)] | os.PathLike[str]
TETGEN = (".node", ".ele")
DOLFIN = ".xml"


def mesh(file: File, coordinates: tuple[str, ...] | None = None) -> Mesh:
    """Triangles or tetrahedra in a file that meshio reads; boundaries are named by its physical groups.

    Triangles lie in a plane z = const. coordinates: the default is x, y and in three dimensions z. A group of gmsh with a
    number and no name is "group" followed by the number. Raises DomainError for a file that cannot be read, for other kinds
    of cells, for a surface that is not plane, and as `Mesh`.
    """
    path = Path(file)
    if not path.is_file():
        raise DomainError(f"{path}: no such file")
    if path.suffix.lower() == DOLFIN:
        raise DomainError(f"{path}: DOLFIN's XML is not read; convert it: `meshio convert {path.name} {path.stem}.xdmf`")
    try:
        arrays = read(path)
        points, cells = arrays.pop("points"), arrays.pop("cells")
        groups = {name.removeprefix("group."): facets for name, facets in arrays.items()}
        return Mesh(points, cells, groups, coordinates or ("x", "y", "z")[: points.shape[1]])
    except (DomainError, MeshFileError) as error:
        raise DomainError(f"{path}: {error}") from error


def further_files(path: Path) -> list[Path]:
    """The files that meshio opens when it reads a mesh file, because that names them, or because the mesh is in two files."""
    ending = path.suffix.lower()
    if ending in TETGEN:
        return [path.parent / (path.stem + other) for other in TETGEN if other != ending]
    readers = {".xdmf": _data_of_xdmf, ".xmf": _data_of_xdmf, ".inp": _included}
    return readers[ending](path) if ending in readers else []


def _data_of_xdmf(path: Path) -> list[Path]:
    """The HDF5 files, beside the file, and the raw files, in the working directory, whose numbers XDMF refers to."""
    try:
        named = [(one.get("Format"), (one.text or "").strip()) for one in ElementTree.parse(path).iter()]
    except (ElementTree.ParseError, ValueError, LookupError):
        return []  # nothing can be read from it
    found = [path.resolve().parent / text.split(":")[0] for format_, text in named if format_ == "HDF"]
    return found + [Path(text).absolute() for format_, text in named if format_ == "Binary"]


def _included(path: Path) -> list[Path]:
    """The files that an Abaqus file includes, found as meshio finds them: in the working directory, or else beside the file."""
    found = []
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            keyword = line.partition(",")[0].strip().replace("*", "").upper()
            if keyword == "INCLUDE" and not line.startswith("**"):
                name = line.split("=")[-1].strip()
                found.append(Path(name).absolute() if Path(name).exists() else path.parent / name)
    return found
