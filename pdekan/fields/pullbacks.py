"""Reverse mode on jets: derivatives of a pairing ⟨cotangent, jet⟩ by the jets that the jet was made of.

⟨c, u⟩ is the sum over value, gradient and second derivatives of c times those of u; with components it is one number for each.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from pdekan.fields.jets import Jet, compose


def pairing(cotangent: Jet, u: Jet) -> Tensor:
    """⟨cotangent, u⟩ ``(n,)`` of scalar fields, ``(n, m)`` of components."""
    total = cotangent.value * u.value
    for slope, part in zip(cotangent.derivatives, u.derivatives, strict=True):
        if slope is not None and part is not None:
            total = total + (slope * part).sum(-1)
    return total


def product_pullback(cotangent: Jet, factor: Jet) -> Jet:
    """Derivative of ⟨cotangent, factor · u⟩ by the jet of u, component by component."""
    value, gradient, second = cotangent.value * factor.value, None, None
    if cotangent.gradient is not None and factor.gradient is not None:
        value = value + (cotangent.gradient * factor.gradient).sum(-1)
        gradient = cotangent.gradient * factor.value[..., None]
        if cotangent.second is not None and factor.second is not None:
            value = value + (cotangent.second * factor.second).sum(-1)
            gradient = gradient + 2.0 * factor.frame.pair_pullback(cotangent.second, factor.gradient)
            second = cotangent.second * factor.value[..., None]
    pulled = Jet(cotangent.frame, value, gradient, second)
    if cotangent.higher is None or factor.higher is None:
        return pulled
    return with_flat(pulled, factor.frame.layout.pullback(cotangent.higher, factor.flat))


def with_flat(u: Jet, more: Tensor) -> Jet:
    """A jet without higher derivatives plus a flat one ``(..., m)`` that has them."""
    assert u.gradient is not None
    assert u.second is not None
    value, gradient, second, higher = more.split([1, u.frame.dimension, u.second.shape[-1], len(u.frame.higher)], dim=-1)
    return Jet(u.frame, u.value + value[..., 0], u.gradient + gradient, u.second + second, higher=higher)


def composition_pullback(cotangent: Jet, derivatives: Sequence[Tensor], u: Jet) -> Jet:
    """Derivative of ⟨cotangent, f(u)⟩ by the jet of u, component by component; derivatives: f', f'', … at u, one more than
    the jet keeps.
    """
    if u.higher is not None:
        return product_pullback(cotangent, compose(lambda _: tuple(derivatives), u))
    f1, f2, f3 = derivatives[:3]
    value, gradient, second = f1 * cotangent.value, None, None
    if cotangent.gradient is not None and u.gradient is not None:
        value = value + f2 * (cotangent.gradient * u.gradient).sum(-1)
        gradient = f1[..., None] * cotangent.gradient
        if cotangent.second is not None and u.second is not None:
            pair = u.frame.pair(u.gradient, u.gradient)
            value = value + f2 * (cotangent.second * u.second).sum(-1) + f3 * (cotangent.second * pair).sum(-1)
            gradient = gradient + 2.0 * f2[..., None] * u.frame.pair_pullback(cotangent.second, u.gradient)
            second = f1[..., None] * cotangent.second
    return Jet(u.frame, value, gradient, second)
