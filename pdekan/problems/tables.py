"""Tables as functions: values on tensor grids or at scattered points, interpolated, with exact derivatives of the interpolant.

Grids: tensor splines of degree 3 or 1 through the values (de Boor, A Practical Guide to Splines, 2001, ch. XVII), or the value
at the nearest point. Scattered points: Σ c_i |x - x_i|³ + a linear function, coordinates scaled to their ranges (Wendland,
Scattered Data Approximation, 2005, section 8.4), linear functions on Delaunay's triangles or tetrahedra, which go on beyond
them as beside the nearest point, or the value at the nearest point.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from pdekan.domains.base import Domain
from pdekan.domains.quadrature import Array
from pdekan.fields.functions import composed, concatenated
from pdekan.fields.jets import Derivatives, Frame, Jet
from pdekan.fields.multi_indices import Higher, Index, indices
from pdekan.problems.formulas import ProblemError

if TYPE_CHECKING:  # a fifth of a second, which problems without tables do not need
    from scipy.interpolate import NdBSpline
    from scipy.spatial import Delaunay, cKDTree

Interpolation = Literal["cubic", "linear", "constant"]
DEGREES = {"cubic": 3, "linear": 1}
MAX_SCATTERED = 3000  # a dense system has as many rows
ROUNDING = 1e-6  # of |x - x_i|³ near its centre, so that all derivatives exist, in scaled coordinates
NUMBERS = 2**22  # of an array
SAMPLES = (4, 2, 200, 0)  # points at which a domain is compared with scattered ones: cells, order, count, seed


@dataclass(frozen=True, eq=False)
class Table:
    """A function of some coordinates, given by values.

    coordinates: names. axes: ascending, of a grid with values ``(n_1, …, n_d)``; none for values ``(n,)`` at points ``(n, d)``.
    Raises ProblemError for what cannot be interpolated so.
    """

    name: str
    coordinates: tuple[str, ...]
    values: Array
    axes: tuple[Array, ...] = ()
    points: Array | None = None
    interpolation: Interpolation = "cubic"

    def __post_init__(self) -> None:
        if self.points is None:
            return
        if self.interpolation == "cubic" and len(self.points) > MAX_SCATTERED:
            raise ProblemError(
                f"{len(self.points)} scattered points; at most {MAX_SCATTERED} are interpolated: put the values on a grid, "
                'thin them out, or write interpolation = "linear" or "constant"'
            )
        if np.linalg.matrix_rank(self.points - self.points.mean(axis=0)) < len(self.coordinates):
            raise ProblemError("all scattered points lie on a line or a plane; more are needed beside it")
        if len(np.unique(self.points, axis=0)) < len(self.points):
            raise ProblemError("two rows are at the same point; leave out one of them")

    def __repr__(self) -> str:
        return f"Table({self.name})"

    def __call__(self, *position: Jet) -> Jet:
        """The field at coordinates ``(n,)`` that are fields themselves."""
        if self.points is not None and self.interpolation == "cubic":
            return self._scattered(position)
        frame = position[0].frame
        x = torch.stack(torch.broadcast_tensors(*(one.value for one in position)), dim=1)
        d, order = len(self.coordinates), frame.order
        level = Derivatives(min(order, 1)) if order < 2 else Derivatives.FULL if order == 2 else Higher(indices(d, 3, order))
        parts = [_value(x, self, index) for index in indices(d, 0, order)]
        ends = [1 + sum(len(indices(d, k, k)) for k in range(1, last + 1)) for last in range(order + 1)]
        value, *rest = parts[0], *(torch.stack(parts[a:b], dim=1) for a, b in zip([1, *ends[1:]], ends[1:], strict=False))
        higher = torch.cat(rest[2:], dim=1) if order > 2 else None
        gradient, second = [*rest[:2], None, None][:2]
        return composed(Jet(Frame(self.coordinates, level), value, gradient, second, higher=higher), list(position))

    def check_covers(self, domain: Domain) -> None:
        """Raise ProblemError where a domain has points at which the table has no values."""
        columns = [domain.coordinates.index(name) for name in self.coordinates]
        if self.points is not None:
            self._check_near(domain, columns)
            return
        for k, axis in zip(columns, self.axes, strict=True):
            a, b, name = domain.lower[k], domain.upper[k], domain.coordinates[k]
            slack = np.full(2, 1e-9 * (b - a))
            if self.interpolation == "constant":  # values are those of cells, and reach half a cell further
                slack = slack + 0.5 * np.diff(axis)[[0, -1]]
            if axis[0] > a + slack[0] or axis[-1] < b - slack[1]:
                raise ProblemError(
                    f"{name} goes from {axis[0]:g} to {axis[-1]:g}, and the domain from {a:g} to {b:g}: there are no values in "
                    "the rest; enlarge the table, or cut the domain"
                )

    def _check_near(self, domain: Domain, columns: Sequence[int]) -> None:
        """As `check_covers`: no point is further from all others than twice the largest distance between neighbours."""
        centers, (low, size) = self._centers, self._scaling
        spacing = self._tree.query(centers, 2)[0][:, 1].max()
        some = np.concatenate(
            [domain.interior(*SAMPLES).points, *(domain.face(face, *SAMPLES).points for face in domain.faces)]
        )
        distance = self._tree.query((some[:, columns] - low) / size)[0]
        if distance.max() > 2.0 * spacing:
            where = zip(self.coordinates, some[distance.argmax()][columns], strict=True)
            raise ProblemError(
                f"there are no points near {', '.join(f'{name} = {x:g}' for name, x in where)}, which is in the domain: add "
                "some there, or cut the domain"
            )

    def derivative(self, x: Array, index: Index) -> Array:
        """A derivative of the interpolant ``(n,)`` at points ``(n, d)``; of scattered ones those of the nearest values."""
        counts = tuple(index.count(k) for k in range(x.shape[1]))
        if self.interpolation == "constant":
            return np.zeros(len(x)) if index else self._nearest(x)
        if self.points is not None:
            return self._on_simplices(x, index)
        if any(order > degree for order, degree in zip(counts, self._spline.k, strict=True)):
            return np.zeros(len(x))
        return np.asarray(self._spline(x, nu=counts))

    @functools.cached_property
    def _spline(self) -> NdBSpline:
        """The tensor spline through the values."""
        return tensor_spline(self.axes, self.values, DEGREES[self.interpolation])

    @functools.cached_property
    def _tree(self) -> cKDTree:
        """Finds the scattered points next to others."""
        from scipy.spatial import cKDTree

        return cKDTree(self._centers)

    @functools.cached_property
    def _simplices(self) -> Delaunay:
        """Triangles or tetrahedra between the scaled points."""
        from scipy.spatial import Delaunay

        return Delaunay(self._centers)

    def _on_simplices(self, x: Array, index: Index) -> Array:
        """A derivative of the function that is linear on simplices."""
        (low, size), simplices = self._scaling, self._simplices
        x = (x - low) / size
        found = simplices.find_simplex(x)
        beyond = found < 0
        found[beyond] = simplices.vertex_to_simplex[self._tree.query(x[beyond])[1]]
        corners = self.values[simplices.simplices[found]]
        rise = corners[:, :-1] - corners[:, -1:]  # from the last corner to each other, which has barycentric coordinates
        transform = simplices.transform[found]
        if len(index) > 1:
            return np.zeros(len(x))
        if index:
            return np.asarray((rise * transform[:, :-1, index[0]]).sum(axis=1) / size[index[0]])
        shares = np.einsum("nij,nj->ni", transform[:, :-1], x - transform[:, -1])
        return np.asarray(corners[:, -1] + (rise * shares).sum(axis=1))

    def _nearest(self, x: Array) -> Array:
        if self.points is not None:
            low, size = self._scaling
            return np.asarray(self.values[self._tree.query((x - low) / size)[1]])
        middles = [0.5 * (axis[1:] + axis[:-1]) for axis in self.axes]
        return np.asarray(self.values[tuple(np.searchsorted(m, x[:, k], "right") for k, m in enumerate(middles))])

    @functools.cached_property
    def _scaling(self) -> tuple[Array, Array]:
        """The lower corner and the sides of the box around the scattered points."""
        assert self.points is not None
        low = self.points.min(axis=0)
        size = self.points.max(axis=0) - low
        return low, np.where(size > 0.0, size, 1.0)

    @functools.cached_property
    def _centers(self) -> Array:
        """The scattered points, scaled."""
        low, size = self._scaling
        assert self.points is not None
        return np.asarray((self.points - low) / size)

    @functools.cached_property
    def _coefficients(self) -> tuple[Tensor, Tensor]:
        """Those ``(n,)`` of |x - x_i|³ and ``(1 + d,)`` of the linear function."""
        x = self._centers
        n, d = x.shape
        linear = np.concatenate([np.ones((n, 1)), x], axis=1)
        matrix = np.zeros((n + d + 1, n + d + 1))
        matrix[:n, :n] = (np.square(x[:, None] - x).sum(2) + ROUNDING**2) ** 1.5
        matrix[:n, n:], matrix[n:, :n] = linear, linear.T
        found = torch.as_tensor(np.linalg.solve(matrix, np.append(self.values, np.zeros(d + 1))))
        return found[:n], found[n:]

    def _scattered(self, position: Sequence[Jet]) -> Jet:
        """The interpolant of scattered points, by arithmetic of fields, some points at a time."""
        low, size = self._scaling
        scaled = [(one - float(a)) / float(b) for one, a, b in zip(position, low, size, strict=True)]
        n = max(len(one.value) for one in scaled)
        size_at_a_point = len(self._centers) * (1 + scaled[0].frame.dimension + scaled[0].frame.second_count)
        step = max(1, NUMBERS // size_at_a_point)
        return concatenated([self._some(scaled, slice(start, start + step)) for start in range(0, n, step)])

    def _some(self, scaled: Sequence[Jet], rows: slice) -> Jet:
        coefficients, (constant, *slopes) = self._coefficients[0].to(scaled[0].value), self._coefficients[1].tolist()
        centers = torch.as_tensor(self._centers).to(scaled[0].value)
        some = [one.each(lambda part: part[rows]) for one in scaled]
        distance: Jet | float = ROUNDING**2
        for k, one in enumerate(some):
            wide = one.each(lambda part: part[:, None].expand(len(part), len(centers), *part.shape[1:]))
            away = Jet(wide.frame, wide.value - centers[:, k], *wide.derivatives[:2], higher=wide.higher)
            distance = away * away + distance
        assert isinstance(distance, Jet)
        sums = (distance**1.5).each(lambda part: torch.einsum("nk...,k->n...", part, coefficients))
        total: Jet = sums + constant
        for one, slope in zip(some, slopes, strict=True):
            total = total + one * slope
        return total


class _Interpolant(torch.autograd.Function):
    """A derivative of a table at points ``(n, d)``, differentiable as often as is asked for."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, table: Table, index: Index) -> Tensor:
        ctx.save_for_backward(x)
        ctx.table, ctx.index = table, index
        return torch.as_tensor(table.derivative(x.detach().cpu().numpy(), index)).to(x)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        parts = [_value(x, ctx.table, (*ctx.index, k)) for k in range(x.shape[1])]
        return slopes[0][:, None] * torch.stack(parts, dim=1), None, None


def _value(x: Tensor, table: Table, index: Index) -> Tensor:
    """A derivative of a table ``(n,)`` at points ``(n, d)``."""
    found: Tensor = _Interpolant.apply(x, table, index)  # type: ignore[no-untyped-call]
    return found


def tensor_spline(axes: Sequence[Array], values: Array, degree: int) -> NdBSpline:
    """The tensor spline through values on a grid; along axes of fewer points of the highest odd degree that they allow."""
    from scipy.interpolate import NdBSpline, make_interp_spline  # a tenth of a second, which most commands do not need

    knots, degrees, coefficients = [], [], values
    for k, axis in enumerate(axes):
        degrees.append(min(degree, 2 * (len(axis) // 2) - 1))
        spline = make_interp_spline(axis, np.moveaxis(coefficients, k, 0), degrees[k])
        knots.append(spline.t)
        coefficients = np.moveaxis(spline.c, 0, k)
    return NdBSpline(tuple(knots), np.ascontiguousarray(coefficients), tuple(degrees))
