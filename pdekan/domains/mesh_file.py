"""Mesh files that meshio reads; faces are named by the file's physical groups."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated
from xml.etree import ElementTree

import meshio
import numpy as np
from annotated_types import Len

from pdekan.domains.base import DomainError
from pdekan.domains.mesh import Mesh
from pdekan.domains.quadrature import Array

File = Annotated[str, Len(1, 1000)] | os.PathLike[str]
SIMPLICES = {1: "line", 2: "triangle", 3: "tetra"}
ALLOWED = {"vertex", *SIMPLICES.values()}
PHYSICAL = "gmsh:physical"
TETGEN = (".node", ".ele")
DOLFIN = ".xml"
PLANE = 1e-9  # of the size: the largest difference in z of a plane mesh


def mesh(file: File, coordinates: tuple[str, ...] | None = None) -> Mesh:
    """Triangles or tetrahedra in a file that meshio reads; boundaries are named by its physical groups.

    Triangles lie in a plane z = const. coordinates: the default is x, y and in three dimensions z. A group of gmsh with a
    number and no name is "group" followed by the number. Raises DomainError for a file that cannot be read, for other kinds
    of cells, for a surface that is not plane, and as `Mesh`.
    """
    path = Path(file)
    found = _read(path)
    try:
        dimension = _dimension(found)
        points = np.asarray(found.points, dtype=float)
        cells = np.asarray(found.cells_dict[SIMPLICES[dimension]], dtype=np.int64)
        if dimension == 2:
            points = _flat(points, points[np.unique(cells)])
        return Mesh(points, cells, _groups(found, SIMPLICES[dimension - 1]), coordinates or ("x", "y", "z")[:dimension])
    except DomainError as error:
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


def _read(path: Path) -> meshio.Mesh:
    """The file by meshio's readers, because `meshio.read` prints, and ends the process on a file that it cannot read.

    The messages of readers are not passed on: they quote the file.
    """
    if not path.is_file():
        raise DomainError(f"{path}: no such file")
    if path.suffix.lower() == DOLFIN:
        raise DomainError(f"{path}: DOLFIN's XML is not read; convert it: `meshio convert {path.name} {path.stem}.xdmf`")
    endings = ["".join(path.suffixes[k:]).lower() for k in range(len(path.suffixes))]
    formats: list[str] = next(
        (meshio.extension_to_filetypes[end] for end in endings if end in meshio.extension_to_filetypes), []
    )
    if not formats:
        known = ", ".join(sorted(meshio.extension_to_filetypes))
        raise DomainError(f"{path}: no mesh format has this ending; known are {known}")
    failures = []
    for name in formats:
        try:
            return getattr(meshio, name).read(str(path))
        except Exception as error:  # readers raise any exception on a broken file
            failures.append(f"{name}: {type(error).__name__}")
    raise DomainError(
        f"{path}: not a mesh that meshio reads ({', '.join(failures)}); it is damaged, or its ending is that of another format"
    )


def _dimension(found: meshio.Mesh) -> int:
    kinds = {block.type for block in found.cells if len(block.data)}
    if kinds - ALLOWED:
        raise DomainError(f"cells of kind {', '.join(sorted(kinds - ALLOWED))}; straight triangles or tetrahedra are needed")
    for dimension in (3, 2):
        if SIMPLICES[dimension] in kinds:
            return dimension
    raise DomainError(f"no triangles and no tetrahedra, only {', '.join(sorted(kinds)) or 'nothing'}; save the cells too")


def _flat(points: Array, used: Array) -> Array:
    """The first two coordinates. Raises DomainError unless the third is the same for all used points."""
    if points.shape[1] == 3 and np.ptp(used[:, 2]) > PLANE * np.ptp(used, axis=0).max():
        low, high = used[:, 2].min(), used[:, 2].max()
        raise DomainError(f"triangles with z from {low} to {high}; a domain in two dimensions is in a plane z = const")
    return points[:, :2]


def _groups(found: meshio.Mesh, kind: str) -> dict[str, np.ndarray]:
    """Facets of a kind by the name of their group: meshio's cell sets, or else gmsh's physical groups."""
    parts: dict[str, list[np.ndarray]] = {}
    for name, sets in found.cell_sets.items():
        for block, rows in zip(found.cells, sets, strict=True):
            if block.type == kind and rows is not None and not name.startswith("gmsh:"):
                parts.setdefault(name, []).append(block.data[np.asarray(rows, dtype=int)])
    if not parts and PHYSICAL in found.cell_data:
        topology = list(SIMPLICES.values()).index(kind) + 1
        names = {int(tag): name for name, (tag, dimension) in found.field_data.items() if int(dimension) == topology}
        for block, tags in zip(found.cells, found.cell_data[PHYSICAL], strict=True):
            for tag in np.unique(tags[tags > 0]).tolist() if block.type == kind else []:
                parts.setdefault(names.get(tag, f"group{tag}"), []).append(block.data[tags == tag])
    return {name: np.concatenate(facets) for name, facets in parts.items() if sum(map(len, facets))}
