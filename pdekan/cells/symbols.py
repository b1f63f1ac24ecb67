"""Linear operators in space and time as sums of derivatives with coefficients, and those in space that stages have."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pdekan.fields.jet_parts import parts, split
from pdekan.fields.jets import Jet
from pdekan.fields.multi_indices import Index

Coefficients = dict[Index, Tensor]  # ``(n, U)`` by derivative, those that are not zero everywhere


def coefficients(slope: Jet) -> Coefficients:
    """The coefficients of all derivatives from the derivative of a residual by a jet."""
    out: Coefficients = {}
    for indices, part in zip(parts(slope.frame), slope.flat.unbind(-1), strict=True):
        if bool((part != 0.0).any()):
            out |= dict.fromkeys(indices, part)
    return out


def in_space(every: Mapping[Index, Tensor], column: int, rate: complex) -> Coefficients:
    """The operator in space where ∂/∂t is multiplication by a rate; real for a real one."""
    out: Coefficients = {}
    factor = rate.real if rate.imag == 0.0 else rate
    for index, part in every.items():
        space, times = split(index, column)
        term = part * factor**times if times else part
        out[space] = out[space] + term if space in out else term
    return out


def sizes(every: Mapping[Index, Tensor], sides: Tensor) -> Tensor:
    """Squares ``(n, U)`` of the residual of a function of size one that changes over sides ``(n, d)``; see `rows`."""
    total = None
    for index, part in every.items():
        scale = torch.stack([sides[:, k] for k in index]).prod(0) if index else torch.ones_like(sides[:, 0])
        square = (part.abs() / scale[:, None]).square()
        total = square if total is None else total + square
    assert total is not None
    return total
