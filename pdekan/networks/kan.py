"""Kolmogorov-Arnold networks: compositions of layers of splines (arXiv:2404.19756, section 2)."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from pdekan import splines
from pdekan.fields.jets import Derivatives, Frame, Jet
from pdekan.networks.base import BoxNetwork, to_unit_box
from pdekan.networks.grading import computational_jet, lengths_per_axis, to_computational, to_physical
from pdekan.networks.layers import Bases, Edge, LayerTrace, SplineLayer

# Hidden nodes are mapped to [-margin, margin], so that at other points they stay in the knots' range [-1, 1]. The points of a
# grid attain the bounds of a node; random ones, which are used in more dimensions, do not, the less the fewer they are.
MARGIN, SCATTERED_MARGIN, MAX_GRID_DIMENSION = 0.97, 0.7, 3
# What `lengths_per_axis` counts along an axis that is not graded where others are: the function changes little along it. On
# slabs of Allen-Cahn's equation the first least-squares problem left as little with 0.2, up to ten times as much with 2.
UNGRADED_LENGTHS = 0.5
PROJECTION_RIDGE = 1e-10  # relative to the norm of the matrix, in which functions of plane waves are nearly dependent
ACTIVATIONS = 2**20  # numbers of an array, of which evaluating a layer takes some
GOLDEN_ANGLE = math.pi * (3.0 - math.sqrt(5.0))
INITIAL_NOISE = 0.05  # of a new edge, relative to its linear function


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


class KAN(BoxNetwork):
    """A KAN of widths [inputs, hidden…, outputs] on the box lower … upper, which is mapped to the knots' range [-1, 1].

    degree and intervals: one number, or one a layer. products: how many of the nodes of each hidden layer, its last ones,
    are products. pruned: the edges of each layer that have no parameters, see `SplineLayer`. grading: of the coordinates, see
    `networks.grading`. Parameters are zero until `initialise` draws them. Raises ValueError for sizes that do not fit together,
    and where every edge into a hidden node is pruned.
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
        super().__init__(widths, lower, upper)
        depth = len(widths) - 1
        if base not in ("none", "silu"):
            raise ValueError(f"base {base!r}: it is 'none' or 'silu'")
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
        """The edges of each layer that have no parameters."""
        return tuple(layer.pruned for layer in self.spline_layers)

    def _inputs(self, points: Tensor, frame: Frame) -> Jet:
        x = to_unit_box(points, frame, self.lower, self.upper)
        return x if self.grading is None else computational_jet(x, self.grading)

    def jet(self, points: Tensor, frame: Frame) -> Jet:
        x = self._inputs(points, frame)
        for layer in self.spline_layers:
            x = layer(x)
        return x

    def prepare(self, points: Tensor, frame: Frame) -> tuple[Jet, Bases]:
        x = self._inputs(points, frame)
        return x, self.spline_layers[0].bases(x.value, frame.order)

    @torch.no_grad()
    def trace(self, prepared: object, only_linear: bool = False) -> KANTrace:
        x, bases = cast("tuple[Jet, Bases]", prepared)
        # a pullback to a layer's inputs takes one derivative more than its output
        derivatives = x.frame.order + (0 if only_linear else 1)
        traces: list[LayerTrace] = []
        for layer in self.spline_layers:
            if traces:
                x = traces[-1].output
                bases = layer.bases(x.value, derivatives)
            traces.append(LayerTrace(layer, x, bases))
        return KANTrace(traces, only_linear)

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Draw parameters: the first hidden nodes close to plane waves of well-spread directions, the others close to linear.

        n plane waves in two dimensions with distinct directions span all polynomials of degree n - 1 (Logan and Shepp, Duke
        Math. J. 42 (1975) 645-659), so that fitting the last layer's coefficients alone leaves a small error. With base "silu":
        Xavier's w_b and a spline near zero (arXiv:2404.19756, section 2.2).
        """
        for k, layer in enumerate(self.spline_layers):
            size = splines.count(layer.degree, layer.intervals)
            noise = torch.randn(layer.inputs, layer.outputs, size, generator=generator, dtype=torch.float64)
            if self.base == "silu":
                spread = math.sqrt(2.0 / (layer.inputs + layer.outputs))
                normal = torch.randn(layer.inputs, layer.outputs, generator=generator, dtype=torch.float64)
                layer.set_dense("base_weight", spread * normal)
                layer.spline_weight.fill_(1.0)
                layer.set_dense("coefficients", 0.1 * noise / math.sqrt(layer.inputs))
                continue
            if k == 0:
                weights = directions(self.inputs, layer.outputs, self.grading, generator)
            else:
                normal = torch.randn(layer.inputs, layer.outputs, generator=generator, dtype=torch.float64)
                weights = normal / math.sqrt(layer.inputs)
            linear = weights[..., None] * splines.greville(layer.degree, layer.intervals)
            start = linear + INITIAL_NOISE / math.sqrt(layer.inputs) * noise
            # constants beside the linear functions: the product then has terms of every degree
            start[:, layer.sums :] += torch.rand(layer.inputs, layer.products, 1, generator=generator).to(linear)
            layer.set_dense("coefficients", start)

    @torch.no_grad()
    def normalise(self, points: Tensor, lazily: bool = False) -> None:
        """Map every hidden node's range over points exactly to [-margin, margin], and adapt the layer that follows.

        The adaption is a least-squares fit on the same knots, not exact: the last layer is solved for afterwards. Ahead of
        other layers, or lazily, a node is left as it is while its range is within [-1, 1] and fills half of it.
        """
        margin = MARGIN if self.inputs <= MAX_GRID_DIMENSION else SCATTERED_MARGIN
        x = self._inputs(points, Frame(("",) * self.inputs, Derivatives.VALUE))
        for k, layer in enumerate(self.spline_layers[:-1]):
            value = _values(layer, x).value
            low, high = value.amin(0), value.amax(0)
            scale = 2.0 * margin / (high - low)
            keep = high - low < 1e-12
            if lazily or k < len(self.spline_layers) - 2:
                keep |= (low >= -1.0) & (high <= 1.0) & (high - low >= 1.0)
            keep[layer.sums :] = False
            scale = torch.where(keep, 1.0, scale)
            shift = torch.where(keep, 0.0, -0.5 * scale * (low + high))
            if layer.products:  # they can be scaled, but not shifted
                largest = torch.maximum(low.abs(), high.abs())[layer.sums :]
                keep_products = largest < 1e-12
                if lazily:
                    keep_products |= (largest <= 1.0) & (largest >= 0.5)
                scale[layer.sums :] = torch.where(keep_products, 1.0, margin / largest)
                shift[layer.sums :] = 0.0
            if not lazily or bool((scale != 1.0).any()):
                layer.rescale_outputs(scale, shift)
                self.spline_layers[k + 1].substitute_inputs(scale, shift)
            x = _values(layer, x)

    def resized(
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
        return other.to(self.device)

    @torch.no_grad()
    def widened(self, hidden: Sequence[int], generator: torch.Generator) -> KAN:
        """The same function with more hidden sum nodes, drawn as by `initialise`, with edges to later nodes that do nothing.

        Raises ValueError where a layer would lose nodes or the depth would change.
        """
        widths = (self.inputs, *hidden, self.outputs)
        if len(widths) != len(self.widths) or any(new < old for new, old in zip(widths, self.widths, strict=True)):
            raise ValueError(f"widths {list(self.widths)} cannot be widened to {list(widths)}")
        # a layer's sum nodes are first, its product nodes last; new ones are sums, between the two
        sums = [self.inputs, *(layer.sums for layer in self.spline_layers)]
        added = [new - old for new, old in zip(widths, self.widths, strict=True)]
        places = [[o if o < sums[k] else o + added[k] for o in range(width)] for k, width in enumerate(self.widths)]
        pruned = [[(places[k][i], places[k + 1][o]) for i, o in edges] for k, edges in enumerate(self.pruned)]
        wider = self.resized(widths, self.degree, self.intervals, self.products, pruned)
        wider.initialise(generator)
        for k, (old, new) in enumerate(zip(self.spline_layers, wider.spline_layers, strict=True)):
            inputs, outputs = torch.tensor(places[k])[:, None], torch.tensor(places[k + 1])
            for name, _ in old.named_parameters():
                target = new.dense(name).clone()
                if k > 0:  # the activations of new nodes: zero into a sum, one into a product
                    of_new_nodes = target[sums[k] : sums[k] + added[k]]
                    of_new_nodes[...] = 1.0 if name == "spline_weight" else 0.0
                    if name == "coefficients":
                        of_new_nodes[:, new.sums :] = 1.0
                target[inputs, outputs] = old.dense(name)
                new.set_dense(name, target)
        return wider

    @torch.no_grad()
    def regraded(self, grading: Tensor | None) -> KAN:
        """About the same function with another grading of the coordinates: the first layer's activations are fitted."""
        moved = self.resized(self.widths, self.degree, self.intervals, self.products, self.pruned)
        moved.load_state_dict(self.state_dict())
        moved.grading = None if grading is None else grading.to(self.lower)
        moved.to(self.device)
        layer = moved.spline_layers[0]
        x = layer.sample_points()[:, None].expand(-1, self.inputs)
        x = x if moved.grading is None else to_physical(x, moved.grading)[0]
        layer.refit(x if self.grading is None else to_computational(x, self.grading))
        return moved

    @torch.no_grad()
    def project(self, values: Tensor, points: Tensor) -> None:
        """L2 projection of values ``(n, outputs)`` at points ``(n, inputs)`` onto the functions that the last layer spans.

        Least squares with a small ridge; for base "none".
        """
        last = self.spline_layers[-1]
        x = self._inputs(points, Frame(("",) * self.inputs, Derivatives.VALUE))
        for layer in self.spline_layers[:-1]:
            x = layer(x)
        local = last.bases(x.value, 0).local
        design = local.scatter(local.pieces[0]).reshape(len(points), -1)
        ridge = PROJECTION_RIDGE * torch.linalg.matrix_norm(design) * torch.eye(design.shape[1]).to(design)
        target = torch.cat([values, values.new_zeros(len(ridge), self.outputs)])
        coefficients = torch.linalg.lstsq(torch.cat([design, ridge]), target, driver="gels").solution
        last.set_dense("coefficients", coefficients.reshape(last.inputs, -1, last.outputs).transpose(1, 2))

    def refined(self, degree: int | Sequence[int], intervals: int | Sequence[int]) -> KAN:
        """The same function on other spline spaces: exact where they are nested (see `splines.refine`)."""
        finer = self.resized(self.widths, degree, intervals, self.products, self.pruned)
        with torch.no_grad():
            for old, new in zip(self.spline_layers, finer.spline_layers, strict=True):
                moved = old.dense("coefficients").permute(2, 0, 1)
                moved = splines.refine(moved, old.degree, old.intervals, new.degree, new.intervals)
                new.set_dense("coefficients", moved.permute(1, 2, 0))
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


def _values(layer: SplineLayer, x: Jet) -> Jet:
    """A layer's values at those of x, as many points at a time as have ACTIVATIONS activations or values of bases."""
    chunk = max(1, ACTIVATIONS // (layer.inputs * max(layer.outputs, layer.degree + 1)))
    return replace(x, value=torch.cat([layer(replace(x, value=part)).value for part in x.value.split(chunk)]))


def _per_layer(value: int | Sequence[int], depth: int, what: str) -> tuple[int, ...]:
    values = (value,) * depth if isinstance(value, int) else tuple(value)
    if len(values) != depth:
        raise ValueError(f"{what} has {len(values)} entries for {depth} layers of edges; give one number, or one a layer")
    return values


def directions(inputs: int, outputs: int, grading: Tensor | None, generator: torch.Generator) -> Tensor:
    """Unit directions ``(inputs, outputs)`` of plane waves: evenly spaced angles in the plane, a spiral on the half sphere in
    space, random ones in more dimensions.

    The spiral has equal areas and the golden angle between neighbours (Vogel, Math. Biosci. 44 (1979) 179-189, on the sphere:
    González, Math. Geosci. 42 (2010) 49-64), and is turned at random; opposite directions give the same functions. With a
    grading, every axis is measured in the lengths along it.
    """
    if inputs == 2:
        offset = torch.rand(1, generator=generator, dtype=torch.float64)
        angles = torch.pi * (torch.arange(outputs, dtype=torch.float64) + offset) / outputs
        directions = torch.stack([torch.cos(angles), torch.sin(angles)])
    elif inputs == 3:
        height = (torch.arange(outputs, dtype=torch.float64) + 0.5) / outputs
        radius, angles = (1.0 - height**2).sqrt(), GOLDEN_ANGLE * torch.arange(outputs, dtype=torch.float64)
        turn = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64)).Q
        directions = turn @ torch.stack([radius * angles.cos(), radius * angles.sin(), height])
    else:
        directions = _unit(torch.randn(inputs, outputs, generator=generator, dtype=torch.float64))
    return directions if grading is None else _unit(directions * lengths_per_axis(grading.cpu(), UNGRADED_LENGTHS)[:, None])


def _unit(vectors: Tensor) -> Tensor:
    """Vectors ``(d, n)`` scaled to length one."""
    length: Tensor = torch.linalg.vector_norm(vectors, dim=0)
    return vectors / length
