"""Kolmogorov-Arnold networks: layers of splines, one after the other (arXiv:2404.19756, section 2)."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from pdekan import splines
from pdekan.fields.jets import Derivatives, Frame, Jet
from pdekan.networks.base import Network, to_unit_box
from pdekan.networks.grading import counts, graded, inverse, spread
from pdekan.networks.layers import Bases, Edge, LayerTrace, SplineLayer, orders

# Hidden nodes are mapped to [-margin, margin], so that unseen points stay on the knots [-1, 1]. A grid reaches the ends of a
# node's range; random points in many dimensions keep off them, and the more points, the farther they reach.
MARGIN, SCATTERED_MARGIN, GRIDDED = 0.97, 0.7, 3
# Lengths along an axis that is not graded where others are: little changes along it. On slabs of Allen-Cahn's equation the
# first least-squares problem left as little with 0.2, and up to ten times as much with 2.
UNGRADED = 0.5
IMITATION = 1e-10  # ridge of an imitation, relative to the norm of its matrix: plane waves have directions that say nothing
NOISE = 0.05  # relative departure of a fresh edge from a linear function


@dataclass(frozen=True)
class KANTrace:
    """A KAN evaluated at points; see `base.Trace`."""

    layers: list[LayerTrace]
    only_linear: bool

    @property
    def jet(self) -> Jet:
        """The output, with one component a node of the last layer."""
        return self.layers[-1].output

    def rows(self, cotangent: Jet) -> Tensor:
        """Rows of the Jacobian, layer by layer from the last to the first (reverse mode on jets)."""
        blocks: list[Tensor] = []
        for trace in reversed(self.layers):
            edges = trace.cotangents(cotangent)
            blocks.insert(0, trace.rows(edges, self.only_linear))
            if self.only_linear:
                break
            if trace is not self.layers[0]:
                cotangent = trace.pullback(edges)
        return torch.cat(blocks, dim=1) if len(blocks) > 1 else blocks[0]


class KAN(Network):
    """A KAN of widths [inputs, hidden…, outputs] on the box lower … upper, which is mapped to the knots' range [-1, 1].

    degree and intervals: one number, or one a layer. products: how many of the nodes of each hidden layer, its last ones,
    multiply what comes in instead of adding it. pruned: the edges of each layer that it does not have, see `SplineLayer`.
    grading: of the coordinates, see `pdekan.grading`. Parameters start at zero; `initialise` gives a start to train from.
    Raises ValueError for sizes that do not fit together, and where every edge into a hidden node is pruned.
    """

    def __init__(
        self,
        widths: Sequence[int],
        degree: int | Sequence[int] = 5,
        intervals: int | Sequence[int] = 10,
        base: str = "none",
        lower: Sequence[float] | None = None,
        upper: Sequence[float] | None = None,
        products: Sequence[int] | None = None,
        pruned: Sequence[Collection[Edge]] | None = None,
        grading: Tensor | None = None,
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
        self.products = (0,) * (depth - 1) if products is None else tuple(products)
        if len(self.products) != depth - 1 or any(not 0 <= p <= w for p, w in zip(self.products, widths[1:], strict=False)):
            raise ValueError(f"products {list(self.products)}: one number a hidden layer, at most as many as it has nodes")
        missing: Sequence[Collection[Edge]] = ((),) * depth if pruned is None else pruned
        if len(missing) != depth:
            raise ValueError(f"pruned has {len(missing)} entries for {depth} layers of edges; give the pruned edges of each")
        self.layers = nn.ModuleList(
            SplineLayer(self.widths[k], self.widths[k + 1], self.degree[k], self.intervals[k], base, multiplied, missing[k])
            for k, multiplied in enumerate((*self.products, 0))
        )
        if not all(bool(layer.kept.any(0).all()) for layer in self.spline_layers[:-1]):
            raise ValueError("every edge into a hidden node is pruned; leave out the node")
        a = torch.tensor([-1.0] * self.inputs if lower is None else list(lower), dtype=torch.float64)
        b = torch.tensor([1.0] * self.inputs if upper is None else list(upper), dtype=torch.float64)
        self.lower: Tensor
        self.upper: Tensor
        self.register_buffer("lower", a)
        self.register_buffer("upper", b)
        self.grading: Tensor | None
        self.register_buffer("grading", None if grading is None else grading.clone())

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
        return sum(layer.edges * layer.intervals for layer in self.spline_layers)

    @property
    def pruned(self) -> tuple[tuple[Edge, ...], ...]:
        """The edges that each layer does not have."""
        return tuple(layer.pruned for layer in self.spline_layers)

    @property
    def margin(self) -> float:
        """How far of the knots' range [-1, 1] hidden nodes may reach at the points that they are normalised over."""
        return MARGIN if self.inputs <= GRIDDED else SCATTERED_MARGIN

    def _inputs(self, points: Tensor, frame: Frame) -> Jet:
        x = to_unit_box(points, frame, self.lower, self.upper)
        return x if self.grading is None else graded(x, self.grading)

    def jet(self, points: Tensor, frame: Frame) -> Jet:
        x = self._inputs(points, frame)
        for layer in self.spline_layers:
            x = layer(x)
        return x

    def prepare(self, points: Tensor, frame: Frame) -> tuple[Jet, Bases]:
        x = self._inputs(points, frame)
        return x, self.spline_layers[0].bases(x.value, orders(frame))

    @torch.no_grad()
    def trace(self, prepared: object, only_linear: bool = False) -> KANTrace:
        x, bases = cast("tuple[Jet, Bases]", prepared)
        # a pullback to a layer's inputs takes one derivative more than its output
        derivatives = orders(x.frame) + (0 if only_linear else 1)
        traces: list[LayerTrace] = []
        for layer in self.spline_layers:
            if traces:
                x = traces[-1].output
                bases = layer.bases(x.value, derivatives)
            traces.append(LayerTrace(layer, x, bases))
        return KANTrace(traces, only_linear)

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """A start to train from: first hidden layer close to well-spread plane waves, the rest close to linear.

        n plane waves in two dimensions with distinct directions span all polynomials of degree n - 1 (Logan and Shepp, Duke
        Math. J. 42 (1975) 645-659), so that the last layer's coefficients alone already fit well. With base "silu":
        Xavier's w_b and a spline near zero (arXiv:2404.19756, section 2.2).
        """
        for k, layer in enumerate(self.spline_layers):
            size = splines.count(layer.degree, layer.intervals)
            noise = torch.randn(layer.inputs, layer.outputs, size, generator=generator, dtype=torch.float64)
            if self.base == "silu":
                spread = math.sqrt(2.0 / (layer.inputs + layer.outputs))
                normal = torch.randn(layer.inputs, layer.outputs, generator=generator, dtype=torch.float64)
                layer.put("base_weight", spread * normal)
                layer.spline_weight.fill_(1.0)
                layer.put("coefficients", 0.1 * noise / math.sqrt(layer.inputs))
                continue
            weights = self._waves(layer.outputs, generator) if k == 0 else None
            if weights is None:
                normal = torch.randn(layer.inputs, layer.outputs, generator=generator, dtype=torch.float64)
                weights = normal / math.sqrt(layer.inputs)
            linear = weights[..., None] * splines.greville(layer.degree, layer.intervals)
            start = linear + NOISE / math.sqrt(layer.inputs) * noise
            # a product of linear functions is odd in each; a constant beside them lets it be anything
            start[:, layer.sums :] += torch.rand(layer.inputs, layer.products, 1, generator=generator).to(linear)
            layer.put("coefficients", start)

    def _waves(self, count: int, generator: torch.Generator) -> Tensor:
        """Directions ``(inputs, count)`` of plane waves, well spread where axes are measured in their own lengths."""
        directions = _directions(self.inputs, count, generator)
        if self.grading is None:
            return directions
        stretched = directions * counts(self.grading.cpu(), UNGRADED)[:, None]
        length: Tensor = torch.linalg.vector_norm(stretched, dim=0)
        return stretched / length

    def hidden_ranges(self, points: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Least and greatest value of every hidden node over points ``(n, inputs)``, layer by layer."""
        x, ranges = self._inputs(points, Frame(("",) * self.inputs, Derivatives.VALUE)), []
        for layer in self.spline_layers[:-1]:
            x = layer(x)
            ranges.append((x.value.amin(0), x.value.amax(0)))
        return ranges

    @torch.no_grad()
    def normalise(self, points: Tensor, lazily: bool = False) -> None:
        """Map every hidden node's range over points exactly to [-margin, margin], and adapt the layer that follows.

        The adaption is a least-squares fit on the same knots, not exact: the last layer is solved for afterwards. Ahead of
        other layers, or lazily, a node is left alone while its range stays on the knots and fills half of them.
        """
        x = self._inputs(points, Frame(("",) * self.inputs, Derivatives.VALUE))
        for k, layer in enumerate(self.spline_layers[:-1]):
            value = layer(x).value
            low, high = value.amin(0), value.amax(0)
            scale = 2.0 * self.margin / (high - low)
            keep = high - low < 1e-12
            if lazily or k < len(self.spline_layers) - 2:
                keep |= (low >= -1.0) & (high <= 1.0) & (high - low >= 1.0)
            keep[layer.sums :] = False
            scale = torch.where(keep, 1.0, scale)
            shift = torch.where(keep, 0.0, -0.5 * scale * (low + high))
            if layer.products:  # which can be scaled, but not shifted
                largest = torch.maximum(low.abs(), high.abs())[layer.sums :]
                keep_products = largest < 1e-12
                if lazily:
                    keep_products |= (largest <= 1.0) & (largest >= 0.5)
                scale[layer.sums :] = torch.where(keep_products, 1.0, self.margin / largest)
                shift[layer.sums :] = 0.0
            if lazily and bool((scale == 1.0).all()):
                x = layer(x)
                continue
            layer.rescale_outputs(scale, shift)
            self.spline_layers[k + 1].substitute_inputs(scale, shift)
            x = layer(x)

    def like(
        self,
        widths: Sequence[int],
        degree: int | Sequence[int],
        intervals: int | Sequence[int],
        products: Sequence[int],
        pruned: Sequence[Collection[Edge]],
    ) -> KAN:
        """A network of other sizes on the same box, with parameters at zero."""
        box = self.lower.tolist(), self.upper.tolist()
        other = KAN(widths, degree, intervals, self.base, *box, products, pruned, self.grading)
        return other.to(self.lower.device)

    @torch.no_grad()
    def widened(self, hidden: Sequence[int], generator: torch.Generator) -> KAN:
        """The same function with more hidden sum nodes: they start like fresh ones and reach no node they did not before.

        Raises ValueError where a layer would lose nodes or the depth would change.
        """
        widths = (self.inputs, *hidden, self.outputs)
        if len(widths) != len(self.widths) or any(new < old for new, old in zip(widths, self.widths, strict=True)):
            raise ValueError(f"widths {list(self.widths)} cannot be widened to {list(widths)}")
        # a layer's sum nodes stand first, its product nodes last; new ones are sums, between the two
        sums = [self.inputs, *(layer.sums for layer in self.spline_layers)]
        added = [new - old for new, old in zip(widths, self.widths, strict=True)]
        places = [[o if o < sums[k] else o + added[k] for o in range(width)] for k, width in enumerate(self.widths)]
        pruned = [[(places[k][i], places[k + 1][o]) for i, o in edges] for k, edges in enumerate(self.pruned)]
        wider = self.like(widths, self.degree, self.intervals, self.products, pruned)
        wider.initialise(generator)
        for k, (old, new) in enumerate(zip(self.spline_layers, wider.spline_layers, strict=True)):
            inputs, outputs = torch.tensor(places[k])[:, None], torch.tensor(places[k + 1])
            for name, _ in old.named_parameters():
                target = new.whole(name).clone()
                if k > 0:  # what new nodes send on changes nothing yet: zero to a sum, one to a product
                    fresh = target[sums[k] : sums[k] + added[k]]
                    fresh[...] = 1.0 if name == "spline_weight" else 0.0
                    if name == "coefficients":
                        fresh[:, new.sums :] = 1.0
                target[inputs, outputs] = old.whole(name)
                new.put(name, target)
        return wider

    @torch.no_grad()
    def regraded(self, grading: Tensor | None) -> KAN:
        """About the same function of other coordinates: least-squares fits of the first layer's activations."""
        moved = self.like(self.widths, self.degree, self.intervals, self.products, self.pruned)
        moved.load_state_dict(self.state_dict())
        moved.grading = None if grading is None else grading.to(self.lower)
        moved.to(self.lower.device)
        layer = moved.spline_layers[0]
        x = layer.sample_points()[:, None].expand(-1, self.inputs)
        x = x if moved.grading is None else spread(x, moved.grading)[0]
        layer.refit(x if self.grading is None else inverse(x, self.grading))
        return moved

    @torch.no_grad()
    def imitate(self, values: Tensor, points: Tensor) -> None:
        """Set the last layer so that the outputs are nearest to values ``(n, outputs)`` at points ``(n, inputs)``.

        Least squares with a small ridge; for networks without residual activations.
        """
        last = self.spline_layers[-1]
        x = self._inputs(points, Frame(("",) * self.inputs, Derivatives.VALUE))
        for layer in self.spline_layers[:-1]:
            x = layer(x)
        local = last.bases(x.value, 0).local
        design = local.spread(local.pieces[0]).reshape(len(points), -1)
        ridge = IMITATION * torch.linalg.matrix_norm(design) * torch.eye(design.shape[1]).to(design)
        wanted = torch.cat([values, values.new_zeros(len(ridge), self.outputs)])
        found = torch.linalg.lstsq(torch.cat([design, ridge]), wanted, driver="gels").solution
        last.put("coefficients", found.reshape(last.inputs, -1, last.outputs).transpose(1, 2))

    def refined(self, degree: int | Sequence[int], intervals: int | Sequence[int]) -> KAN:
        """The same function on other spline spaces: exact where they are nested (see `splines.refine`)."""
        finer = self.like(self.widths, degree, intervals, self.products, self.pruned)
        with torch.no_grad():
            for old, new in zip(self.spline_layers, finer.spline_layers, strict=True):
                moved = old.whole("coefficients").permute(2, 0, 1)
                moved = splines.refine(moved, old.degree, old.intervals, new.degree, new.intervals)
                new.put("coefficients", moved.permute(1, 2, 0))
                if self.base == "silu":
                    new.base_weight.copy_(old.base_weight)
                    new.spline_weight.copy_(old.spline_weight)
        return finer

    def architecture(self) -> dict[str, Any]:
        sizes = {"degree": list(self.degree), "intervals": list(self.intervals), "base": self.base}
        products = {"products": list(self.products)} if any(self.products) else {}
        pruned = {"pruned": [[list(edge) for edge in edges] for edges in self.pruned]} if any(self.pruned) else {}
        grading = {} if self.grading is None else {"grading": self.grading.shape[1]}
        return {"kind": "kan", "widths": list(self.widths), **sizes, **products, **pruned, **grading}


def build(architecture: Mapping[str, Any]) -> KAN:
    """A KAN of the given `architecture`, with parameters and grading at zero."""
    widths, columns = architecture["widths"], architecture.get("grading")
    sizes = (widths, architecture["degree"], architecture["intervals"], architecture["base"])
    pruned = [[(i, o) for i, o in edges] for edges in architecture["pruned"]] if "pruned" in architecture else None
    grading = None if columns is None else torch.zeros(widths[0], columns, dtype=torch.float64)
    return KAN(*sizes, products=architecture.get("products"), pruned=pruned, grading=grading)


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
