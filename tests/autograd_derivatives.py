"""Derivatives of functions of the plane by autograd, which knows nothing of jets."""

from __future__ import annotations

import torch
from torch import Tensor

from pdekan.fields.jets import Derivatives, Frame
from pdekan.fields.singular_functions import SingularFunctions


def assert_derivatives(functions: SingularFunctions, points: Tensor) -> None:
    """Gradient, Hessian and Laplacian of all functions at points ``(n, 2)`` are those of autograd."""
    points = points.requires_grad_()
    full = functions.jet(points, Frame(("x", "y"), Derivatives.FULL))
    summed = functions.jet(points, Frame(("x", "y"), Derivatives.SUMMED))
    assert full.gradient is not None
    assert full.second is not None
    assert summed.second is not None
    for k in range(functions.count):
        value = functions.jet(points, Frame(("x", "y"), Derivatives.VALUE)).value[:, k]
        (slope,) = torch.autograd.grad(value.sum(), points, create_graph=True)
        rows = [torch.autograd.grad(slope[:, i].sum(), points, retain_graph=True)[0] for i in (0, 1)]
        torch.testing.assert_close(full.gradient[:, k], slope)
        torch.testing.assert_close(full.second[:, k], torch.stack([rows[0][:, 0], rows[0][:, 1], rows[1][:, 1]], dim=1))
        torch.testing.assert_close(summed.second[:, k, 0], rows[0][:, 0] + rows[1][:, 1])
