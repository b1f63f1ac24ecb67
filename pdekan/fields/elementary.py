"""The elementary functions of one variable: value, first and second derivative of each, on tensors; higher ones by autograd."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

# x ↦ f(x), f'(x), f''(x), and further derivatives where they are known
Function = Callable[[Tensor], tuple[Tensor, ...]]


def derivatives(f: Function, x: Tensor, order: int) -> list[Tensor]:
    """f and its derivatives up to an order at x, those that it does not give by autograd of the last one that it gives."""
    found = list(f(x)[: order + 1])
    if len(found) > order:
        return found
    with torch.enable_grad():
        y = x if x.requires_grad else x.detach().requires_grad_()
        last = f(y)[-1]
        for _ in range(order + 1 - len(found)):
            last = slope(last, y)
            found.append(last if x.requires_grad else last.detach())
    return found


def slope(y: Tensor, x: Tensor) -> Tensor:
    """∂(Σ y)/∂x with its graph, zero where y does not depend on x."""
    if not y.requires_grad:
        return torch.zeros_like(x)
    (found,) = torch.autograd.grad(y.sum(), x, create_graph=True, allow_unused=True)
    return torch.zeros_like(x) if found is None else found


def _tan(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    y = torch.tan(x)
    return y, 1 + y**2, 2 * y * (1 + y**2)


def _tanh(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    y = torch.tanh(x)
    return y, 1 - y**2, -2 * y * (1 - y**2)


def _sqrt(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    y = torch.sqrt(x)
    return y, 0.5 / y, -0.25 / y**3


def _erf(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    slope = 2.0 / math.sqrt(math.pi) * torch.exp(-(x**2))
    return torch.erf(x), slope, -2 * x * slope


DERIVATIVES: dict[str, Function] = {
    "sin": lambda x: (torch.sin(x), torch.cos(x), -torch.sin(x)),
    "cos": lambda x: (torch.cos(x), -torch.sin(x), -torch.cos(x)),
    "tan": _tan,
    "asin": lambda x: (torch.asin(x), (1 - x**2) ** -0.5, x * (1 - x**2) ** -1.5),
    "acos": lambda x: (torch.acos(x), -((1 - x**2) ** -0.5), -x * (1 - x**2) ** -1.5),
    "atan": lambda x: (torch.atan(x), 1 / (1 + x**2), -2 * x / (1 + x**2) ** 2),
    "sinh": lambda x: (torch.sinh(x), torch.cosh(x), torch.sinh(x)),
    "cosh": lambda x: (torch.cosh(x), torch.sinh(x), torch.cosh(x)),
    "tanh": _tanh,
    "exp": lambda x: (torch.exp(x),) * 3,
    "log": lambda x: (torch.log(x), 1 / x, -1 / x**2),
    "log10": lambda x: (torch.log10(x), 1 / (x * math.log(10)), -1 / (x**2 * math.log(10))),
    "sqrt": _sqrt,
    "abs": lambda x: (torch.abs(x), torch.sign(x), torch.zeros_like(x)),
    "sign": lambda x: (torch.sign(x), torch.zeros_like(x), torch.zeros_like(x)),
    "erf": _erf,
}
