"""solve(problem) -> Solution: the whole of time at once, or slab by slab."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from pdekan.ansatz.unknowns import network_outputs
from pdekan.networks.base import ModuleNetwork, Network
from pdekan.optimizers.base import LeastSquares, Optimizer
from pdekan.problem_files.loader import load_problem
from pdekan.problems.discontinuities import refuse_undeclared
from pdekan.problems.formulas import ProblemError
from pdekan.problems.options import NetworkOptions, TrainingOptions
from pdekan.problems.problem import Problem
from pdekan.solutions.solution import Solution
from pdekan.training.cell_training import CellTraining
from pdekan.training.optimizer_choice import Fixed, Method
from pdekan.training.progress import Callback
from pdekan.training.setup import Setup
from pdekan.training.strategy import Strategy
from pdekan.training.threads import threads
from pdekan.training.time_marching import march
from pdekan.training.trainer import Trainer


def solve(
    problem: Problem | str | Path,
    *,
    network: Network | nn.Module | NetworkOptions | None = None,
    training: TrainingOptions | None = None,
    strategy: Strategy | None = None,
    optimizer: Optimizer[LeastSquares] | Method | None = None,
    resume: Solution | None = None,
    device: str = "cpu",
    watch: Callback | None = None,
    estimate: bool = True,
    interrupted: Callable[[], bool] = lambda: False,
) -> Solution:
    """Train a network to solve the problem and measure its error.

    problem: also the path of a problem file, or the name of a library problem. network: options, or a network (any torch module
    from ``(n, d)`` to ``(n, unknowns)``) that is trained as it stands; by default the problem's own options. strategy: decides
    which stages are trained, instead of the options. optimizer: an object that trains every stage, or a method that chooses one
    by the size, instead of the name in the options. resume: a solution of the same problem to go on from. watch: called after
    every step; words that it returns stop the training. estimate: whether the error is estimated, see `training.estimate`.
    interrupted: called before every block of work of a step; where it is true the training ends, with the best step so far.
    Raises ProblemError for options that do not fit the problem. The caller's network is not changed.
    """
    if not isinstance(problem, Problem):
        problem = load_problem(problem)
    if isinstance(network, NetworkOptions):
        problem = replace(problem, network=network)
    if training is not None:
        problem = replace(problem, training=training)
    refuse_undeclared(problem)
    given = None
    if isinstance(network, nn.Module):
        outputs = network_outputs(problem)
        given = network if isinstance(network, Network) else ModuleNetwork(network, problem.domain.dimension, outputs)
    method = optimizer if optimizer is None or isinstance(optimizer, Method) else Fixed(optimizer)
    setup = Setup(strategy, method, device, watch, interrupted, torch.get_num_threads(), estimate=estimate)
    with threads(1):
        if problem.network.local and given is None:
            return CellTraining(problem, setup, resume).solution()
        if problem.training.slabs == 1:
            return Trainer(problem, given, setup, resume).solution()
        if given is not None:
            raise ProblemError("a network of your own cannot be trained in slabs of time; set slabs = 1")
        return march(problem, setup, resume)


def check(problem: Problem) -> None:
    """Raise the ProblemError that `solve` would for a network that its optimizer or the memory cannot hold; train nothing."""
    refuse_undeclared(problem)
    Trainer(problem).check()
