"""Jets: a field's value and its derivatives at points, and the chain rule on them.

A differential operator is ordinary arithmetic on jets: ``laplacian(u) + k * u`` takes the second derivatives of u, and
``div(k * grad(u))`` gets the product rule from the multiplication. There are no difference quotients and no autograd;
for a composition f(u), with g the gradient of u and ``⊙`` the symmetric product of `Frame.pair`,

    ∂f = f'(u) g,        ∂²f = f''(u) g ⊙ g + f'(u) ∂²u.

Shapes: a scalar field has value ``(n,)``, gradient ``(n, d)`` and second derivatives ``(n, s)``, where n counts points, d
coordinates and s the second derivatives that the frame keeps; third and fourth derivatives, where it keeps any, are ``(n, h)``.
A field with components (a vector, the nodes of a layer) has one more axis after n.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import cast

import numpy as np
import torch
from torch import Tensor

from pdekan.fields.elementary import DERIVATIVES, Function, derivatives
from pdekan.fields.multi_indices import Higher, Index, Layout, layout

TIME = "t"


class MissingDerivative(ValueError):  # noqa: N818 - reads as what it is
    """An operator needs a derivative that the frame of its argument does not keep."""


class Derivatives(IntEnum):
    """Which derivatives a jet keeps, by increasing cost; each level includes the ones before it."""

    VALUE = 0
    GRADIENT = 1
    SUMMED = 2  # only the Laplacian over the space coordinates
    DIAGONAL = 3  # every ∂²/∂x_k²
    FULL = 4  # every ∂²/∂x_i∂x_j, packed with i <= j


Level = Derivatives | Higher


@dataclass(frozen=True)
class Frame:
    """The coordinates that derivatives refer to, which derivatives are kept, and the outward normal on a boundary.

    coordinates: names in the order of the points' columns; `t` is time and takes no part in `laplacian`, `grad`, `div`.
    normal: ``(n, d)`` unit outward normals, or None away from a boundary.
    """

    coordinates: tuple[str, ...]
    level: Level = Derivatives.FULL
    normal: Tensor | None = None

    @property
    def dimension(self) -> int:
        return len(self.coordinates)

    @property
    def space(self) -> list[int]:
        """Columns of the space coordinates."""
        return [k for k, name in enumerate(self.coordinates) if name != TIME]

    @property
    def is_full(self) -> bool:
        """Whether all second derivatives are kept."""
        return self.level >= Derivatives.FULL

    @property
    def higher(self) -> tuple[Index, ...]:
        """The derivatives of third and fourth order that are kept."""
        return self.level.indices if isinstance(self.level, Higher) else ()

    @property
    def layout(self) -> Layout:
        """All derivatives side by side, where all second ones are kept."""
        return layout(self.dimension, self.higher)

    @property
    def order(self) -> int:
        """The order of the highest derivatives that are kept."""
        return len(self.higher[-1]) if self.higher else min(int(self.level), 2)

    @property
    def second_count(self) -> int:
        """How many second derivatives are kept."""
        d = self.dimension
        if self.is_full:
            return d * (d + 1) // 2
        return {Derivatives.SUMMED: 1, Derivatives.DIAGONAL: d}.get(Derivatives(self.level), 0)

    @property
    def packed(self) -> tuple[list[int], list[int]]:
        """Rows and columns (i <= j) of the packed full Hessian."""
        d = self.dimension
        return [i for i in range(d) for _ in range(i, d)], [j for i in range(d) for j in range(i, d)]

    def pair(self, g: Tensor, h: Tensor) -> Tensor:
        """Symmetric product g ⊙ h of two gradients ``(..., d)`` in the layout of the second derivatives ``(..., s)``."""
        if self.is_full:
            i, j = self.packed
            return 0.5 * (g[..., i] * h[..., j] + g[..., j] * h[..., i])
        if self.level is Derivatives.DIAGONAL:
            return g * h
        space = self.space
        if len(space) < self.dimension:
            g, h = g[..., space], h[..., space]
        return (g * h).sum(-1, keepdim=True)

    def pair_pullback(self, weight: Tensor, g: Tensor) -> Tensor:
        """Derivative of ``(weight · (g ⊙ h)).sum(-1)`` by h: ``(..., d)`` for weight ``(..., s)`` and g ``(..., d)``."""
        if self.level is Derivatives.DIAGONAL:
            return weight * g
        if self.level is Derivatives.SUMMED:
            mask = torch.zeros(self.dimension, dtype=g.dtype, device=g.device)
            mask[self.space] = 1.0
            return weight * g * mask
        i, j = self.packed
        shape = torch.broadcast_tensors(weight[..., 0], g[..., 0])[0].shape
        out = torch.zeros((*shape, self.dimension), dtype=g.dtype, device=g.device)
        index_i, index_j = torch.tensor(i, device=g.device), torch.tensor(j, device=g.device)
        out = out.index_add(-1, index_i, 0.5 * weight * g[..., j])
        return out.index_add(-1, index_j, 0.5 * weight * g[..., i])

    def differentiates(self, values: Tensor, columns: list[int]) -> None:
        """Told by operators of values ``(n,)`` or ``(n, len(columns))`` that they differentiate by the coordinates in some
        columns, for subclasses to note.
        """

    def compares(self, difference: Tensor) -> None:
        """Told by comparisons of the difference ``(n, …)`` whose sign they ask for, for subclasses to note."""

    def constant(self, value: float, like: Tensor) -> Jet:
        """The constant field, at as many points as `like` ``(n, ...)`` has."""
        n, d = like.shape[0], self.dimension
        zero = like.new_zeros(())
        return Jet(
            self,
            like.new_full((n,), value),
            zero.expand(n, d) if self.level >= Derivatives.GRADIENT else None,
            zero.expand(n, self.second_count) if self.level >= Derivatives.SUMMED else None,
            higher=zero.expand(n, len(self.higher)) if self.higher else None,
        )

    def coordinate(self, points: Tensor, k: int) -> Jet:
        """Coordinate k as a field, at points ``(n, d)``."""
        unit = points.new_zeros(self.dimension)
        unit[k] = 1.0
        constant = self.constant(0.0, points)
        gradient = unit.expand(points.shape) if constant.gradient is not None else None
        return Jet(self, points[:, k], gradient, constant.second, higher=constant.higher)

    def position(self, points: Tensor) -> Jet:
        """All coordinates as one field with d components, at points ``(n, d)``."""
        n, d = points.shape
        identity = torch.eye(d, dtype=points.dtype, device=points.device)
        return Jet(
            self,
            points,
            identity.expand(n, d, d) if self.level >= Derivatives.GRADIENT else None,
            points.new_zeros(()).expand(n, d, self.second_count) if self.level >= Derivatives.SUMMED else None,
            divergence=points.new_full((n,), float(len(self.space))),
            higher=points.new_zeros(()).expand(n, d, len(self.higher)) if self.higher else None,
        )


@dataclass(frozen=True, eq=False)
class Jet:
    """A field's value and derivatives at n points; see the module's docstring for shapes.

    known: the derivatives that are known; None is all that the frame keeps. (Of ∂u/∂x_k, a diagonal Hessian gives the
    derivative by x_k only.) Others are zero.
    divergence: ``(n,)``, of a vector field whose gradient is not kept in full.
    higher: third and fourth derivatives, in the order of `Frame.higher`.
    """

    frame: Frame
    value: Tensor
    gradient: Tensor | None = None
    second: Tensor | None = None
    known: frozenset[Index] | None = None
    divergence: Tensor | None = None
    higher: Tensor | None = None

    # numpy's scalars and arrays then call the operators of this class
    __array_priority__ = 1000

    @property
    def components(self) -> int | None:
        """How many components the field has; None for a scalar."""
        return self.value.shape[1] if self.value.ndim > 1 else None

    @property
    def derivatives(self) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Gradient, second and higher derivatives."""
        return self.gradient, self.second, self.higher

    @property
    def flat(self) -> Tensor:
        """Value and derivatives ``(n, …, m)`` in the order of the frame's layout; all second ones have to be kept."""
        present = [part for part in (self.value[..., None], *self.derivatives) if part is not None]
        shape = torch.broadcast_tensors(*(part[..., 0] for part in present))[0].shape
        return torch.cat([part.expand(*shape, -1) for part in present], dim=-1)

    @functools.cached_property
    def powers(self) -> list[Tensor]:
        """(u - u₀)^k / k!, k = 1 …, flat; computed once where all points share the derivatives, as they do for coordinates."""
        n, shared = len(self.value), all(part is None or part.stride(0) == 0 for part in self.derivatives)
        some = self.each(lambda part: part[:1]) if shared else self
        return [power.expand(n, *power.shape[1:]) for power in self.frame.layout.powers(some.flat)]

    def knows(self, *index: int) -> bool:
        """Whether a derivative is known that the frame keeps."""
        return self.known is None or index in self.known

    def each(self, change: Callable[[Tensor], Tensor]) -> Jet:
        """A linear map of the field, applied to its value and derivatives."""
        gradient, second, higher = (None if part is None else change(part) for part in self.derivatives)
        return Jet(self.frame, change(self.value), gradient, second, self.known, None, higher)

    def __getitem__(self, k: int) -> Jet:
        """Component k as a scalar field."""
        if self.components is None:
            raise TypeError("a scalar field has no components")
        return self.each(lambda part: part[:, k])

    def __add__(self, other: Jet | float) -> Jet:
        a, b = align(self, other)
        pairs = (a.gradient, b.gradient), (a.second, b.second), (a.divergence, b.divergence), (a.higher, b.higher)
        gradient, second, divergence, higher = (combine(torch.add, p, q) for p, q in pairs)
        return Jet(a.frame, a.value + b.value, gradient, second, known_by_both(a, b), divergence, higher)

    def __mul__(self, other: Jet | float) -> Jet:
        if isinstance(other, (int, float)):
            return _scale(self, lambda part: part * other)
        a, b = align(self, other)
        gradient = second = higher = None
        if a.gradient is not None and b.gradient is not None:
            gradient = a.value[..., None] * b.gradient + b.value[..., None] * a.gradient
            if a.second is not None and b.second is not None:
                cross = a.frame.pair(a.gradient, b.gradient)
                second = a.value[..., None] * b.second + b.value[..., None] * a.second + 2.0 * cross
        if a.higher is not None and b.higher is not None:
            higher = a.frame.layout.product(a.flat, b.flat)[..., a.frame.layout.first :]
        divergence = _divergence_of_product(self, other) if isinstance(other, Jet) else None
        return Jet(a.frame, a.value * b.value, gradient, second, known_by_both(a, b), divergence, higher)

    def __neg__(self) -> Jet:
        return _scale(self, torch.neg)

    def __pos__(self) -> Jet:
        return self

    def __sub__(self, other: Jet | float) -> Jet:
        return self + (-other)

    def __rsub__(self, other: float) -> Jet:
        return -self + other

    def __truediv__(self, other: Jet | float) -> Jet:
        if isinstance(other, Jet):
            return self * other**-1.0
        return _scale(self, lambda part: part / other)

    def __rtruediv__(self, other: float) -> Jet:
        return self**-1.0 * other

    def __pow__(self, exponent: Jet | float) -> Jet:
        if isinstance(exponent, Jet):
            return compose(DERIVATIVES["exp"], exponent * compose(DERIVATIVES["log"], self))
        p = float(exponent)

        def power(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            """x**p and its first two derivatives; x**1 at 0 has second derivative 0, not 0*inf."""
            first = p * x ** (p - 1.0) if p != 0.0 else torch.zeros_like(x)
            second = p * (p - 1.0) * x ** (p - 2.0) if p not in (0.0, 1.0) else torch.zeros_like(x)
            return x**p, first, second

        return compose(power, self)

    def __rpow__(self, base: float) -> Jet:
        if base <= 0.0:
            raise ValueError(f"{base} ** field: the base of a variable power must be positive")
        return compose(DERIVATIVES["exp"], self * math.log(base))

    __radd__ = __add__
    __rmul__ = __mul__

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: object, **options: object) -> object:
        """NumPy's functions of jets: ``np.sin(np.pi * x)``."""
        return NotImplemented if method != "__call__" or options else _called(ufunc.__name__, inputs)

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        """torch's functions of jets: ``torch.exp(-x**2)``."""
        return NotImplemented if kwargs else _called(getattr(func, "__name__", ""), args)


# numpy's and torch's names of operations on fields, and those of elementary functions that have another name here
_OPERATIONS: dict[str, Callable[..., object]] = {
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul, "divide": operator.truediv,
    "true_divide": operator.truediv, "power": operator.pow, "pow": operator.pow, "square": lambda a: a * a,
    "negative": operator.neg, "neg": operator.neg, "positive": operator.pos, "mul": operator.mul, "sub": operator.sub,
    "div": operator.truediv,
}  # fmt: skip
_ALIASES = {"absolute": "abs", "fabs": "abs", "arcsin": "asin", "arccos": "acos", "arctan": "atan"}


def _called(name: str, arguments: tuple[object, ...]) -> object:
    """numpy's or torch's function of that name on fields and numbers; NotImplemented for other functions."""
    function = DERIVATIVES.get(_ALIASES.get(name, name))
    if function is None and name not in _OPERATIONS:
        return NotImplemented
    items = [_field_or_number(item) for item in arguments]
    return compose(function, *items) if function else _OPERATIONS[name](*items)  # type: ignore[arg-type]


def _field_or_number(item: object) -> Jet | float:
    """A field, or a number of any numeric type as a float. Raises TypeError for arrays."""
    if isinstance(item, Jet):
        return item
    if isinstance(item, (int, float, np.generic)) or (isinstance(item, (np.ndarray, Tensor)) and item.ndim == 0):
        return float(item)
    raise TypeError(f"fields are combined with fields and numbers, not with {type(item).__name__}s of many values")


def _scale(a: Jet, linear: Callable[[Tensor], Tensor]) -> Jet:
    """A multiple of a jet, its divergence included."""
    return replace(a.each(linear), divergence=None if a.divergence is None else linear(a.divergence))


def combine(function: Callable[[Tensor, Tensor], Tensor], a: Tensor | None, b: Tensor | None) -> Tensor | None:
    """A function of two parts of jets; None where one of them is."""
    return None if a is None or b is None else function(a, b)


def known_by_both(a: Jet, b: Jet) -> frozenset[Index] | None:
    """The derivatives that are known of both; None is all."""
    if a.known is None or b.known is None:
        return b.known if a.known is None else a.known
    return a.known & b.known


def align(a: Jet, b: Jet | float) -> tuple[Jet, Jet]:
    """Both as jets with the same number of axes: a scalar field is repeated over the other's components."""
    if not isinstance(b, Jet):
        constant = a.frame.constant(float(_field_or_number(b)), a.value)  # type: ignore[arg-type]
        b = replace(constant, divergence=torch.zeros_like(constant.value))
    if a.components is None and b.components is not None:
        return with_component_axis(a), b
    if b.components is None and a.components is not None:
        return a, with_component_axis(b)
    return a, b


def with_component_axis(a: Jet) -> Jet:
    """A scalar field as one with one component, which is broadcast."""
    return replace(a.each(lambda part: part[:, None]), divergence=a.divergence)


def _divergence_of_product(a: Jet, b: Jet) -> Tensor | None:
    """div(k v) = k div v + ∇k · v for a scalar k and a vector v, in either order; None where it does not apply."""
    if (a.components is None) == (b.components is None):
        return None
    k, v = (a, b) if a.components is None else (b, a)
    if v.divergence is None or k.gradient is None or k.known is not None:
        return None
    return k.value * v.divergence + (k.gradient[:, k.frame.space] * v.value).sum(-1)


def compose(f: Function, a: Jet) -> Jet:
    """f(a) for a function of one variable, from its value and derivatives."""
    slopes = derivatives(f, a.value, max(2, a.frame.order))
    value, first, second = slopes[:3]
    if a.gradient is None:
        return Jet(a.frame, value)
    gradient = first[..., None] * a.gradient
    if a.second is None:
        return Jet(a.frame, value, gradient, None, a.known)
    squared = second[..., None] * a.frame.pair(a.gradient, a.gradient)
    second = squared + first[..., None] * a.second
    if a.higher is None:
        return Jet(a.frame, value, gradient, second)
    powers = (power[..., a.frame.layout.first :] for power in a.powers)
    higher = sum(f_k[..., None] * power for f_k, power in zip(slopes[1:], powers, strict=True))
    return Jet(a.frame, value, gradient, second, a.known, None, cast("Tensor", higher))
