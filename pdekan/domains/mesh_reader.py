"""Reading mesh files by meshio in a process of its own, whose time and memory are bounded.

meshio's readers loop without an end over some truncated files, allocate whatever size a file states, print, and end the
process. This file is executed as a script, without the package, so that the process starts quickly.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

SIMPLICES = {1: "line", 2: "triangle", 3: "tetra"}
ALLOWED = {"vertex", *SIMPLICES.values()}
PHYSICAL = "gmsh:physical"
PLANE = 1e-9  # of the size: the largest difference in z of a plane mesh
# What reading may take: seconds of the processor and bytes, and more of both for every byte of the file. The slowest readers
# take a second for a megabyte, and the largest lists of numbers are ten times as long as their texts.
SECONDS, SECONDS_PER_BYTE = 1.0, 5e-6
MEMORY, MEMORY_PER_BYTE = 1_000_000_000, 10
REFUSED = 3  # exit code: what was written is a message

Arrays = dict[str, np.ndarray[Any, Any]]


class MeshFileError(ValueError):
    """A file that is no mesh of triangles or tetrahedra."""


def read(path: Path) -> Arrays:
    """Points ``(n, d)`` as "points", cells ``(m, d + 1)`` as "cells", and facets ``(k, d)`` as "group." and their name.

    Raises MeshFileError for a file that cannot be read within the limits, and for other kinds of cells.
    """
    done = subprocess.run(
        [sys.executable, "-P", __file__, os.fspath(path)],  # -P: nothing is imported from the working directory
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        check=False,
    )
    if done.returncode == REFUSED:
        raise MeshFileError(done.stdout.decode())
    if done.returncode != 0:
        raise MeshFileError("reading takes too long or too much memory for a file of this size; it is damaged: save it again")
    with np.load(io.BytesIO(done.stdout), allow_pickle=False) as arrays:
        return dict(arrays)


def _limit(path: Path) -> None:
    """Limit this process's time and memory."""
    size = path.stat().st_size
    seconds = math.ceil(time.process_time() + SECONDS + SECONDS_PER_BYTE * size)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY + MEMORY_PER_BYTE * size,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _loaded(path: Path) -> Arrays:
    found = _by_meshio(path)
    dimension = _dimension(found)
    points = np.asarray(found.points, dtype=float)
    cells = np.asarray(found.cells_dict[SIMPLICES[dimension]], dtype=np.int64)
    if points.ndim != 2 or points.shape[1] < dimension:
        raise MeshFileError(f"points of shape {points.shape}; {dimension} coordinates each are needed")
    if len(cells) and (cells.min() < 0 or cells.max() >= len(points)):
        raise MeshFileError(f"a cell has point {cells.max()} or {cells.min()}; points are 0 … {len(points) - 1}")
    if dimension == 2:
        points = _flat(points, points[np.unique(cells)])
    groups = _groups(found, SIMPLICES[dimension - 1])
    return {"points": points, "cells": cells, **{f"group.{name}": facets for name, facets in groups.items()}}


def _by_meshio(path: Path) -> Any:
    """The file by the readers of its ending, because `meshio.read` prints, and ends the process on a file that it cannot read.

    The messages of readers are not passed on: they quote the file.
    """
    import meshio

    endings = ["".join(path.suffixes[k:]).lower() for k in range(len(path.suffixes))]
    known = meshio.extension_to_filetypes
    formats: list[str] = next((known[end] for end in endings if end in known), [])
    if not formats:
        raise MeshFileError(f"no mesh format has this ending; known are {', '.join(sorted(known))}")
    failures = []
    for name in formats:
        try:
            return getattr(meshio, name).read(str(path))
        except (Exception, SystemExit) as error:  # readers raise any exception on a broken file
            failures.append(f"{name}: {type(error).__name__}")
    raise MeshFileError(
        f"not a mesh that meshio reads ({', '.join(failures)}); it is damaged, or its ending is that of another format"
    )


def _dimension(found: Any) -> int:
    kinds = {block.type for block in found.cells if len(block.data)}
    if kinds - ALLOWED:
        raise MeshFileError(f"cells of kind {', '.join(sorted(kinds - ALLOWED))}; straight triangles or tetrahedra are needed")
    for dimension in (3, 2):
        if SIMPLICES[dimension] in kinds:
            return dimension
    raise MeshFileError(f"no triangles and no tetrahedra, only {', '.join(sorted(kinds)) or 'nothing'}; save the cells too")


def _flat(points: Any, used: Any) -> Any:
    """The first two coordinates. Raises MeshFileError unless the third is the same for all used points."""
    if points.shape[1] == 3 and np.ptp(used[:, 2]) > PLANE * np.ptp(used, axis=0).max():
        low, high = used[:, 2].min(), used[:, 2].max()
        raise MeshFileError(
            f"triangles with z from {low} to {high}; a domain in two dimensions is in a plane z = const; where they are the "
            "surface of a body, it has to be filled with tetrahedra: `tetgen -pq` makes a mesh of an STL or PLY file, whose "
            "name ends in .1.ele"
        )
    return points[:, :2]


def _groups(found: Any, kind: str) -> Arrays:
    """Facets of a kind by the name of their group: meshio's cell sets, or else gmsh's physical groups."""
    parts: dict[str, list[Any]] = {}
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


def _main(path: Path) -> int:
    """Write the arrays of a file, or a message, to the standard output, to which readers cannot print."""
    with os.fdopen(os.dup(1), "wb") as out, contextlib.redirect_stdout(io.StringIO()):
        try:
            _limit(path)
            content = io.BytesIO()
            np.savez(content, **_loaded(path))  # type: ignore[arg-type]
        except MeshFileError as error:
            out.write(str(error).encode())
            return REFUSED
        except Exception as error:  # what a reader returned is not consistent
            out.write(f"not a mesh that can be read ({type(error).__name__}); it is damaged: save it again".encode())
            return REFUSED
        out.write(content.getvalue())
    return 0


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1])))
