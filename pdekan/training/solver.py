"""solve(problem) -> Solution: the whole of time at once, or slab by slab."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from pdekan.ansatz.unknowns import network_outputs
from pdekan.networks.base import ModuleNetwork, Network
from pdekan.problems.formulas import ProblemError
from pdekan.problems.options import NetworkOptions, TrainingOptions
from pdekan.problems.problem import Problem
from pdekan.solutions.solution import Solution
from pdekan.training.time_marching import march
from pdekan.training.trainer import Progress, Training, Watcher, threads

__all__ = ["Progress", "check", "solve", "threads"]


def solve(
    problem: Problem,
    *,
    network: Network | nn.Module | NetworkOptions | None = None,
    training: TrainingOptions | None = None,
    resume: Solution | None = None,
    device: str = "cpu",
    watch: Watcher | None = None,
) -> Solution:
    """Train a network to solve the problem and measure how wrong it is.

    network: options, or a network (any torch module from ``(n, d)`` to ``(n, unknowns)``) that is trained as it stands; by
    default the problem's own options. resume: a solution of the same problem to go on from. Raises ProblemError for options
    that do not fit the problem. The caller's network is not changed.
    """
    if isinstance(network, NetworkOptions):
        problem = replace(problem, network=network)
    if training is not None:
        problem = replace(problem, training=training)
    given = None
    if isinstance(network, nn.Module):
        outputs = network_outputs(problem)
        given = network if isinstance(network, Network) else ModuleNetwork(network, problem.domain.dimension, outputs)
    allowed = torch.get_num_threads()
    with threads(1):
        if problem.training.slabs == 1:
            return Training(problem, given, device, watch, resume, allowed).solution()
        if given is not None:
            raise ProblemError("a network of your own cannot be trained in slabs of time; set slabs = 1")
        return march(problem, device, watch, resume, allowed)


def check(problem: Problem) -> None:
    """Raise the ProblemError that `solve` would for a network that its optimizer or the memory cannot hold; train nothing."""
    Training(problem, None, "cpu", None, None).check()
