"""The drawing of a solution's network: the activations of its edges over the values that reach them, and their scores."""

from __future__ import annotations

import torch

from pdekan.ansatz.unknowns import Ansatz, inner_network
from pdekan.networks.importance import importance, layer_traces
from pdekan.networks.kan import KAN
from pdekan.networks.layers import LayerTrace
from pdekan.output.network_figure import PRODUCT, SUM, Drawing, Edge
from pdekan.output.samples import OutputError
from pdekan.solutions.solution import Solution

# Points that show the values that edges take: cells, order, count and seed of the domain's rule, by dimension.
RULES = {1: (40, 3, 0, 0), 2: (12, 3, 0, 0), 3: (5, 3, 0, 0)}
SCATTERED = (1, 1, 2048, 0)
CURVE = 120  # points on a curve


def can_be_drawn(solution: Solution) -> bool:
    """Whether the network is a KAN."""
    return isinstance(inner_network(solution.network), KAN)


@torch.no_grad()
def drawing(solution: Solution, title: str = "") -> Drawing:
    """The drawing of a solution's KAN over the domain. Raises OutputError for another network."""
    kan, domain = inner_network(solution.network), solution.domain
    if not isinstance(kan, KAN):
        raise OutputError(f"the network is a {type(kan).__name__}; what can be drawn is a KAN")
    rule = domain.interior(*RULES.get(domain.dimension, SCATTERED))
    points = torch.as_tensor(rule.points, dtype=torch.float64, device=kan.device)
    # activations that are large and cancel each other have scores above 1: a layer's are then relative to its largest
    scores = [one / one.max().clamp_min(1.0) for one in importance(kan, points).edges]
    layers = zip(layer_traces(kan, points), scores, strict=True)
    nodes = [(SUM,) * layer.sums + (PRODUCT,) * layer.products for layer in kan.spline_layers]
    return Drawing(domain.coordinates, _outputs(solution), tuple(nodes), tuple(_edges(*one) for one in layers), title)


def _edges(trace: LayerTrace, scores: torch.Tensor) -> tuple[Edge, ...]:
    layer, values = trace.layer, trace.x.value
    share = torch.linspace(0.0, 1.0, CURVE, dtype=torch.float64, device=values.device)[:, None]
    x = values.amin(0) + share * (values.amax(0) - values.amin(0))
    y = layer.activations(layer.bases(x, 0))[0]
    return tuple(
        Edge(i, o, x[:, i].cpu().numpy(), y[:, i, o].cpu().numpy(), float(scores[i, o]))
        for i, o in layer.kept.nonzero().tolist()
    )


def _outputs(solution: Solution) -> tuple[str, ...]:
    """Names of the network's outputs: the unknowns, as "N(u)" where conditions are met exactly; a set for each region."""
    problem = solution.problem if isinstance(solution.network, Ansatz) else None
    exact = set() if problem is None else {c.unknown for c in problem.conditions if c.is_exact}
    names = [f"N({name})" if name in exact else name for name in solution.unknowns]
    regions = inner_network(solution.network).outputs // len(names)
    return tuple(name if regions == 1 else f"{name}, {r + 1}" for r in range(regions) for name in names)
