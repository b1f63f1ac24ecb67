"""Derivatives of functions by autograd, which knows nothing of jets."""

from __future__ import annotations

import torch
from torch import Tensor

from pdekan.fields.jets import Derivatives, Frame
from pdekan.fields.singular_functions import SingularFunctions


def assert_derivatives(functions: SingularFunctions, points: Tensor, coordinates: tuple[str, ...] = ("x", "y")) -> None:
    """Gradient, Hessian and Laplacian in space of all functions at points ``(n, d)`` are those of autograd."""
    points = points.requires_grad_()
    frame = Frame(coordinates, Derivatives.FULL)
    full = functions.jet(points, frame)
    summed = functions.jet(points, Frame(coordinates, Derivatives.SUMMED))
    assert full.gradient is not None
    assert full.second is not None
    assert summed.second is not None
    for k in range(functions.count):
        value = functions.jet(points, Frame(coordinates, Derivatives.VALUE)).value[:, k]
        (slope,) = torch.autograd.grad(value.sum(), points, create_graph=True)
        rows = [torch.autograd.grad(slope[:, i].sum(), points, retain_graph=True)[0] for i in range(len(coordinates))]
        torch.testing.assert_close(full.gradient[:, k], slope)
        torch.testing.assert_close(
            full.second[:, k], torch.stack([rows[i][:, j] for i, j in zip(*frame.packed, strict=True)], 1)
        )
        torch.testing.assert_close(summed.second[:, k, 0], torch.stack([rows[i][:, i] for i in frame.space]).sum(0))
