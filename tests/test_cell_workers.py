"""Cells factorised by worker processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import numpy as np
from torch import Tensor

import pdekan as pk
from pdekan.studies.cell_workers import on_workers
from pdekan.studies.cluster import cluster


def test_workers_of_which_one_is_killed_give_the_same_answer() -> None:
    problem = pk.Problem(
        pk.box(x=(0, 1), y=(0, 1)), lambda u: -pk.laplacian(u), pk.EXACT, (pk.dirichlet(pk.EXACT),),
        exact=lambda x, y: pk.exp(x) * pk.sin(3.0 * y), network=pk.NetworkOptions(cells=(8, 8), degree=5),
    )  # fmt: skip
    alone = pk.solve(problem, estimate=False)
    killed: list[int] = []
    with cluster(2, None, 2) as client:
        by_workers = on_workers(client)

        def triangles(stacks: Iterator[Tensor]) -> Iterator[Tensor]:
            for k, made in enumerate(by_workers(stacks)):
                if k == 1 and not killed:
                    killed.append(next(iter(client.run(os.getpid).values())))
                    os.kill(killed[0], signal.SIGKILL)
                yield made

        together = pk.solve(problem, estimate=False, triangles=triangles)
    assert killed
    points = np.random.default_rng(0).random((100, 2))
    np.testing.assert_allclose(together(points), alone(points), rtol=1e-10, atol=1e-12)
