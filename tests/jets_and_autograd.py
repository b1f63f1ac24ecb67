"""What tests of jets share."""

from __future__ import annotations

import torch
from torch import Tensor

from pdekan.fields.jets import Derivatives, Frame, Jet

LEVELS = list(Derivatives)


def line(*values: float) -> Jet:
    """The coordinate of a 1-D frame at the given points."""
    points = torch.tensor(values, dtype=torch.float64)[:, None]
    return Frame(("x",)).coordinate(points, 0)


def random_points(n: int, d: int, seed: int = 0) -> Tensor:
    return 0.2 + torch.rand(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_like(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slope(y: Tensor, x: Tensor) -> Tensor:
    """Gradient ``(n, d)`` of a field ``(n,)`` by its points."""
    (out,) = torch.autograd.grad(y.sum(), x, create_graph=True, allow_unused=True, materialize_grads=True)
    return out


def close(ours: Tensor, theirs: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(ours, theirs.detach().broadcast_to(ours.shape), rtol=tolerance, atol=tolerance)
