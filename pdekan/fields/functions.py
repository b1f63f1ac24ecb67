"""Functions of fields: the elementary functions, cases, angles, sums, products and compositions, on jets."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import cast, overload

import torch
from torch import Tensor

from pdekan.fields.elementary import DERIVATIVES
from pdekan.fields.jets import Derivatives, Jet, align, combine, compose, known_by_both, with_component_axis


class Elementary:
    """A function of one variable that acts on fields, with exact derivatives, and on numbers."""

    def __init__(self, name: str) -> None:
        self.name = self.__name__ = name
        self._derivatives = DERIVATIVES[name]

    @overload
    def __call__(self, a: Jet) -> Jet: ...
    @overload
    def __call__(self, a: float) -> float: ...
    def __call__(self, a: Jet | float) -> Jet | float:
        if isinstance(a, Jet):
            return compose(self._derivatives, a)
        return float(self._derivatives(torch.tensor(float(a), dtype=torch.float64))[0])

    def __repr__(self) -> str:
        return f"pdekan.{self.name}"


ELEMENTARY = {name: Elementary(name) for name in DERIVATIVES}
sin, cos, tan = ELEMENTARY["sin"], ELEMENTARY["cos"], ELEMENTARY["tan"]
asin, acos, atan = ELEMENTARY["asin"], ELEMENTARY["acos"], ELEMENTARY["atan"]
sinh, cosh, tanh = ELEMENTARY["sinh"], ELEMENTARY["cosh"], ELEMENTARY["tanh"]
exp, log, log10, sqrt = ELEMENTARY["exp"], ELEMENTARY["log"], ELEMENTARY["log10"], ELEMENTARY["sqrt"]
erf, sign = ELEMENTARY["erf"], ELEMENTARY["sign"]


def where(condition: Tensor, a: Jet | float, b: Jet | float) -> Jet:
    """The field a where the condition holds, b elsewhere; the derivatives are those of the field chosen.

    condition: ``(n,)``, or ``(n, m)`` for fields with m components.
    """
    if not isinstance(a, Jet):
        if not isinstance(b, Jet):
            raise TypeError("where(condition, a, b): a or b must be a field")
        a = b.frame.constant(float(a), b.value)
    a, b = align(a, b)
    if condition.ndim > 1 and a.components is None:
        a, b = with_component_axis(a), with_component_axis(b)

    def choose(p: Tensor, q: Tensor) -> Tensor:
        return torch.where(condition.reshape(condition.shape + (1,) * (p.ndim - condition.ndim)), p, q)

    gradient, second, higher = (combine(choose, p, q) for p, q in zip(a.derivatives, b.derivatives, strict=True))
    # a choice component by component has a divergence that does not follow from the two divergences
    divergence = combine(choose, a.divergence, b.divergence) if condition.ndim == 1 else None
    return Jet(a.frame, choose(a.value, b.value), gradient, second, known_by_both(a, b), divergence, higher)


def atan2(y: Jet | float, x: Jet | float) -> Jet | float:
    """The angle of the point (x, y), in (-π, π]."""
    if not isinstance(x, Jet):
        if not isinstance(y, Jet):
            return math.atan2(y, x)
        x = y.frame.constant(float(x), y.value)
    y, x = align(y if isinstance(y, Jet) else x.frame.constant(float(y), x.value), x)
    # both branches differ from the angle by a constant; each is smooth where it is chosen
    steep = y.value.abs() > x.value.abs()
    one = torch.ones_like(x.value)
    x_or_one = replace(x, value=torch.where(steep, one, x.value))
    y_or_one = replace(y, value=torch.where(steep, y.value, one))
    angle = where(steep, -atan(x / y_or_one), atan(y / x_or_one))
    return replace(angle, value=torch.atan2(y.value, x.value))


def stacked(fields: Sequence[Jet]) -> Jet:
    """Scalar fields as the components of one field."""

    def stack(parts: Iterable[Tensor | None]) -> Tensor | None:
        present = [part for part in parts if part is not None]
        return torch.stack([*torch.broadcast_tensors(*present)], dim=1) if present else None

    value = torch.stack([*torch.broadcast_tensors(*(u.value for u in fields))], dim=1)
    gradient, second, higher = (stack(parts) for parts in zip(*(u.derivatives for u in fields), strict=True))
    return Jet(fields[0].frame, value, gradient, second, higher=higher)


def concatenated(jets: Sequence[Jet], dim: int = 0) -> Jet:
    """Jets one after the other along an axis: 0 for more points, 1 for more components."""
    parts = zip(*((jet.value, *jet.derivatives) for jet in jets), strict=True)
    value, gradient, second, higher = (None if part[0] is None else torch.cat(part, dim) for part in parts)
    return Jet(jets[0].frame, cast("Tensor", value), gradient, second, higher=higher)


def composed(outer: Jet, position: Sequence[Jet]) -> Jet:
    """f(p_1, …, p_d) from the jet of f by its coordinates, with its full Hessian, and those of p_1, …, p_d:
    ∂f = Σ f_k ∂p_k,  ∂²f = Σ f_kl ∂p_k ⊙ ∂p_l + Σ f_k ∂²p_k.
    """
    frame, d = position[0].frame, len(position)
    if frame.level < Derivatives.GRADIENT:
        return Jet(frame, outer.value)
    slopes = [cast("Tensor", p.gradient) for p in position]
    first = cast("Tensor", outer.gradient)
    gradient = sum((first[:, k, None] * slopes[k] for k in range(d)), start=torch.zeros_like(slopes[0]))
    if frame.level < Derivatives.SUMMED:
        return Jet(frame, outer.value, gradient)
    outer_second = cast("Tensor", outer.second)
    second = sum(
        (first[:, k, None] * cast("Tensor", position[k].second) for k in range(d)),
        start=outer_second.new_zeros(len(outer_second), frame.second_count),
    )
    for slot, (k, j) in enumerate(zip(*outer.frame.packed, strict=True)):
        second = second + (1.0 if k == j else 2.0) * outer_second[:, slot, None] * frame.pair(slopes[k], slopes[j])
    return Jet(frame, outer.value, gradient, second, higher=_composed_higher(outer, position) if frame.higher else None)


def _composed_higher(outer: Jet, position: Sequence[Jet]) -> Tensor:
    """Third and fourth derivatives of f(p_1, …, p_d): Σ_α ∂^α f Π_k (p_k - p_k0)^α_k / α_k!."""
    layout = position[0].frame.layout
    powers = [p.powers for p in position]
    flat, total = outer.flat, torch.zeros_like(powers[0][0])
    for index, place in outer.frame.layout.places.items():
        if index:
            parts = [powers[k][index.count(k) - 1] for k in dict.fromkeys(index)]
            total = total + flat[:, place, None] * functools.reduce(layout.product, parts)
    return total[:, layout.first :]


def total(v: Jet) -> Jet:
    """Sum of a field's components (`sum` of the problem file)."""
    return v.each(lambda part: part.sum(1))


def product(v: Jet) -> Jet:
    """Product of a field's components (`prod` of the problem file)."""
    if v.components is None:
        raise TypeError("prod acts on a field with components")
    return functools.reduce(operator.mul, (v[k] for k in range(v.components)))
