"""What the trainer asks of a network: its jet at points, and, where known in closed form, its Jacobian row by row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import deepcopy
from typing import Protocol

import torch
from torch import Tensor, nn

from pdekan.jets import Derivatives, Frame, Jet


class Trace(Protocol):
    """A network evaluated at n points, ready to be differentiated by its parameters."""

    @property
    def jet(self) -> Jet:
        """The output, with m components."""

    def rows(self, cotangent: Jet) -> Tensor:
        """Derivative ``(n, P)`` by the flat parameters of Σ_i ⟨cotangent_i, jet_i⟩, row i from point i alone."""


class Network(nn.Module, ABC):
    """A map from ``(n, inputs)`` to ``(n, outputs)`` in float64 with derivatives by its inputs."""

    inputs: int
    outputs: int

    @abstractmethod
    def jet(self, points: Tensor, frame: Frame) -> Jet:
        """Value and derivatives at points ``(n, inputs)``, with `outputs` components, differentiable by autograd."""

    def forward(self, points: Tensor) -> Tensor:
        """Values ``(n, outputs)`` at points ``(n, inputs)``."""
        names = tuple(f"x{k}" for k in range(self.inputs))
        return self.jet(points, Frame(names, Derivatives.VALUE)).value

    @property
    def linear_parameters(self) -> int:
        """How many trailing parameters the output depends on linearly."""
        return 0

    def prepare(self, points: Tensor, frame: Frame) -> Jet | object:
        """What does not change while points stay: worked out once, then passed to `trace`."""
        raise NotImplementedError(f"{type(self).__name__} has no Jacobian in closed form; train it with lbfgs or adam")

    def trace(self, prepared: object, only_linear: bool = False) -> Trace:
        """Evaluate at prepared points, keeping what the Jacobian's rows need.

        only_linear: of the rows, only the trailing columns of the parameters in which the network is linear.
        """
        raise NotImplementedError(f"{type(self).__name__} has no Jacobian in closed form; train it with lbfgs or adam")

    def normalise(self, points: Tensor) -> None:
        """Bring hidden nodes back to the range that the network is made for; nothing to do for most."""


def to_unit_box(points: Tensor, frame: Frame, lower: Tensor, upper: Tensor) -> Jet:
    """The coordinates of points ``(n, d)``, mapped from the box lower … upper to [-1, 1], as one field with d components."""
    scale = 2.0 / (upper - lower)
    position = frame.position(points)
    gradient = None if position.gradient is None else torch.diag(scale).expand(position.gradient.shape)
    return Jet(frame, (points - lower) * scale - 1.0, gradient, position.second)


class ModuleNetwork(Network):
    """A float64 copy of any `torch.nn.Module` from ``(n, inputs)`` to ``(n, outputs)``, differentiated by nested autograd."""

    def __init__(self, module: nn.Module, inputs: int, outputs: int = 1) -> None:
        super().__init__()
        self.module = deepcopy(module).double()
        self.inputs, self.outputs = inputs, outputs

    def jet(self, points: Tensor, frame: Frame) -> Jet:
        """Value and derivatives by reverse-mode autograd, once for each output and coordinate."""
        if frame.level is Derivatives.VALUE:
            return Jet(frame, self.module(points))
        x = points.detach().requires_grad_()
        with torch.enable_grad():
            value = self.module(x)
            gradient = torch.stack([_slope(value[:, m], x) for m in range(self.outputs)], dim=1)
            second = self._second(gradient, x, frame) if frame.level > Derivatives.GRADIENT else None
        return Jet(frame, value, gradient, second)

    def _second(self, gradient: Tensor, x: Tensor, frame: Frame) -> Tensor:
        wanted = frame.space if frame.level is Derivatives.SUMMED else range(self.inputs)
        outputs = []
        for m in range(self.outputs):
            hessian = {k: _slope(gradient[:, m, k], x) for k in wanted}
            if frame.level is Derivatives.FULL:
                i, j = frame.packed
                outputs.append(torch.stack([hessian[a][:, b] for a, b in zip(i, j, strict=True)], dim=-1))
                continue
            diagonal = torch.stack([hessian[k][:, k] for k in wanted], dim=-1)
            outputs.append(diagonal.sum(-1, keepdim=True) if frame.level is Derivatives.SUMMED else diagonal)
        return torch.stack(outputs, dim=1)


def _slope(y: Tensor, x: Tensor) -> Tensor:
    """∂(Σ y)/∂x, zero where y does not depend on x."""
    if not y.requires_grad:
        return torch.zeros_like(x)
    (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True, allow_unused=True)
    return torch.zeros_like(x) if slope is None else slope
