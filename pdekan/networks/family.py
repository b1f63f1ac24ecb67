"""Networks of a family of problems: one for each node in the parameters, and polynomials between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from pdekan.fields.jets import Frame, Jet
from pdekan.networks.base import JoinedNetwork, Network
from pdekan.networks.sparse_interpolation import Array, Index, SparseInterpolation

Ranges = Mapping[str, tuple[float, float]]


def at_node(index: Index, ranges: Ranges) -> dict[str, float]:
    """The values of the parameters at the node of an index."""
    node = SparseInterpolation((index,)).nodes[0]
    return {name: float(a + 0.5 * (b - a) * (s + 1.0)) for (name, (a, b)), s in zip(ranges.items(), node, strict=True)}


class FamilyNetwork(JoinedNetwork):
    """u(x; μ) = Σ_j ℓ_j(μ) u_j(x), with a network u_j for each node and ℓ_j the weights of `SparseInterpolation`.

    ranges: the intervals of the parameters by name. As a function of x alone it is the member in the middle of all ranges.
    """

    def __init__(self, networks: Sequence[Network], indices: Sequence[Index], ranges: Ranges) -> None:
        super().__init__(networks)
        self.interpolation = SparseInterpolation(tuple(indices))
        self.ranges = dict(ranges)

    def weights(self, values: Mapping[str, Array], by: str | None = None) -> Array:
        """Weights ``(m, nodes)`` of the networks at values ``(m,)`` of every parameter; by: those of a derivative."""
        unit = [2.0 * (values[name] - a) / (b - a) - 1.0 for name, (a, b) in self.ranges.items()]
        if by is None:
            return self.interpolation.weights(np.stack(unit, axis=1))
        a, b = self.ranges[by]
        return self.interpolation.weights(np.stack(unit, axis=1), list(self.ranges).index(by)) * (2.0 / (b - a))

    def jet(self, points: Tensor, frame: Frame) -> Jet:
        return self.parts[0].jet(points, frame)  # the first node is the middle

    def architecture(self) -> dict[str, Any]:
        return {
            "kind": "family",
            "networks": [network.architecture() for network in self.parts],
            "indices": [list(index) for index in self.interpolation.indices],
            "ranges": {name: list(ends) for name, ends in self.ranges.items()},
        }


class MemberNetwork(Network):
    """One member of a family: values of all parameters by name."""

    def __init__(self, family: FamilyNetwork, values: Mapping[str, float]) -> None:
        super().__init__()
        self.family, self.values = family, dict(values)
        self.inputs, self.outputs = family.inputs, family.outputs
        self._weights = family.weights({name: np.array([value]) for name, value in values.items()})[0].tolist()

    def jet(self, points: Tensor, frame: Frame) -> Jet:
        jets = (
            network.jet(points, frame).each(lambda part, w=weight: w * part)  # type: ignore[misc]
            for weight, network in zip(self._weights, self.family.parts, strict=True)
        )
        total = next(jets)
        for one in jets:
            total = total + one
        return total

    def architecture(self) -> dict[str, Any]:
        return self.family.architecture() | {"member": self.values}
