"""Products with the Jacobian of residual rows, J v and Jᵀ w, without J: for networks whose J would not fit in memory.

Row i depends on the network through its jet at a point or two: J = Σ ⟨weight, ∂jet/∂θ⟩ with known weights, so only the
network's jets are differentiated. Jᵀ w is reverse mode; J v is reverse mode a second time, through the graph of the first:
Jᵀ w is linear in w, and its derivative by w along v is J v (Pearlmutter's R operator without forward mode).
Measured on a KAN and an MLP of 10⁴ parameters, a pass through the second graph takes as long as one through the first;
`torch.func.jvp` takes three to twenty times as long, `torch.func.linearize` seconds for each θ, or it fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pdekan.fields.jets import Frame, Jet
from pdekan.networks.base import Network

# Bytes of the graphs of both passes, relative to that of the first.
BOTH_PASSES = 3


@dataclass(frozen=True)
class GraphMemory:
    """Bytes that autograd's graphs may take.

    kept: where the graphs of all points take fewer, they are kept between products; otherwise they are made for each product,
    for chunks of points that take at most `chunk`.
    """

    kept: int = 2**30
    chunk: int = 2**28

    def points_at_a_time(self, cost: int) -> int:
        """How many points of so many bytes each a chunk has."""
        return max(1, self.chunk // (BOTH_PASSES * cost))


GRAPH_MEMORY = GraphMemory()


@dataclass(frozen=True)
class Piece:
    """Points ``(m, d)``, the rows ``(m,)`` that they belong to, and the rows' derivative by the jet at the point.

    Two points may share a row. cost: bytes that autograd keeps for a point in the first pass.
    """

    points: Tensor
    frame: Frame
    row: Tensor
    weight: Jet
    cost: int

    def split(self, size: int) -> Iterator[Piece]:
        """The same in pieces of so many points."""
        for start in range(0, len(self.points), size):
            yield self._part(slice(start, start + size))

    def _part(self, some: slice) -> Piece:
        weight = self.weight.each(lambda part: part[some])
        return replace(self, points=self.points[some], row=self.row[some], weight=weight)


class JacobianProducts:
    """J at the parameters of a network, as a linear map; residual: ``(n,)``. The network must not be changed afterwards.

    check_time: called before every chunk of a product, and may raise.
    """

    def __init__(
        self,
        network: Network,
        residual: Tensor,
        pieces: list[Piece],
        memory: GraphMemory = GRAPH_MEMORY,
        check_time: Callable[[], None] = lambda: None,
    ) -> None:
        self.residual = residual
        self._check_time = check_time
        self._network = network
        self._parameters = list(network.parameters())
        keep = BOTH_PASSES * sum(piece.cost * len(piece.points) for piece in pieces) <= memory.kept
        parts = (part for piece in pieces for part in piece.split(memory.points_at_a_time(piece.cost)))
        self._chunks = [_Chunk(network, part, keep) for part in parts]

    @torch.no_grad()
    def linear(self) -> Tensor:
        """The trailing columns ``(n, linear_parameters)`` of J, of the parameters that the network is linear in."""
        columns = self.residual.new_zeros(len(self.residual), self._network.linear_parameters)
        for piece in (chunk.piece for chunk in self._chunks):
            trace = self._network.trace(self._network.prepare(piece.points, piece.frame), only_linear=True)
            columns.index_add_(0, piece.row, trace.rows(piece.weight))
        return columns

    def forward(self, v: Tensor) -> Tensor:
        """J v ``(n,)`` for v ``(P,)``."""
        parts = [
            part.view_as(p) for part, p in zip(v.split([p.numel() for p in self._parameters]), self._parameters, strict=True)
        ]
        out = torch.zeros_like(self.residual)
        for chunk in self._chunks:
            self._check_time()
            out.index_add_(0, chunk.piece.row, chunk.forward(parts))
        return out

    def adjoint(self, w: Tensor) -> Tensor:
        """Jᵀ w ``(P,)`` for w ``(n,)``."""
        out = torch.zeros(())
        for chunk in self._chunks:
            self._check_time()
            out = out + chunk.adjoint(w[chunk.piece.row])
        return out


class _Chunk:
    """⟨weight, jet⟩ at some points as a function of the parameters, with autograd's graphs where they are kept."""

    def __init__(self, network: Network, piece: Piece, keep: bool) -> None:
        self.network, self.piece, self.keep = network, piece, keep
        self._first: Tensor | None = None
        self._second: tuple[Tensor, list[Tensor]] | None = None

    @torch.enable_grad()
    def _pairing(self) -> Tensor:
        """⟨weight, jet⟩ ``(m,)``, with the graph to the parameters."""
        if self._first is not None:
            return self._first
        u, weight = self.network.jet(self.piece.points, self.piece.frame), self.piece.weight
        total = (weight.value * u.value).sum(1)
        for slope, part in zip(weight.derivatives, u.derivatives, strict=True):
            if slope is not None and part is not None:
                total = total + (slope * part).sum((1, 2))
        if self.keep:
            self._first = total
        return total

    @torch.enable_grad()
    def _pulled(self) -> tuple[Tensor, list[Tensor]]:
        """A cotangent, and the parts of Jᵀ times it, with the graph from the one to the others."""
        if self._second is not None:
            return self._second
        pairing = self._pairing()
        cotangent = torch.zeros_like(pairing).requires_grad_()
        parts = torch.autograd.grad(
            pairing, list(self.network.parameters()), cotangent, create_graph=True, allow_unused=True, materialize_grads=True
        )
        second = cotangent, list(parts)
        if self.keep:
            self._second = second
        return second

    def adjoint(self, w: Tensor) -> Tensor:
        """Jᵀ w ``(P,)``."""
        slopes = torch.autograd.grad(
            self._pairing(),
            list(self.network.parameters()),
            w,
            retain_graph=self.keep,
            allow_unused=True,
            materialize_grads=True,
        )
        return torch.cat([slope.detach().reshape(-1) for slope in slopes])

    def forward(self, v: list[Tensor]) -> Tensor:
        """J v ``(n,)``, v in the shapes of the parameters."""
        cotangent, parts = self._pulled()
        reached = [(part, direction) for part, direction in zip(parts, v, strict=True) if part.requires_grad]
        if not reached:
            return torch.zeros_like(cotangent)
        outputs, directions = [list(one) for one in zip(*reached, strict=True)]
        (out,) = torch.autograd.grad(outputs, cotangent, directions, retain_graph=self.keep, allow_unused=True)
        return torch.zeros_like(cotangent) if out is None else out


def bytes_a_point(network: Network, points: Tensor, frame: Frame) -> int:
    """About how many bytes autograd keeps for the jet at one of the points ``(n, d)``: what four more of them add."""
    few = min(4, len(points) // 2)
    if few == 0:
        return max(1, _bytes_kept(network, points, frame))
    return max(1, (_bytes_kept(network, points[: 2 * few], frame) - _bytes_kept(network, points[:few], frame)) // few)


def _bytes_kept(network: Network, points: Tensor, frame: Frame) -> int:
    """How many bytes autograd keeps for the jets at points."""
    seen: dict[int, int] = {}

    def pack(saved: Tensor) -> Tensor:
        """Count the memory of a tensor that autograd saves, once for each storage."""
        storage = saved.untyped_storage()
        seen.setdefault(storage.data_ptr(), storage.nbytes())
        return saved

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
        jet = network.jet(points, frame)
        total = sum(seen.values())  # while the graph lives, so that no storage's address is used twice
    del jet
    return total
