"""Meshes for tests, with sizes and boundaries that are known without them."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from scipy.spatial import Delaunay

from pdekan.output.samples import Cells, Mesh


def kuhn(counts: tuple[int, ...]) -> tuple[np.ndarray, Cells]:
    """The box [0, n1] × … × [0, nd] as unit cubes, each of d! simplices around its diagonal (Kuhn 1960)."""
    steps = np.concatenate(
        [np.cumsum(np.eye(len(counts), dtype=int)[list(order)], axis=0)[None] for order in permutations(range(len(counts)))]
    )
    corners = np.concatenate([np.zeros_like(steps[:, :1]), steps], axis=1)  # (d!, d+1, d)
    cubes = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij"), axis=-1).reshape(-1, 1, 1, len(counts))
    numbers = (cubes + corners).reshape(-1, len(counts) + 1, len(counts))
    shape = tuple(n + 1 for n in counts)
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, len(counts))
    return points.astype(float), np.ravel_multi_index(tuple(np.moveaxis(numbers, -1, 0)), shape)


def square_with_hole() -> Mesh:
    """[0, 3]² less its middle square [1, 2]²."""
    points, cells = kuhn((3, 3))
    centres = points[cells].mean(axis=1)
    return Mesh(("x", "y"), points, cells[~((centres > 1) & (centres < 2)).all(axis=1)])


def any_box(d: int, seed: int = 0) -> Mesh:
    """Simplices of all sizes and shapes that fill [0, 1] × [0, 2] (× [0, 3]), every other one the wrong way round."""
    ends = np.arange(1.0, d + 1.0)
    inside = np.random.default_rng(seed).uniform(0.0, ends, (60, d))
    points = np.concatenate([np.stack(np.meshgrid(*[[0.0, b] for b in ends]), axis=-1).reshape(-1, d), inside])
    cells = np.array(Delaunay(points).simplices)
    cells[::2, :2] = cells[::2, 1::-1]
    return Mesh(("x", "y", "z")[:d], points, cells)
