"""Cells factorised by the workers of a Dask cluster."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pdekan.cells.elimination import Triangles, triangles
from pdekan.domains.quadrature import Array

if TYPE_CHECKING:
    from distributed import Client

AHEAD = 2  # stacks for each worker, which are sent before the first result is waited for


def on_workers(client: Client) -> Triangles:
    """Triangles that the workers of a cluster make; what a lost worker had is made by another."""

    def made(stacks: Iterator[Tensor]) -> Iterator[Tensor]:
        """The triangles of stacks of rows, in their order."""
        most = AHEAD * max(1, len(client.scheduler_info()["workers"]))
        waiting: deque[tuple[torch.device, object]] = deque()
        for stack in stacks:
            waiting.append((stack.device, client.submit(_triangles, stack.cpu().numpy(), pure=False)))
            if len(waiting) >= most:
                yield _result(*waiting.popleft())
        while waiting:
            yield _result(*waiting.popleft())

    return made


def _result(device: torch.device, future: object) -> Tensor:
    return torch.as_tensor(future.result()).to(device)  # type: ignore[attr-defined]


def _triangles(rows: Array) -> Array:
    """The triangles of rows ``(k, r, c)``, on a worker."""
    (found,) = triangles(iter([torch.as_tensor(rows)]))
    return found.numpy()
