"""Differential operators on jets: d, grad, div, laplacian, dot, normal."""

from __future__ import annotations

import functools
import operator
from dataclasses import replace

from torch import Tensor

from pdekan.fields.functions import stacked, total
from pdekan.fields.jets import Derivatives, Jet, MissingDerivative
from pdekan.fields.multi_indices import joined


def d(u: Jet, coordinate: str) -> Jet:
    """∂u/∂(coordinate), a scalar field; it can be differentiated again as far as u's frame allows.

    Raises ValueError for an unknown coordinate, MissingDerivative where u does not carry the derivative.
    """
    frame = u.frame
    if coordinate not in frame.coordinates:
        raise ValueError(f"unknown coordinate {coordinate!r}; the coordinates are {', '.join(frame.coordinates)}")
    k = frame.coordinates.index(coordinate)
    if u.components is not None:
        raise TypeError(f"d{coordinate}(...) acts on a scalar field, not on a vector")
    return _partial(u, k)


def _partial(u: Jet, k: int) -> Jet:
    """∂u/∂x_k of a scalar field. Raises MissingDerivative where u does not carry it."""
    frame = u.frame
    if u.gradient is None or not u.knows(k):
        raise MissingDerivative(f"d{frame.coordinates[k]}(...)")
    frame.differentiates(u.value, [k])
    if u.higher is not None:
        return _of_higher_order(u, k)
    if u.second is None or frame.level is Derivatives.SUMMED:
        return Jet(frame, u.gradient[:, k])
    if frame.level is Derivatives.DIAGONAL:
        mask = u.second.new_zeros(frame.dimension)
        mask[k] = 1.0
        return Jet(frame, u.gradient[:, k], u.second * mask, None, frozenset({(k,)}))
    return Jet(frame, u.gradient[:, k], hessian(u)[:, k])


def _of_higher_order(u: Jet, k: int) -> Jet:
    """∂u/∂x_k from the flat u: its derivative α is that of u by x_k and α, where it is known."""
    places, flat = u.frame.layout.places, u.flat
    sources = {one: joined(one, (k,)) for one in places}
    known = {one for one, source in sources.items() if source in places and u.knows(*source)}
    columns = [places[sources[one]] if one in known else 0 for one in places]
    mask = flat.new_tensor([float(one in known) for one in places])
    parts = flat[..., columns] * mask
    ends = 1 + u.frame.dimension, u.frame.layout.first
    gradient, second, higher = parts[..., 1 : ends[0]], parts[..., ends[0] : ends[1]], parts[..., ends[1] :]
    return Jet(u.frame, parts[..., 0], gradient, second, frozenset(known), None, higher)


def dx(u: Jet) -> Jet:
    """∂u/∂x."""
    return d(u, "x")


def dy(u: Jet) -> Jet:
    """∂u/∂y."""
    return d(u, "y")


def dz(u: Jet) -> Jet:
    """∂u/∂z."""
    return d(u, "z")


def dt(u: Jet) -> Jet:
    """∂u/∂t."""
    return d(u, "t")


def hessian(u: Jet) -> Tensor:
    """The full Hessian ``(n, d, d)`` of a scalar field. Raises MissingDerivative where it is not carried."""
    if u.second is None or not u.frame.is_full:
        raise MissingDerivative("the Hessian")
    i, j = u.frame.packed
    dimension = u.frame.dimension
    position = [[0] * dimension for _ in range(dimension)]
    for slot, (row, column) in enumerate(zip(i, j, strict=True)):
        position[row][column] = position[column][row] = slot
    return u.second[:, position]


def grad(u: Jet) -> Jet:
    """∇u over the space coordinates, a vector field ``(n, space dimensions)``."""
    if u.components is not None:
        raise TypeError("grad(...) acts on a scalar field, not on a vector")
    _check_space(u, "grad")
    space = u.frame.space
    if u.higher is not None:
        parts = [_partial(u, k) for k in space]
        return replace(stacked(parts), known=frozenset.intersection(*(part.known for part in parts if part.known is not None)))
    if u.gradient is None or u.known is not None:
        raise MissingDerivative("grad(...)")
    u.frame.differentiates(u.value, space)
    divergence = laplacian(u).value if u.second is not None else None
    full = u.second is not None and u.frame.level is Derivatives.FULL
    return Jet(u.frame, u.gradient[:, space], hessian(u)[:, space] if full else None, None, None, divergence)


def div(v: Jet) -> Jet:
    """∇ · v over the space coordinates, a scalar field."""
    if v.components is None:
        raise TypeError("div(...) acts on a vector such as grad(u), not on a scalar field")
    if v.components != len(v.frame.space):
        raise TypeError(f"div(...) needs {len(v.frame.space)} components, got {v.components}")
    if v.higher is not None:
        return functools.reduce(operator.add, (_partial(v[slot], k) for slot, k in enumerate(v.frame.space)))
    v.frame.differentiates(v.value, v.frame.space)
    if v.divergence is not None:
        return Jet(v.frame, v.divergence)
    if v.gradient is None:
        raise MissingDerivative("div(...)")
    return Jet(v.frame, sum(v.gradient[:, slot, k] for slot, k in enumerate(v.frame.space)))  # type: ignore[arg-type]


def laplacian(u: Jet) -> Jet:
    """Δu over the space coordinates (never t), a scalar field."""
    if u.components is not None:
        raise TypeError("laplacian(...) acts on a scalar field, not on a vector")
    _check_space(u, "laplacian")
    if u.higher is not None:
        return functools.reduce(operator.add, (_partial(_partial(u, k), k) for k in u.frame.space))
    if u.second is None:
        raise MissingDerivative("laplacian(...)")
    u.frame.differentiates(u.value, u.frame.space)
    if u.gradient is not None and u.known is None:
        u.frame.differentiates(u.gradient[:, u.frame.space], u.frame.space)
    if u.frame.level is Derivatives.SUMMED:
        return Jet(u.frame, u.second[:, 0])
    if u.frame.level is Derivatives.DIAGONAL:
        return Jet(u.frame, u.second[:, u.frame.space].sum(-1))
    i, j = u.frame.packed
    slots = enumerate(zip(i, j, strict=True))
    diagonal = [slot for slot, (row, column) in slots if row == column and row in u.frame.space]
    return Jet(u.frame, u.second[:, diagonal].sum(-1))


def _check_space(u: Jet, name: str) -> None:
    if not u.frame.space:
        raise TypeError(f"{name}(...) is over the space coordinates, of which there are none; dt(u) is the derivative by t")


def dot(a: Jet, b: Jet) -> Jet:
    """a · b, a scalar field."""
    if a.components is None or a.components != b.components:
        raise TypeError("dot(a, b) acts on two vectors of the same length")
    return total(a * b)


def normal(u: Jet) -> Jet:
    """The outward normal derivative n · ∇u on a boundary. Raises ValueError away from one."""
    if u.frame.normal is None:
        raise ValueError("normal(u) is defined on a boundary only")
    if u.gradient is None or not _knows_normal(u):
        raise MissingDerivative("normal(...)")
    return Jet(u.frame, (u.frame.normal * u.gradient).sum(-1))


def _knows_normal(u: Jet) -> bool:
    """Whether the derivatives are known by all coordinates along which the normal may have a component."""
    if u.higher is None or u.frame.normal is None:
        return u.known is None
    time = [k for k in range(u.frame.dimension) if k not in u.frame.space]
    in_space = not bool(u.frame.normal[:, time].any())
    return all(u.knows(k) for k in (u.frame.space if in_space else range(u.frame.dimension)))
