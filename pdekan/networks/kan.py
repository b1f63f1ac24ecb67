"""Kolmogorov-Arnold networks: a learnable spline on every edge, sums at the nodes (arXiv:2404.19756, section 2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from pdekan import splines
from pdekan.jets import Derivatives, Frame, Jet
from pdekan.networks.base import Network, to_unit_box

MARGIN = 0.97  # hidden nodes are mapped to [-MARGIN, MARGIN], so that unseen points stay on the knots [-1, 1]
NOISE = 0.05  # relative departure of a fresh edge from a linear function


class SplineLayer(nn.Module):
    """One layer of edges: node o receives Σ_i φ_io(x_i), φ_io = Σ_b c_iob B_b.

    With base "silu", φ = w_b silu + w_s Σ c B (arXiv:2404.19756, eq. 2.10). coefficients: ``(inputs, outputs, n)``.
    """

    def __init__(self, inputs: int, outputs: int, degree: int, intervals: int, base: str = "none") -> None:
        super().__init__()
        splines.check_sizes(degree, intervals)
        self.inputs, self.outputs, self.degree, self.intervals, self.base = inputs, outputs, degree, intervals, base
        if base == "silu":
            self.spline_weight = nn.Parameter(torch.ones(inputs, outputs, dtype=torch.float64))
            self.base_weight = nn.Parameter(torch.zeros(inputs, outputs, dtype=torch.float64))
        size = splines.count(degree, intervals)
        self.coefficients = nn.Parameter(torch.zeros(inputs, outputs, size, dtype=torch.float64))

    @property
    def linear_parameters(self) -> int:
        """How many trailing parameters of the layer its output is linear in, with the others held."""
        return self.coefficients.numel() + (self.base_weight.numel() if self.base == "silu" else 0)

    def bases(self, x: Tensor, derivatives: int) -> Bases:
        """Basis values at x ``(n, inputs)``, and the base function's."""
        base = _silu(x)[: derivatives + 1] if self.base == "silu" else None
        return Bases(splines.basis(x, self.degree, self.intervals, derivatives), base)

    def activations(self, bases: Bases) -> list[Tensor]:
        """φ and its derivatives ``(n, inputs, outputs)``, as many as the bases hold."""
        spline = [torch.einsum("nib,iob->nio", part, self.coefficients) for part in bases.spline]
        if bases.base is None:
            return spline
        pairs = zip(spline, bases.base, strict=True)
        return [self.spline_weight * phi + self.base_weight * base[..., None] for phi, base in pairs]

    def forward(self, x: Jet) -> Jet:
        """The nodes' jets from the inputs'."""
        return combine(self.activations(self.bases(x.value, _orders(x.frame))), x)

    @torch.no_grad()
    def rescale_outputs(self, scale: Tensor, shift: Tensor) -> None:
        """Replace the outputs y by scale · y + shift ``(outputs,)``, exactly: B-splines sum to one."""
        self.coefficients.mul_(scale[:, None])
        share = (shift / self.inputs).expand(self.inputs, -1)
        if self.base == "silu":
            self.base_weight.mul_(scale)
            share = share / self.spline_weight
        self.coefficients.add_(share[..., None])

    @torch.no_grad()
    def substitute_inputs(self, scale: Tensor, shift: Tensor) -> None:
        """Change the activations so that they take scale · x + shift ``(inputs,)`` where they took x; a least-squares fit."""
        t = splines.sample_points(self.degree, self.intervals).to(scale)
        old = (t[:, None] - shift) / scale
        target = self.activations(self.bases(old, 0))[0]
        if self.base == "silu":
            target = (target - self.base_weight * _silu(t)[0][:, None, None]) / self.spline_weight
        fitted = splines.fit(t, target, self.degree, self.intervals)
        self.coefficients.copy_(fitted.permute(1, 2, 0))


@dataclass(frozen=True)
class Bases:
    """Values and derivatives of the spline basis, each ``(n, inputs, b)``, and of the base function ``(n, inputs)``."""

    spline: list[Tensor]
    base: list[Tensor] | None


def combine(phi: list[Tensor], x: Jet) -> Jet:
    """Σ_i φ_io(x_i) as a jet, from the activations' values and derivatives ``(n, inputs, outputs)``."""
    gradient = second = None
    if x.gradient is not None:
        gradient = torch.einsum("nio,nid->nod", phi[1], x.gradient)
    if x.gradient is not None and x.second is not None:
        pair = x.frame.pair(x.gradient, x.gradient)
        second = torch.einsum("nio,nis->nos", phi[2], pair) + torch.einsum("nio,nis->nos", phi[1], x.second)
    return Jet(x.frame, phi[0].sum(1), gradient, second)


def _orders(frame: Frame) -> int:
    """The highest derivative of an activation that a jet's composition takes."""
    return min(int(frame.level), 2)


def _silu(x: Tensor) -> list[Tensor]:
    """silu(x) = x σ(x) and its first three derivatives."""
    s = torch.sigmoid(x)
    s1 = s * (1 - s)
    s2 = s1 * (1 - 2 * s)
    s3 = s2 * (1 - 2 * s) - 2 * s1**2
    return [x * s, s + x * s1, 2 * s1 + x * s2, 3 * s2 + x * s3]


@dataclass(frozen=True)
class LayerTrace:
    """A layer evaluated at a jet, ready for derivatives by its parameters and by its inputs."""

    layer: SplineLayer
    x: Jet
    bases: Bases
    phi: list[Tensor]

    def factors(self, cotangent: Jet) -> list[Tensor]:
        """Derivatives of ⟨cotangent, output⟩ by φ, φ', φ'' (as far as they matter), each ``(n, inputs or 1, outputs)``."""
        factors = [cotangent.value[:, None]]
        if self.x.gradient is not None and cotangent.gradient is not None:
            first = torch.einsum("nod,nid->nio", cotangent.gradient, self.x.gradient)
            if self.x.second is not None and cotangent.second is not None:
                first = first + torch.einsum("nos,nis->nio", cotangent.second, self.x.second)
                pair = self.x.frame.pair(self.x.gradient, self.x.gradient)
                return [*factors, first, torch.einsum("nos,nis->nio", cotangent.second, pair)]
            factors.append(first)
        return factors

    def rows(self, factors: list[Tensor], only_linear: bool = False) -> Tensor:
        """Derivative by the layer's flat parameters ``(n, p)``."""
        n = len(self.x.value)
        spline = factors[0][..., None] * self.bases.spline[0][:, :, None]
        for factor, basis in zip(factors[1:], self.bases.spline[1:], strict=False):
            spline.addcmul_(factor[..., None], basis[:, :, None])
        if self.bases.base is None:
            return spline.reshape(n, -1)
        layer = self.layer
        pairs = zip(factors, self.bases.base, strict=False)
        base = sum(factor * silu[..., None] for factor, silu in pairs)
        assert isinstance(base, Tensor)
        linear = [base.reshape(n, -1), (layer.spline_weight[..., None] * spline).reshape(n, -1)]
        if only_linear:
            return torch.cat(linear, dim=1)
        weight = (spline * layer.coefficients).sum(-1)
        return torch.cat([weight.reshape(n, -1), *linear], dim=1)

    def pullback(self, factors: list[Tensor], cotangent: Jet) -> Jet:
        """Derivative of ⟨cotangent, output⟩ by the input's jet."""
        phi, frame = self.phi, self.x.frame
        value = sum((factor * phi[r + 1]).sum(2) for r, factor in enumerate(factors))
        assert isinstance(value, Tensor)
        gradient = second = None
        if cotangent.gradient is not None:
            gradient = torch.einsum("nio,nod->nid", phi[1], cotangent.gradient)
        if cotangent.second is not None and gradient is not None and self.x.gradient is not None:
            second = torch.einsum("nio,nos->nis", phi[1], cotangent.second)
            curved = torch.einsum("nio,nos->nis", phi[2], cotangent.second)
            gradient = gradient + 2.0 * frame.pair_pullback(curved, self.x.gradient)
        return Jet(frame, value, gradient, second)


@dataclass(frozen=True)
class KANTrace:
    """A KAN evaluated at points; see `base.Trace`."""

    jet: Jet
    layers: list[LayerTrace]
    only_linear: bool

    def rows(self, cotangent: Jet) -> Tensor:
        """Rows of the Jacobian, layer by layer from the last to the first (reverse mode on jets)."""
        blocks: list[Tensor] = []
        for trace in reversed(self.layers):
            factors = trace.factors(cotangent)
            blocks.insert(0, trace.rows(factors, self.only_linear))
            if self.only_linear:
                break
            if trace is not self.layers[0]:
                cotangent = trace.pullback(factors, cotangent)
        return torch.cat(blocks, dim=1)


class KAN(Network):
    """A KAN of widths [inputs, hidden…, outputs] on the box lower … upper, which is mapped to the knots' range [-1, 1].

    degree and intervals: one number, or one a layer. Parameters start at zero; `initialise` gives a start to train from.
    Raises ValueError for sizes that do not fit together.
    """

    def __init__(
        self,
        widths: Sequence[int],
        degree: int | Sequence[int] = 5,
        intervals: int | Sequence[int] = 10,
        base: str = "none",
        lower: Sequence[float] | None = None,
        upper: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        depth = len(widths) - 1
        if depth < 1 or min(widths) < 1:
            raise ValueError(f"widths {list(widths)}: a network needs inputs, outputs and at least one node in each layer")
        if base not in ("none", "silu"):
            raise ValueError(f"base {base!r}: it is 'none' or 'silu'")
        self.widths = tuple(widths)
        self.inputs, self.outputs = self.widths[0], self.widths[-1]
        self.degree, self.intervals = _per_layer(degree, depth, "degree"), _per_layer(intervals, depth, "intervals")
        self.base = base
        self.layers = nn.ModuleList(
            SplineLayer(self.widths[k], self.widths[k + 1], self.degree[k], self.intervals[k], base) for k in range(depth)
        )
        a = torch.tensor([-1.0] * self.inputs if lower is None else list(lower), dtype=torch.float64)
        b = torch.tensor([1.0] * self.inputs if upper is None else list(upper), dtype=torch.float64)
        self.lower: Tensor
        self.upper: Tensor
        self.register_buffer("lower", a)
        self.register_buffer("upper", b)

    @property
    def spline_layers(self) -> list[SplineLayer]:
        """The layers of edges, first to last."""
        return cast("list[SplineLayer]", list(self.layers))

    @property
    def linear_parameters(self) -> int:
        return self.spline_layers[-1].linear_parameters

    @property
    def parameters_paper(self) -> int:
        """Edges × intervals, the count of arXiv:2404.19756."""
        return sum(layer.inputs * layer.outputs * layer.intervals for layer in self.spline_layers)

    def _inputs(self, points: Tensor, frame: Frame) -> Jet:
        return to_unit_box(points, frame, self.lower, self.upper)

    def jet(self, points: Tensor, frame: Frame) -> Jet:
        x = self._inputs(points, frame)
        for layer in self.spline_layers:
            x = layer(x)
        return x

    def prepare(self, points: Tensor, frame: Frame) -> tuple[Jet, Bases]:
        x = self._inputs(points, frame)
        return x, self.spline_layers[0].bases(x.value, _orders(frame))

    @torch.no_grad()
    def trace(self, prepared: object, only_linear: bool = False) -> KANTrace:
        x, bases = cast("tuple[Jet, Bases]", prepared)
        # a pullback to a layer's inputs takes one derivative more than its output
        orders = _orders(x.frame) + (0 if only_linear else 1)
        traces: list[LayerTrace] = []
        for layer in self.spline_layers:
            if traces:
                bases = layer.bases(x.value, orders)
            phi = layer.activations(bases)
            traces.append(LayerTrace(layer, x, bases, phi))
            x = combine(phi, x)
        return KANTrace(x, traces, only_linear)

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """A start to train from: first hidden layer close to well-spread plane waves, the rest close to linear.

        n plane waves in two dimensions with distinct directions span all polynomials of degree n - 1 (Logan and Shepp, Duke
        Math. J. 42 (1975) 645-659), so that the last layer's coefficients alone already fit well. With base "silu":
        Xavier's w_b and a spline near zero (arXiv:2404.19756, section 2.2).
        """
        for k, layer in enumerate(self.spline_layers):
            noise = torch.randn(layer.coefficients.shape, generator=generator, dtype=torch.float64)
            if self.base == "silu":
                spread = math.sqrt(2.0 / (layer.inputs + layer.outputs))
                normal = torch.randn(layer.base_weight.shape, generator=generator, dtype=torch.float64)
                layer.base_weight.copy_(spread * normal)
                layer.spline_weight.fill_(1.0)
                layer.coefficients.copy_(0.1 * noise / math.sqrt(layer.inputs))
                continue
            weights = _directions(layer.inputs, layer.outputs, generator) if k == 0 else None
            if weights is None:
                normal = torch.randn(layer.inputs, layer.outputs, generator=generator, dtype=torch.float64)
                weights = normal / math.sqrt(layer.inputs)
            linear = weights[..., None] * splines.greville(layer.degree, layer.intervals)
            layer.coefficients.copy_(linear + NOISE / math.sqrt(layer.inputs) * noise)

    def hidden_ranges(self, points: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Least and greatest value of every hidden node over points ``(n, inputs)``, layer by layer."""
        x, ranges = self._inputs(points, Frame(("",) * self.inputs, Derivatives.VALUE)), []
        for layer in self.spline_layers[:-1]:
            x = layer(x)
            ranges.append((x.value.amin(0), x.value.amax(0)))
        return ranges

    @torch.no_grad()
    def normalise(self, points: Tensor) -> None:
        """Map every hidden node's range over points exactly to [-MARGIN, MARGIN], and adapt the layer that follows.

        The adaption is a least-squares fit on the same knots, not exact: the last layer is solved for afterwards. Ahead of
        other layers a node is left alone while its range stays on the knots and fills half of them.
        """
        x = self._inputs(points, Frame(("",) * self.inputs, Derivatives.VALUE))
        for k, layer in enumerate(self.spline_layers[:-1]):
            value = layer(x).value
            low, high = value.amin(0), value.amax(0)
            scale = 2.0 * MARGIN / (high - low)
            keep = high - low < 1e-12
            if k < len(self.spline_layers) - 2:
                keep |= (low >= -1.0) & (high <= 1.0) & (high - low >= 1.0)
            scale = torch.where(keep, 1.0, scale)
            shift = torch.where(keep, 0.0, -0.5 * scale * (low + high))
            layer.rescale_outputs(scale, shift)
            self.spline_layers[k + 1].substitute_inputs(scale, shift)
            x = layer(x)

    @torch.no_grad()
    def widened(self, hidden: Sequence[int], generator: torch.Generator) -> KAN:
        """The same function with more hidden nodes: the new ones start like fresh ones and reach no node they did not before.

        Raises ValueError where a layer would lose nodes or the depth would change.
        """
        widths = (self.inputs, *hidden, self.outputs)
        if len(widths) != len(self.widths) or any(new < old for new, old in zip(widths, self.widths, strict=True)):
            raise ValueError(f"widths {list(self.widths)} cannot be widened to {list(widths)}")
        wider = KAN(widths, self.degree, self.intervals, self.base, self.lower.tolist(), self.upper.tolist())
        wider.initialise(generator)
        wider.to(self.lower.device)
        for k, (old, new) in enumerate(zip(self.spline_layers, wider.spline_layers, strict=True)):
            for name, values in old.named_parameters():
                target = getattr(new, name)
                if k > 0:  # what new nodes send on is nothing yet
                    target[old.inputs :] = 0.0 if name != "spline_weight" else 1.0
                target[: old.inputs, : old.outputs] = values
        return wider

    def refined(self, degree: int | Sequence[int], intervals: int | Sequence[int]) -> KAN:
        """The same function on other spline spaces: exact where they are nested (see `splines.refine`)."""
        finer = KAN(self.widths, degree, intervals, self.base, self.lower.tolist(), self.upper.tolist())
        finer.to(self.lower.device)
        with torch.no_grad():
            for old, new in zip(self.spline_layers, finer.spline_layers, strict=True):
                moved = old.coefficients.permute(2, 0, 1)
                moved = splines.refine(moved, old.degree, old.intervals, new.degree, new.intervals)
                new.coefficients.copy_(moved.permute(1, 2, 0))
                if self.base == "silu":
                    new.base_weight.copy_(old.base_weight)
                    new.spline_weight.copy_(old.spline_weight)
        return finer


def _per_layer(value: int | Sequence[int], depth: int, what: str) -> tuple[int, ...]:
    values = (value,) * depth if isinstance(value, int) else tuple(value)
    if len(values) != depth:
        raise ValueError(f"{what} has {len(values)} entries for {depth} layers of edges; give one number, or one a layer")
    return values


def _directions(inputs: int, outputs: int, generator: torch.Generator) -> Tensor:
    """Directions ``(inputs, outputs)`` of plane waves: evenly spaced angles in the plane, random ones elsewhere."""
    if inputs == 2:
        offset = torch.rand(1, generator=generator, dtype=torch.float64)
        angles = torch.pi * (torch.arange(outputs, dtype=torch.float64) + offset) / outputs
        return torch.stack([torch.cos(angles), torch.sin(angles)])
    normal = torch.randn(inputs, outputs, generator=generator, dtype=torch.float64)
    length: Tensor = torch.linalg.vector_norm(normal, dim=0)
    return normal / length
