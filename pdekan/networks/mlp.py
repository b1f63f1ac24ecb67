"""Multilayer perceptrons with tanh: the baseline, with the same closed-form derivatives as the KAN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from pdekan.fields.functions import tanh
from pdekan.fields.jets import Frame, Jet
from pdekan.networks.base import Network, to_unit_box


class MLP(Network):
    """tanh network of widths [inputs, hidden…, outputs] on the box lower … upper, which is mapped to [-1, 1].

    Parameters start at zero; `initialise` gives a start to train from. Raises ValueError for sizes that do not fit together.
    """

    def __init__(
        self, widths: Sequence[int], lower: Sequence[float] | None = None, upper: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        if len(widths) < 2 or min(widths) < 1:
            raise ValueError(f"widths {list(widths)}: a network needs inputs, outputs and at least one node in each layer")
        self.widths = tuple(widths)
        self.inputs, self.outputs = self.widths[0], self.widths[-1]
        self.layers = nn.ModuleList(nn.utils.skip_init(nn.Linear, a, b, dtype=torch.float64) for a, b in pairwise(self.widths))
        for parameter in self.parameters():  # torch's own initialisation would draw from the global generator
            nn.init.zeros_(parameter)
        self.lower: Tensor
        self.upper: Tensor
        a = torch.tensor([-1.0] * self.inputs if lower is None else list(lower), dtype=torch.float64)
        b = torch.tensor([1.0] * self.inputs if upper is None else list(upper), dtype=torch.float64)
        self.register_buffer("lower", a)
        self.register_buffer("upper", b)

    @property
    def linear_layers(self) -> list[nn.Linear]:
        """The maps W x + b, first to last."""
        return cast("list[nn.Linear]", list(self.layers))

    @property
    def linear_parameters(self) -> int:
        return sum(p.numel() for p in self.linear_layers[-1].parameters())

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Xavier's normal weights, zero biases but in the first layer, whose tanh are spread over the box."""
        for k, layer in enumerate(self.linear_layers):
            spread = (2.0 / (layer.in_features + layer.out_features)) ** 0.5
            layer.weight.copy_(spread * torch.randn(layer.weight.shape, generator=generator, dtype=torch.float64))
            layer.bias.zero_()
            if k == 0:
                layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator, dtype=torch.float64))
                layer.bias.copy_(2.0 * torch.rand(layer.bias.shape, generator=generator, dtype=torch.float64) - 1.0)

    def prepare(self, points: Tensor, frame: Frame) -> Jet:
        return to_unit_box(points, frame, self.lower, self.upper)

    def jet(self, points: Tensor, frame: Frame) -> Jet:
        x = self.prepare(points, frame)
        for layer in self.linear_layers:
            x = _linear(layer, x if layer is self.linear_layers[0] else tanh(x))
        return x

    @torch.no_grad()
    def trace(self, prepared: object, only_linear: bool = False) -> MLPTrace:
        x = prepared
        assert isinstance(x, Jet)
        inputs, outputs = [], []
        for layer in self.linear_layers:
            inputs.append(x if layer is self.linear_layers[0] else tanh(x))
            outputs.append(_linear(layer, inputs[-1]))
            x = outputs[-1]
        return MLPTrace(x, self.linear_layers, inputs, outputs, only_linear)


def _linear(layer: nn.Linear, x: Jet) -> Jet:
    """W x + b on jets."""
    y = x.each(lambda part: torch.einsum("oi,ni...->no...", layer.weight, part))
    return replace(y, value=y.value + layer.bias)


@dataclass(frozen=True)
class MLPTrace:
    """An MLP evaluated at points; see `base.Trace`. inputs, outputs: jets before and after each layer's W x + b."""

    jet: Jet
    layers: list[nn.Linear]
    inputs: list[Jet]
    outputs: list[Jet]
    only_linear: bool

    def rows(self, cotangent: Jet) -> Tensor:
        """Rows of the Jacobian, layer by layer from the last to the first (reverse mode on jets)."""
        blocks: list[Tensor] = []
        for k in reversed(range(len(self.layers))):
            x, n = self.inputs[k], len(cotangent.value)
            rows = cotangent.value[:, :, None] * x.value[:, None]
            for slope, part in ((cotangent.gradient, x.gradient), (cotangent.second, x.second)):
                if slope is not None and part is not None:
                    rows = rows + torch.einsum("nok,nik->noi", slope, part)
            blocks.insert(0, torch.cat([rows.reshape(n, -1), cotangent.value], dim=1))
            if self.only_linear or k == 0:
                break
            weight = self.layers[k].weight
            back = cotangent.each(partial(torch.einsum, "oi,no...->ni...", weight))
            cotangent = _tanh_pullback(self.outputs[k - 1], back)
        return torch.cat(blocks, dim=1)


def _tanh_pullback(z: Jet, cotangent: Jet) -> Jet:
    """Derivative of ⟨cotangent, tanh(z)⟩ by the jet of z, elementwise."""
    frame, y = z.frame, torch.tanh(z.value)
    f1 = 1.0 - y**2
    f2, f3 = -2.0 * y * f1, f1 * (6.0 * y**2 - 2.0)
    value, gradient, second = f1 * cotangent.value, None, None
    if cotangent.gradient is not None and z.gradient is not None:
        value = value + f2 * (cotangent.gradient * z.gradient).sum(-1)
        gradient = f1[..., None] * cotangent.gradient
        if cotangent.second is not None and z.second is not None:
            pair = frame.pair(z.gradient, z.gradient)
            value = value + f2 * (cotangent.second * z.second).sum(-1) + f3 * (cotangent.second * pair).sum(-1)
            gradient = gradient + 2.0 * f2[..., None] * frame.pair_pullback(cotangent.second, z.gradient)
            second = f1[..., None] * cotangent.second
    return Jet(frame, value, gradient, second)
