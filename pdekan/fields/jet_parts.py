"""The numbers of a jet by derivative: which derivatives a frame keeps, in the order of `Jet.flat`, and jets made of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor

from pdekan.fields.jets import Derivatives, Frame, Jet
from pdekan.fields.multi_indices import Index


def parts(frame: Frame) -> list[list[Index]]:
    """The derivatives of which each number of a jet is the sum: the value, the gradient, those of second and higher order."""
    d = frame.dimension
    out: list[list[Index]] = [[()]]
    if frame.level >= Derivatives.GRADIENT:
        out += [[(k,)] for k in range(d)]
    if frame.is_full:
        out += [[pair] for pair in zip(*frame.packed, strict=True)]
    elif frame.level is Derivatives.DIAGONAL:
        out += [[(k, k)] for k in range(d)]
    elif frame.level is Derivatives.SUMMED:
        out += [[(k, k) for k in frame.space]]
    return out + [[index] for index in frame.higher]


def jet_of(frame: Frame, derivative: Callable[[Index], Tensor]) -> Jet:
    """The jet of a field from its derivatives, each of the shape of the value."""
    flat = [reduce(torch.add, map(derivative, several)) for several in parts(frame)]
    d, second = frame.dimension, frame.second_count
    return Jet(
        frame,
        flat[0],
        torch.stack(flat[1 : d + 1], -1) if len(flat) > 1 else None,
        torch.stack(flat[d + 1 : d + 1 + second], -1) if second else None,
        higher=torch.stack(flat[d + 1 + second :], -1) if frame.higher else None,
    )


def split(index: Index, column: int) -> tuple[Index, int]:
    """A derivative as one by the other coordinates, numbered without that of a column, and how often it is by this one."""
    others = tuple(k - (k > column) for k in index if k != column)
    return others, len(index) - len(others)
