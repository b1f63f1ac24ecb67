"""Finite elements of high degree for linear and semilinear elliptic problems, by scikit-fem.

For equations Σ_a A_ea : ∇∇u_a + b_ea · ∇u_a + c_ea u_a = f_e, one for each unknown, the weak form is, for all v that vanish
where u_e is given,

    Σ_a ∫ A_ea ∇u_a · ∇v + (div A_ea - b_ea) · ∇u_a v - c_ea u_a v - ∮ n · A_ea ∇u_a v = -∫ f_e v,

and a condition κ Σ_a n · A_ea ∇u_a + γ · u = g is natural: it determines the integral over the boundary. Where an equation or
a condition is not linear in u and ∇u, Newton's method solves it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import block_array, coo_array, csc_array
from scipy.sparse.linalg import splu
from skfem import Basis, BilinearForm, LinearForm

from pdekan.domains.mesh import simplex_gauss
from pdekan.domains.quadrature import Array
from pdekan.fem.applicability import Kinds, check, conormal, factor
from pdekan.fem.lagrange import Index, Lagrange
from pdekan.fem.meshes import FittedMesh, fitted_mesh
from pdekan.fem.spaces import FiniteElementFunction, LagrangeSpace, facet_mass
from pdekan.fem.weak_form import coefficients
from pdekan.problems.formulas import ProblemError
from pdekan.problems.places import Requirement
from pdekan.problems.problem import Equation, Problem

DEGREE = {1: 6, 2: 5, 3: 4}
MOST = 400_000  # unknowns
SECONDS = 60.0  # of the processor, for all levels: other work on the machine takes no level away
EFFORT = {1: 1.0, 2: 1.3, 3: 2.0}  # a level's seconds grow as this power of its unknowns
GROWTH = 2.0  # of the unknowns between two solutions on adaptive meshes
CONSTANT = 1e-10  # relative: below this the product of the matrix and a constant is zero
NEWTON = 30
STEP = 1e-11  # relative change at which Newton's method ends

Values = Callable[[Array], Array]  # (n, U) at points (n, d)

# of the sum of squared indicators, in the cells that are refined; few cells have most of it at a singularity
REFINED_SHARE = 0.9


@dataclass(frozen=True, eq=False)
class _Discrete:
    """A problem in a space. essential: prescribed values of unknowns on facets. natural: prescribed conormal derivatives."""

    problem: Problem
    space: LagrangeSpace
    essential: Sequence[tuple[int, Requirement, Index]]  # unknown, its values, rows of `space.boundary`
    natural: Sequence[tuple[int, Requirement, Index]]  # equation, its conormal derivative, rows of `space.boundary`

    @classmethod
    def of(cls, problem: Problem, space: LagrangeSpace, fit: FittedMesh, kinds: Kinds) -> _Discrete:
        names = space.face_names(fit)
        essential: list[tuple[int, Requirement, Index]] = []
        natural: list[tuple[int, Requirement, Index]] = []
        for face in dict.fromkeys(names.tolist()):
            rows = np.flatnonzero(names == face)
            for k, (requirement, is_essential) in enumerate(kinds[face]):
                (essential if is_essential else natural).append((k, requirement, rows))
        return cls(problem, space, essential, natural)

    def solved(self, start: Values | None, linear: bool) -> Array:
        """Values ``(N, U)`` at the nodes: of the linear problem, or where Newton's method from `start` ends."""
        u = np.zeros((self.space.dofs.N, len(self.problem.unknowns)))
        if not linear and start is not None:
            u = start(self.space.nodes)
        for _ in range(1 if linear else NEWTON):
            before, u = u, self._step(u)
            if not np.isfinite(u).all():
                break
            if linear or np.abs(u - before).max() <= STEP * np.abs(u).max():
                return u
        raise ProblemError('reference = "fem": Newton\'s method does not converge; give formulas, or the file of a solution')

    def _step(self, u: Array) -> Array:
        """The solution of the problem linearised about values at the nodes."""
        size, count = u.shape
        blocks: list[list[Any]] = [[None] * count for _ in range(count)]
        load = np.zeros((count, size))
        for e, equation in enumerate(self.problem.equations):
            self._equation(e, equation, u, blocks[e], load)
        for e, requirement, rows in self.natural:
            self._flux(e, requirement, rows, u, blocks[e], load)
        zero = coo_array((size, size))
        matrix = csc_array(block_array([[zero if block is None else block for block in row] for row in blocks]))
        fixed, known = self._given(size)
        self._check_regular(matrix, fixed)
        return _solve(matrix, load.ravel(), fixed, known).reshape(count, size).T

    def _equation(self, e: int, equation: Equation, u: Array, blocks: list[Any], load: Array) -> None:
        """Add an equation's integrals over the cells."""
        for basis in self.space.bases():
            x = np.asarray(basis.global_coordinates())
            shape = x.shape[1:]
            points = x.reshape(len(x), -1).T
            values, gradients = _interpolated(basis, u)
            k = coefficients(self.problem, equation.operator, equation.source, points, None, values, gradients)
            source = np.einsum("nui,nui->n", k.first, gradients) + np.einsum("nu,nu->n", k.zeroth, values) - k.residual
            source = source.reshape(shape)
            load[e] -= LinearForm(lambda v, w, f=source: f * v).assemble(basis)
            for a in range(len(blocks)):
                parts = k.second[:, a], k.divergence[:, a] - k.first[:, a], k.zeroth[:, a]
                if any(part.any() for part in parts):
                    second, first, zeroth = (np.moveaxis(p.reshape(*shape, *p.shape[1:]), (0, 1), (-2, -1)) for p in parts)
                    added = BilinearForm(_form(second, first, zeroth)).coo_data(basis).tocsr()
                    blocks[a] = added if blocks[a] is None else blocks[a] + added

    def _flux(self, e: int, natural: Requirement, rows: Index, u: Array, blocks: list[Any], load: Array) -> None:
        """Add the boundary integral of a natural condition."""
        nodes = self.space.boundary[1][rows]
        d = self.space.mesh.dim()
        value, points, normals, weights = self.space.facet_quadrature(rows)
        flat = points.reshape(-1, d)
        values = np.einsum("bq,mbu->mqu", value, u[nodes]).reshape(len(flat), -1)
        one = coefficients(self.problem, natural.operator, natural.value, flat, normals.reshape(-1, d), values)
        flux = conormal(self.problem, self.problem.equations[e], flat, normals.reshape(-1, d))
        scale = factor(one, flux)
        given = (np.einsum("nu,nu->n", one.zeroth, values) - one.residual) / scale
        w = weights.reshape(len(rows), -1)
        np.add.at(load[e], nodes, np.einsum("mq,bq->mb", w * given.reshape(w.shape), value))
        for a in range(len(blocks)):
            weight = w * (one.zeroth[:, a] / scale).reshape(w.shape)
            if weight.any():
                added = facet_mass(nodes, weight, value, len(u)).tocsr()
                blocks[a] = added if blocks[a] is None else blocks[a] + added

    def _check_regular(self, matrix: csc_array, fixed: Index) -> None:
        """Raise ProblemError where a constant may be added to an unknown: round-off hides it from the factorisation."""
        size = self.space.dofs.N
        for a in range(len(self.problem.unknowns)):
            constant = np.zeros(matrix.shape[0])
            constant[a * size : (a + 1) * size] = 1.0
            free = not np.isin(fixed // size, a).any()
            if free and np.abs(matrix @ constant).max() <= CONSTANT * np.abs(matrix).max():
                raise _singular()

    def _given(self, size: int) -> tuple[Index, Array]:
        """The prescribed degrees of freedom, and their values."""
        known: dict[int, float] = {}
        for a, requirement, rows in self.essential:
            nodes = np.unique(self.space.boundary[1][rows])
            one = coefficients(self.problem, requirement.operator, requirement.value, self.space.nodes[nodes])
            known |= zip((a * size + nodes).tolist(), (-one.residual / one.zeroth[:, a]).tolist(), strict=True)
        return np.array(list(known), dtype=np.int64), np.array(list(known.values()))


def _singular() -> ProblemError:
    return ProblemError(
        'reference = "fem": the problem is singular: it has no solution, or many, as where neither a condition nor the '
        "equation tells a constant from zero; state another condition, or give formulas or a file"
    )


def _interpolated(basis: Basis, u: Array) -> tuple[Array, Array]:
    """Values ``(n, U)`` and gradients ``(n, U, d)`` at the points of a basis, without work where u is zero."""
    if not u.any():
        count = basis.dx.size
        return np.zeros((count, u.shape[1])), np.zeros((count, u.shape[1], basis.mesh.dim()))
    fields = [basis.interpolate(column) for column in u.T]
    values = np.stack([np.asarray(field).ravel() for field in fields], axis=1)
    return values, np.stack([field.grad.reshape(len(field.grad), -1).T for field in fields], axis=1)


def _form(second: Array, first: Array, zeroth: Array) -> Callable[..., Array]:
    """A∇u · ∇v + q · ∇u v - c u v with A ``(d, d, …)``, q ``(d, …)``, c ``(…)``; what vanishes is left out."""
    entries = [(i, j) for i, j in np.ndindex(*second.shape[:2]) if second[i, j].any()]
    drift = [i for i in range(len(first)) if first[i].any()]
    reacts = zeroth.any()

    def form(u: Any, v: Any, w: Any) -> Array:
        """a(u, v) at the points of quadrature, where u and v have values and gradients."""
        out = np.zeros(zeroth.shape)
        for i, j in entries:
            out += second[i, j] * u.grad[j] * v.grad[i]
        for i in drift:
            out += first[i] * u.grad[i] * v
        return out - zeroth * u * v if reacts else out

    return form


def _solve(matrix: csc_array, load: Array, fixed: Index, known: Array) -> Array:
    """The vector with given entries that satisfies all other rows; one step of refinement restores lost digits."""
    u = np.zeros(len(load))
    u[fixed] = known
    free = np.setdiff1d(np.arange(len(load)), fixed)
    inner = csc_array(matrix[free][:, free])
    try:
        factors = splu(inner, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=1e-3, options={"SymmetricMode": True})
    except RuntimeError:
        raise _singular() from None
    for _ in range(2):
        u[free] += factors.solve((load - matrix @ u)[free])
    return u


def levels(problem: Problem, start: Values | None = None) -> Iterator[FiniteElementFunction]:
    """Solutions on finer and finer meshes, as far as unknowns and seconds allow.

    Where there are interfaces, whose singularities are not known, only unresolved cells are refined, and a solution is yielded
    whenever there are GROWTH times as many unknowns.

    start: where Newton's method begins if the problem is not linear. Raises ProblemError for a problem that is none of those
    above, with what to do.
    """
    linear, kinds = check(problem)
    began, last = time.thread_time(), 0.0
    kinds_by_face = {face: tuple(essential for _, essential in pair) for face, pair in kinds.items()}
    fit = fitted_mesh(problem.domain, kinds_by_face, problem.interfaces.values())
    degree = DEGREE[problem.domain.dimension]
    meshes = fit.refinements(degree)
    mesh, size, shown = next(meshes), 0, 0
    while True:
        space = LagrangeSpace.on_mesh(mesh, fit, degree)
        growth, size = space.dofs.N / max(1, size), space.dofs.N
        now = time.thread_time()
        if size * len(problem.unknowns) > MOST or now - began + last * growth ** EFFORT[mesh.dim()] > SECONDS:
            return
        solution = FiniteElementFunction(space, _Discrete.of(problem, space, fit, kinds).solved(start, linear))
        last = time.thread_time() - now
        start = solution.values
        if not problem.interfaces:
            yield solution
        elif size >= GROWTH * shown:
            yield solution
            shown = size
        mesh = meshes.send(unresolved_cells(solution) if problem.interfaces else None)


def unresolved_cells(function: FiniteElementFunction) -> Index:
    """The fewest cells that hold REFINED_SHARE of the sum over all cells K and unknowns of ∫_K |∇(u - I u)|².

    I u is the interpolant of a degree less: in a cell that resolves u the difference is small. Bulk marking: Doerfler, SIAM J.
    Numer. Anal. 33 (1996) 1106-1124, eq. 4.2. The unknowns are weighted by their H1 seminorms.
    """
    space, p = function.space, function.space.element.degree
    d = space.mesh.dim()
    lower = Lagrange(d, p - 1)
    onto, _ = space.element.shape_functions(lower.lattice[:, 1:].T / (p - 1))  # values at the nodes of the lower degree
    barycentric, share = simplex_gauss(d, p)
    _, slope = space.element.shape_functions(barycentric[:, 1:].T)
    _, lower_slope = lower.shape_functions(barycentric[:, 1:].T)
    difference = slope - np.einsum("bn,nkq->bkq", onto, lower_slope)
    corners = space.mesh.p.T[space.mesh.t.T]
    jacobian = (corners[:, 1:] - corners[:, :1]).transpose(0, 2, 1)
    weights = np.abs(np.linalg.det(jacobian))[:, None] * share / math.factorial(d)
    inverse, values = np.linalg.inv(jacobian), function.coefficients[space.cells]
    squares = [
        np.einsum("mq,mqui,mqui->mu", weights, gradients, gradients, optimize=True)
        for gradients in (
            np.einsum("bkq,mbu,mki->mqui", table, values, inverse, optimize=True) for table in (difference, slope)
        )
    ]
    indicator = (squares[0] / np.maximum(squares[1].sum(axis=0), np.finfo(np.float64).tiny)).sum(axis=1)
    order = np.argsort(-indicator)
    count = int(np.searchsorted(np.cumsum(indicator[order]), REFINED_SHARE * indicator.sum())) + 1
    return order[:count]
