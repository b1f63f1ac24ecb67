"""Multilayer perceptrons with tanh: the baseline, with the same closed-form derivatives as the KAN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn

from pdekan.fields.functions import tanh
from pdekan.fields.jets import Frame, Jet
from pdekan.fields.pullbacks import composition_pullback
from pdekan.networks.base import BoxNetwork, to_unit_box


class MLP(BoxNetwork):
    """tanh network of widths [inputs, hidden…, outputs] on the box lower … upper, which is mapped to [-1, 1].

    Parameters are zero until `initialise` draws them. Raises ValueError for widths that make no network.
    """

    def __init__(
        self, widths: Sequence[int], lower: Sequence[float] | None = None, upper: Sequence[float] | None = None
    ) -> None:
        super().__init__(widths, lower, upper)
        self.layers = nn.ModuleList(nn.utils.skip_init(nn.Linear, a, b, dtype=torch.float64) for a, b in pairwise(self.widths))
        for parameter in self.parameters():  # torch's own initialisation would draw from the global generator
            nn.init.zeros_(parameter)

    @property
    def linear_layers(self) -> list[nn.Linear]:
        """The maps W x + b, first to last."""
        return cast("list[nn.Linear]", list(self.layers))

    @property
    def linear_parameters(self) -> int:
        return sum(p.numel() for p in self.linear_layers[-1].parameters())

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Xavier's normal weights and zero biases; in the first layer random ones that spread the tanh over the box."""
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
        inputs, outputs = [cast("Jet", prepared)], list[Jet]()
        for layer in self.linear_layers:
            if outputs:
                inputs.append(tanh(outputs[-1]))
            outputs.append(_linear(layer, inputs[-1]))
        return MLPTrace(self.linear_layers, inputs, outputs, only_linear)

    def architecture(self) -> dict[str, Any]:
        return {"kind": "mlp", "widths": list(self.widths)}


def build(architecture: Mapping[str, Any]) -> MLP:
    """An MLP of the given `architecture`, with parameters at zero."""
    return MLP(architecture["widths"])


def _linear(layer: nn.Linear, x: Jet) -> Jet:
    """W x + b on jets."""
    y = x.each(lambda part: torch.einsum("oi,ni...->no...", layer.weight, part))
    return replace(y, value=y.value + layer.bias)


@dataclass(frozen=True)
class MLPTrace:
    """An MLP evaluated at points; see `base.Trace`. inputs, outputs: jets before and after each layer's W x + b."""

    layers: list[nn.Linear]
    inputs: list[Jet]
    outputs: list[Jet]
    only_linear: bool

    @property
    def jet(self) -> Jet:
        """The output, with one component a node of the last layer."""
        return self.outputs[-1]

    def rows(self, cotangent: Jet) -> Tensor:
        """Rows of the Jacobian, layer by layer from the last to the first (reverse mode on jets)."""
        blocks: list[Tensor] = []
        for k in reversed(range(len(self.layers))):
            x, n = self.inputs[k], len(cotangent.value)
            rows = cotangent.value[:, :, None] * x.value[:, None]
            for slope, part in zip(cotangent.derivatives, x.derivatives, strict=True):
                if slope is not None and part is not None:
                    rows = rows + torch.einsum("nok,nik->noi", slope, part)
            blocks.insert(0, torch.cat([rows.reshape(n, -1), cotangent.value], dim=1))
            if self.only_linear or k == 0:
                break
            back = cotangent.each(partial(torch.einsum, "oi,no...->ni...", self.layers[k].weight))
            before = self.outputs[k - 1]
            cotangent = composition_pullback(back, _tanh_derivatives(before.value, before.frame.order + 1), before)
        return torch.cat(blocks, dim=1)


def _tanh_derivatives(z: Tensor, order: int) -> list[Tensor]:
    """The derivatives of tanh at z up to an order, the first three at least."""
    y = torch.tanh(z)
    f1 = 1.0 - y**2
    found = [f1, -2.0 * y * f1, f1 * (6.0 * y**2 - 2.0)]
    if order > 3:
        found += [f1 * y * (16.0 - 24.0 * y**2), f1 * (16.0 - 120.0 * y**2 + 120.0 * y**4)]
    return found
