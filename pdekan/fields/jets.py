"""Jets: a field's value and its derivatives at points, and the chain rule on them.

A differential operator is ordinary arithmetic on jets: ``laplacian(u) + k * u`` reads off what it needs, and
``div(k * grad(u))`` gets the product rule from the multiplication. Nothing is differenced and nothing is traced;
for a composition f(u), with g the gradient of u and ``⊙`` the symmetric product of `Frame.pair`,

    ∂f = f'(u) g,        ∂²f = f''(u) g ⊙ g + f'(u) ∂²u.

Shapes: a scalar field has value ``(n,)``, gradient ``(n, d)`` and second derivatives ``(n, s)``, where n counts points, d
coordinates and s the second derivatives that the frame keeps. A field with components (a vector, the nodes of a layer)
has one more axis after n.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import cast, overload

import numpy as np
import torch
from torch import Tensor

TIME = "t"
Derivatives3 = tuple[Tensor, Tensor, Tensor]


class MissingDerivative(ValueError):  # noqa: N818 - reads as what it is
    """An operator asked for a derivative that its frame does not carry."""


class Derivatives(IntEnum):
    """What a jet carries, from cheap to dear: each level serves whatever the ones before it serve."""

    VALUE = 0
    GRADIENT = 1
    SUMMED = 2  # the Laplacian over the space coordinates, one number
    DIAGONAL = 3  # every ∂²/∂x_k²
    FULL = 4  # every ∂²/∂x_i∂x_j, packed with i <= j


@dataclass(frozen=True)
class Frame:
    """The coordinates that derivatives refer to, how many derivatives are kept, and the outward normal on a boundary.

    coordinates: names in the order of the points' columns; `t` is time and takes no part in `laplacian`, `grad`, `div`.
    normal: ``(n, d)`` unit outward normals, or None away from a boundary.
    """

    coordinates: tuple[str, ...]
    level: Derivatives = Derivatives.FULL
    normal: Tensor | None = None

    @property
    def dimension(self) -> int:
        return len(self.coordinates)

    @property
    def space(self) -> list[int]:
        """Columns of the space coordinates."""
        return [k for k, name in enumerate(self.coordinates) if name != TIME]

    @property
    def seconds(self) -> int:
        """How many second derivatives are kept."""
        d = self.dimension
        return {Derivatives.SUMMED: 1, Derivatives.DIAGONAL: d, Derivatives.FULL: d * (d + 1) // 2}.get(self.level, 0)

    @property
    def packed(self) -> tuple[list[int], list[int]]:
        """Rows and columns (i <= j) of the packed full Hessian."""
        d = self.dimension
        return [i for i in range(d) for _ in range(i, d)], [j for i in range(d) for j in range(i, d)]

    def pair(self, g: Tensor, h: Tensor) -> Tensor:
        """Symmetric product g ⊙ h of two gradients ``(..., d)`` in the layout of the second derivatives ``(..., s)``."""
        if self.level is Derivatives.FULL:
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
        shape = torch.broadcast_shapes(weight.shape[:-1], g.shape[:-1])
        out = torch.zeros((*shape, self.dimension), dtype=g.dtype, device=g.device)
        index_i, index_j = torch.tensor(i, device=g.device), torch.tensor(j, device=g.device)
        out = out.index_add(-1, index_i, 0.5 * weight * g[..., j])
        return out.index_add(-1, index_j, 0.5 * weight * g[..., i])

    def at(self, level: Derivatives) -> Frame:
        """The same coordinates with another number of derivatives."""
        return replace(self, level=level)

    def constant(self, value: float, like: Tensor) -> Jet:
        """The constant field, at as many points as `like` ``(n, ...)`` has."""
        n, d = like.shape[0], self.dimension
        zero = like.new_zeros(())
        return Jet(
            self,
            like.new_full((n,), value),
            zero.expand(n, d) if self.level >= Derivatives.GRADIENT else None,
            zero.expand(n, self.seconds) if self.level >= Derivatives.SUMMED else None,
        )

    def coordinate(self, points: Tensor, k: int) -> Jet:
        """Coordinate k as a field, at points ``(n, d)``."""
        unit = points.new_zeros(self.dimension)
        unit[k] = 1.0
        constant = self.constant(0.0, points)
        gradient = unit.expand(points.shape) if constant.gradient is not None else None
        return Jet(self, points[:, k], gradient, constant.second)

    def position(self, points: Tensor) -> Jet:
        """All coordinates as one field with d components, at points ``(n, d)``."""
        n, d = points.shape
        keeps, two = self.level >= Derivatives.GRADIENT, self.level >= Derivatives.SUMMED
        identity = torch.eye(d, dtype=points.dtype, device=points.device)
        return Jet(
            self,
            points,
            identity.expand(n, d, d) if keeps else None,
            points.new_zeros(()).expand(n, d, self.seconds) if two else None,
            divergence=points.new_full((n,), float(len(self.space))),
        )


@dataclass(frozen=True, eq=False)
class Jet:
    """A field's value and derivatives at n points; see the module's docstring for shapes.

    known: the coordinates by which `gradient` is known; None is all. (A derivative taken from a diagonal Hessian knows
    its own second derivative only.)
    divergence: ``(n,)``, of a vector field whose gradient is not carried in full.
    """

    frame: Frame
    value: Tensor
    gradient: Tensor | None = None
    second: Tensor | None = None
    known: frozenset[int] | None = None
    divergence: Tensor | None = None

    # so that numpy scalars and arrays leave the arithmetic to us
    __array_priority__ = 1000

    @property
    def components(self) -> int | None:
        """How many components the field has; None for a scalar."""
        return self.value.shape[1] if self.value.ndim > 1 else None

    def each(self, change: Callable[[Tensor], Tensor]) -> Jet:
        """The jet whose value, gradient and second derivatives are changed in the same way: a linear map of the field."""
        gradient = None if self.gradient is None else change(self.gradient)
        second = None if self.second is None else change(self.second)
        return Jet(self.frame, change(self.value), gradient, second, self.known)

    def __getitem__(self, k: int) -> Jet:
        """Component k as a scalar field."""
        if self.components is None:
            raise TypeError("a scalar field has no components")
        return self.each(lambda part: part[:, k])

    def __add__(self, other: Jet | float) -> Jet:
        a, b = _aligned(self, other)
        pairs = (a.gradient, b.gradient), (a.second, b.second), (a.divergence, b.divergence)
        gradient, second, divergence = (_both(torch.add, p, q) for p, q in pairs)
        return Jet(a.frame, a.value + b.value, gradient, second, _known(a, b), divergence)

    def __mul__(self, other: Jet | float) -> Jet:
        if isinstance(other, (int, float)):
            return _map(self, lambda part: part * other)
        a, b = _aligned(self, other)
        gradient = second = None
        if a.gradient is not None and b.gradient is not None:
            gradient = a.value[..., None] * b.gradient + b.value[..., None] * a.gradient
            if a.second is not None and b.second is not None:
                cross = a.frame.pair(a.gradient, b.gradient)
                second = a.value[..., None] * b.second + b.value[..., None] * a.second + 2.0 * cross
        divergence = _divergence_of_product(self, other) if isinstance(other, Jet) else None
        return Jet(a.frame, a.value * b.value, gradient, second, _known(a, b), divergence)

    def __neg__(self) -> Jet:
        return _map(self, torch.neg)

    def __pos__(self) -> Jet:
        return self

    def __sub__(self, other: Jet | float) -> Jet:
        return self + (-other)

    def __rsub__(self, other: float) -> Jet:
        return -self + other

    def __truediv__(self, other: Jet | float) -> Jet:
        if isinstance(other, Jet):
            return self * other**-1.0
        return _map(self, lambda part: part / other)

    def __rtruediv__(self, other: float) -> Jet:
        return self**-1.0 * other

    def __pow__(self, exponent: Jet | float) -> Jet:
        if isinstance(exponent, Jet):
            return exp(exponent * log(self))
        p = float(exponent)

        def derivatives(x: Tensor) -> Derivatives3:
            # a vanishing factor must not meet an infinite power: x**1 at 0 has second derivative 0, not 0*inf
            first = p * x ** (p - 1.0) if p != 0.0 else torch.zeros_like(x)
            second = p * (p - 1.0) * x ** (p - 2.0) if p not in (0.0, 1.0) else torch.zeros_like(x)
            return x**p, first, second

        return _compose(self, derivatives)

    def __rpow__(self, base: float) -> Jet:
        if base <= 0.0:
            raise ValueError(f"{base} ** field: the base of a variable power must be positive")
        return exp(self * math.log(base))

    __radd__ = __add__
    __rmul__ = __mul__

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: object, **options: object) -> object:
        """numpy's functions act on jets, so that plain Python formulas work: ``np.sin(np.pi * x)``."""
        if method != "__call__" or options:
            return NotImplemented
        function = _FOREIGN.get(ufunc.__name__)
        return NotImplemented if function is None else function(*map(_field_or_number, inputs))

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        """torch's functions act on jets too: ``torch.exp(-x**2)``."""
        function = _FOREIGN.get(getattr(func, "__name__", ""))
        return NotImplemented if function is None or kwargs else function(*map(_field_or_number, args))


def _field_or_number(item: object) -> Jet | float:
    """What arithmetic takes: fields, and numbers in whatever wrapping. Raises TypeError for arrays."""
    if isinstance(item, Jet):
        return item
    if isinstance(item, (int, float, np.generic)) or (isinstance(item, (np.ndarray, Tensor)) and item.ndim == 0):
        return float(item)
    raise TypeError(f"fields are combined with fields and numbers, not with {type(item).__name__}s of many values")


def _map(a: Jet, linear: Callable[[Tensor], Tensor]) -> Jet:
    """A multiple of a jet, its divergence included."""
    return replace(a.each(linear), divergence=None if a.divergence is None else linear(a.divergence))


def _both(combine: Callable[[Tensor, Tensor], Tensor], a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return None if a is None or b is None else combine(a, b)


def _known(a: Jet, b: Jet) -> frozenset[int] | None:
    if a.known is None or b.known is None:
        return b.known if a.known is None else a.known
    return a.known & b.known


def _aligned(a: Jet, b: Jet | float) -> tuple[Jet, Jet]:
    """Both as jets with the same number of axes: a scalar field is repeated over the other's components."""
    if not isinstance(b, Jet):
        constant = a.frame.constant(float(_field_or_number(b)), a.value)  # type: ignore[arg-type]
        b = replace(constant, divergence=torch.zeros_like(constant.value))
    if a.components is None and b.components is not None:
        return _repeated(a), b
    if b.components is None and a.components is not None:
        return a, _repeated(b)
    return a, b


def _repeated(a: Jet) -> Jet:
    return replace(a.each(lambda part: part[:, None]), divergence=a.divergence)


def _divergence_of_product(a: Jet, b: Jet) -> Tensor | None:
    """div(k v) = k div v + ∇k · v for a scalar k and a vector v, in either order; None where it does not apply."""
    if (a.components is None) == (b.components is None):
        return None
    k, v = (a, b) if a.components is None else (b, a)
    if v.divergence is None or k.gradient is None or k.known is not None:
        return None
    return k.value * v.divergence + (k.gradient[:, k.frame.space] * v.value).sum(-1)


def _compose(a: Jet, derivatives: Callable[[Tensor], Derivatives3]) -> Jet:
    """f(a) for a function of one variable that comes with its first two derivatives."""
    value, first, second = derivatives(a.value)
    if a.gradient is None:
        return Jet(a.frame, value)
    gradient = first[..., None] * a.gradient
    if a.second is None:
        return Jet(a.frame, value, gradient, None, a.known)
    curved = second[..., None] * a.frame.pair(a.gradient, a.gradient)
    return Jet(a.frame, value, gradient, curved + first[..., None] * a.second)


def _tan(x: Tensor) -> Derivatives3:
    y = torch.tan(x)
    return y, 1 + y**2, 2 * y * (1 + y**2)


def _tanh(x: Tensor) -> Derivatives3:
    y = torch.tanh(x)
    return y, 1 - y**2, -2 * y * (1 - y**2)


def _exp(x: Tensor) -> Derivatives3:
    y = torch.exp(x)
    return y, y, y


def _sqrt(x: Tensor) -> Derivatives3:
    y = torch.sqrt(x)
    return y, 0.5 / y, -0.25 / y**3


def _erf(x: Tensor) -> Derivatives3:
    slope = 2.0 / math.sqrt(math.pi) * torch.exp(-(x**2))
    return torch.erf(x), slope, -2 * x * slope


# f, f', f'' of the elementary functions
_DERIVATIVES: dict[str, Callable[[Tensor], Derivatives3]] = {
    "sin": lambda x: (torch.sin(x), torch.cos(x), -torch.sin(x)),
    "cos": lambda x: (torch.cos(x), -torch.sin(x), -torch.cos(x)),
    "tan": _tan,
    "asin": lambda x: (torch.asin(x), (1 - x**2) ** -0.5, x * (1 - x**2) ** -1.5),
    "acos": lambda x: (torch.acos(x), -((1 - x**2) ** -0.5), -x * (1 - x**2) ** -1.5),
    "atan": lambda x: (torch.atan(x), 1 / (1 + x**2), -2 * x / (1 + x**2) ** 2),
    "sinh": lambda x: (torch.sinh(x), torch.cosh(x), torch.sinh(x)),
    "cosh": lambda x: (torch.cosh(x), torch.sinh(x), torch.cosh(x)),
    "tanh": _tanh,
    "exp": _exp,
    "log": lambda x: (torch.log(x), 1 / x, -1 / x**2),
    "log10": lambda x: (torch.log10(x), 1 / (x * math.log(10)), -1 / (x**2 * math.log(10))),
    "sqrt": _sqrt,
    "abs": lambda x: (torch.abs(x), torch.sign(x), torch.zeros_like(x)),
    "sign": lambda x: (torch.sign(x), torch.zeros_like(x), torch.zeros_like(x)),
    "erf": _erf,
}


class Elementary:
    """A function of one variable that acts on fields, with exact derivatives, and on numbers."""

    def __init__(self, name: str) -> None:
        self.name = self.__name__ = name
        self._derivatives = _DERIVATIVES[name]

    @overload
    def __call__(self, a: Jet) -> Jet: ...
    @overload
    def __call__(self, a: float) -> float: ...
    def __call__(self, a: Jet | float) -> Jet | float:
        if isinstance(a, Jet):
            return _compose(a, self._derivatives)
        return float(self._derivatives(torch.tensor(float(a), dtype=torch.float64))[0])

    def __repr__(self) -> str:
        return f"pdekan.{self.name}"


ELEMENTARY = {name: Elementary(name) for name in _DERIVATIVES}
sin, cos, tan = ELEMENTARY["sin"], ELEMENTARY["cos"], ELEMENTARY["tan"]
asin, acos, atan = ELEMENTARY["asin"], ELEMENTARY["acos"], ELEMENTARY["atan"]
sinh, cosh, tanh = ELEMENTARY["sinh"], ELEMENTARY["cosh"], ELEMENTARY["tanh"]
exp, log, log10, sqrt = ELEMENTARY["exp"], ELEMENTARY["log"], ELEMENTARY["log10"], ELEMENTARY["sqrt"]
erf, sign = ELEMENTARY["erf"], ELEMENTARY["sign"]
# the names that numpy and torch give to the same functions
_FOREIGN: dict[str, Callable[..., object]] = {
    **ELEMENTARY,
    "absolute": ELEMENTARY["abs"], "fabs": ELEMENTARY["abs"], "arcsin": asin, "arccos": acos, "arctan": atan,
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul, "divide": operator.truediv,
    "true_divide": operator.truediv, "power": operator.pow, "pow": operator.pow, "square": lambda a: a * a,
    "negative": operator.neg, "neg": operator.neg, "positive": operator.pos, "mul": operator.mul, "sub": operator.sub,
    "div": operator.truediv,
}  # fmt: skip


def where(condition: Tensor, a: Jet | float, b: Jet | float) -> Jet:
    """The field a where the condition holds, b elsewhere; derivatives are those of the field chosen.

    condition: ``(n,)``, or ``(n, m)`` for fields with m components.
    """
    if not isinstance(a, Jet):
        if not isinstance(b, Jet):
            raise TypeError("where(condition, a, b): a or b must be a field")
        a = b.frame.constant(float(a), b.value)
    a, b = _aligned(a, b)
    if condition.ndim > 1 and a.components is None:
        a, b = _repeated(a), _repeated(b)

    def choose(p: Tensor, q: Tensor) -> Tensor:
        return torch.where(condition.reshape(condition.shape + (1,) * (p.ndim - condition.ndim)), p, q)

    gradient, second = _both(choose, a.gradient, b.gradient), _both(choose, a.second, b.second)
    # a choice made component by component has no divergence that the two divergences would tell
    divergence = _both(choose, a.divergence, b.divergence) if condition.ndim == 1 else None
    return Jet(a.frame, choose(a.value, b.value), gradient, second, _known(a, b), divergence)


def atan2(y: Jet | float, x: Jet | float) -> Jet | float:
    """The angle of the point (x, y), in (-π, π]."""
    if not isinstance(x, Jet):
        if not isinstance(y, Jet):
            return math.atan2(y, x)
        x = y.frame.constant(float(x), y.value)
    y, x = _aligned(y if isinstance(y, Jet) else x.frame.constant(float(y), x.value), x)
    # both branches differ from the angle by a constant; each is smooth where it is chosen
    steep = y.value.abs() > x.value.abs()
    one = torch.ones_like(x.value)
    flat = replace(x, value=torch.where(steep, one, x.value))
    tall = replace(y, value=torch.where(steep, y.value, one))
    angle = where(steep, -atan(x / tall), atan(y / flat))
    return replace(angle, value=torch.atan2(y.value, x.value))


def stacked(fields: Sequence[Jet]) -> Jet:
    """Scalar fields as the components of one field."""

    def together(parts: Iterable[Tensor | None]) -> Tensor | None:
        known = [part for part in parts if part is not None]
        return torch.stack([*torch.broadcast_tensors(*known)], dim=1) if known else None

    value = torch.stack([*torch.broadcast_tensors(*(u.value for u in fields))], dim=1)
    return Jet(fields[0].frame, value, together(u.gradient for u in fields), together(u.second for u in fields))


def composed(outer: Jet, position: Sequence[Jet]) -> Jet:
    """f(p_1, …, p_d) from the jet of f by its coordinates, with its full Hessian, and those of p_1, …, p_d:
    ∂f = Σ f_k ∂p_k,  ∂²f = Σ f_kl ∂p_k ⊙ ∂p_l + Σ f_k ∂²p_k.
    """
    frame, d = position[0].frame, len(position)
    if frame.level < Derivatives.GRADIENT:
        return Jet(frame, outer.value)
    slopes = [cast("Tensor", p.gradient) for p in position]
    first = cast("Tensor", outer.gradient)
    gradient = sum((first[:, k, None] * slopes[k] for k in range(d)), start=torch.zeros_like(first))
    if frame.level < Derivatives.SUMMED:
        return Jet(frame, outer.value, gradient)
    curved = cast("Tensor", outer.second)
    second = sum(
        (first[:, k, None] * cast("Tensor", position[k].second) for k in range(d)),
        start=curved.new_zeros(len(curved), frame.seconds),
    )
    for slot, (k, j) in enumerate(zip(*outer.frame.packed, strict=True)):
        second = second + (1.0 if k == j else 2.0) * curved[:, slot, None] * frame.pair(slopes[k], slopes[j])
    return Jet(frame, outer.value, gradient, second)


def total(v: Jet) -> Jet:
    """Sum of a field's components (`sum` of the problem file)."""
    return v.each(lambda part: part.sum(1))


def product(v: Jet) -> Jet:
    """Product of a field's components (`prod` of the problem file)."""
    if v.components is None:
        raise TypeError("prod acts on a field with components")
    return functools.reduce(operator.mul, (v[k] for k in range(v.components)))
