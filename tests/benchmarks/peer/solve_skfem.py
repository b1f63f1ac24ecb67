"""scikit-fem: Lagrange elements of degree 2 or 4 on regular triangles, a sparse direct solve, mesh after mesh.

Every mesh is solved anew, mesh and assembly included; the quickest of three counts.
"""

from __future__ import annotations

import argparse

import numpy as np
from measure import Clock, Solution, main
from skfem import Basis, BilinearForm, ElementTriP2, ElementTriP4, LinearForm, MeshTri, condense
from skfem import solve as solve_system
from skfem.helpers import dot, grad
from statements import Array, Problem

ELEMENTS = {2: ElementTriP2, 4: ElementTriP4}
CELLS = {2: (8, 16, 32, 64, 128), 4: (4, 8, 16, 32, 64)}  # an axis; the finest have the same unknowns
REPEATS = 3


def finite_elements(problem: Problem, degree: int, cells: int) -> tuple[Basis, Array, int]:
    """The basis, the solution's coefficients, and how many of them were solved for."""

    @BilinearForm  # type: ignore[untyped-decorator]
    def operator(u, v, w):  # type: ignore[no-untyped-def]
        x, y = w.x
        bx, by = problem.b(x, y)
        slope = grad(u)
        return problem.k(x, y) * dot(slope, grad(v)) + (bx * slope[0] + by * slope[1] + problem.c(x, y) * u) * v

    @LinearForm  # type: ignore[untyped-decorator]
    def source(v, w):  # type: ignore[no-untyped-def]
        return problem.f(*w.x) * v

    axes = (np.linspace(a, b, cells + 1) for a, b in zip(problem.lower, problem.upper, strict=True))
    basis = Basis(MeshTri.init_tensor(*axes), ELEMENTS[degree]())
    boundary = basis.get_dofs().all()
    coefficients = basis.zeros()
    coefficients[boundary] = problem.boundary(basis.doflocs[:, boundary].T)
    system = condense(operator.assemble(basis), source.assemble(basis), x=coefficients, D=boundary)
    return basis, solve_system(*system), basis.N - len(boundary)


def locate(basis: Basis, points: Array) -> Array:
    """The triangle that each point lies in: of the two that share its square of the tensor mesh the one it is deeper in."""
    corners, centres = basis.mesh.p, basis.mesh.p[:, basis.mesh.t].mean(1)
    lower, cells = corners.min(1), round((basis.mesh.nelements / 2) ** 0.5)
    width = (corners.max(1) - lower) / cells

    def square(p: Array) -> Array:
        i, j = np.clip((p - lower[:, None]) // width[:, None], 0, cells - 1).astype(int)
        return i * cells + j

    pairs = np.argsort(square(centres)).reshape(-1, 2)[square(points.T)]
    depths = []
    for triangles in pairs.T:
        x, y = basis.mapping.invF(points.T[:, :, None], tind=triangles)[:, :, 0]
        depths.append(np.minimum(np.minimum(x, y), 1 - x - y))
    return np.where(depths[0] >= depths[1], *pairs.T)


def interpolant(basis: Basis, coefficients: Array) -> Solution:
    """The finite-element function with its gradient."""

    def solution(points: Array) -> tuple[Array, Array]:
        triangles = locate(basis, points)
        local = basis.mapping.invF(points.T[:, :, None], tind=triangles)
        value, gradient = np.zeros(len(points)), np.zeros((len(points), 2))
        for k in range(basis.Nbfun):
            phi = basis.elem.gbasis(basis.mapping, local, k, tind=triangles)[0]
            weight = coefficients[basis.element_dofs[k, triangles]]
            value += weight * np.asarray(phi)[:, 0]
            gradient += weight[:, None] * phi.grad[:, :, 0].T
        return value, gradient

    return solution


def solve(problem: Problem, clock: Clock) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--degree", type=int, choices=ELEMENTS, required=True)
    degree = parser.parse_known_args()[0].degree
    for cells in CELLS[degree]:
        times = []
        for _ in range(REPEATS):
            clock.start()
            basis, coefficients, unknowns = finite_elements(problem, degree, cells)
            times.append(clock.seconds())
        clock.observe(interpolant(basis, coefficients), unknowns, min(times))


if __name__ == "__main__":
    main(solve, "scikit-fem", "numpy", "scipy")
