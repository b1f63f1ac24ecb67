"""Warm starts: the network that a stage begins with represents the best one before it, in its own sizes and coordinates."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch

from pdekan.ansatz.unknowns import build_ansatz, inner_network, parameter_values, replace_inner_network
from pdekan.networks.base import Network
from pdekan.networks.kan import KAN
from pdekan.networks.mlp import MLP
from pdekan.problems.formulas import ProblemError
from pdekan.problems.problem import Problem
from pdekan.residuals.collocation import Sampling
from pdekan.solutions.solution import Solution
from pdekan.training import graded_coordinates
from pdekan.training.points import training_points
from pdekan.training.schedule import Stage
from pdekan.training.state import State


def sampling(problem: Problem, stage: Stage, network: Network, seed: int = 0) -> Sampling:
    """The points that a stage is trained on, in the coordinates of its network; seed: added to that of the training."""
    points, inner = training_points(problem, stage, problem.training.seed + seed), inner_network(network)
    return replace(points, grading=inner.grading) if isinstance(inner, KAN) else points


def first_network(
    problem: Problem, stage: Stage, state: State, given: Network | None, device: torch.device, projected: bool = True
) -> Network:
    """The network that a stage begins with: the best one, prolonged to the stage's sizes, else the user's, else a random one.

    projected: whether a network with plane waves inside begins as the L2 projection of the best one.
    """
    best = state.network
    if stage.kind == "given":
        assert given is not None
        return best if best is not None else given.to(device)
    generator = torch.Generator().manual_seed(problem.training.seed + stage.start)
    if best is None:
        return _random(problem, stage, state, generator, device)
    network = inner_network(best)
    if not isinstance(network, KAN):
        return best
    if stage.waves or _replaces_inner(network, stage, state):
        return replace_inner_network(best, _plane_waves(problem, network, stage, state, generator, projected))
    network = cast("KAN", inner_network(_regraded(best, state)))
    if network.widths[1:-1] != stage.hidden:
        network = network.widened(stage.hidden, generator)
    return replace_inner_network(best, network.refined(stage.degree, stage.intervals))


def is_smaller(stage: Stage, state: State) -> bool:
    """Whether a stage has fewer nodes than the best network so far, which it could not take over."""
    network = None if state.network is None else inner_network(state.network)
    if not isinstance(network, KAN) or (state.extrapolated and _replaces_inner(network, stage, state)):
        return False
    return any(new < old for new, old in zip(stage.hidden, network.widths[1:-1], strict=True))


def _random(problem: Problem, stage: Stage, state: State, generator: torch.Generator, device: torch.device) -> Network:
    """A network of the stage's sizes with random parameters."""
    domain = problem.domain
    widths, box = stage.widths(domain.dimension), (domain.lower, domain.upper)
    network: KAN | MLP
    if stage.kind == "mlp":
        network = MLP(widths, *box)
    else:
        network = KAN(widths, stage.degree, stage.intervals, stage.base, *box, stage.products)
    network.initialise(generator)
    return _regraded(build_ansatz(problem, network).to(device), state)


def _replaces_inner(network: KAN, stage: Stage, state: State) -> bool:
    """Whether a stage in graded coordinates takes over the best network's function, but not its inner functions.

    They are kept where they were trained for the same problem, in the same coordinates, for as many nodes.
    """
    if state.grading is None or stage.base != "none":
        return False
    same = network.grading is not None and torch.equal(network.grading, state.grading)
    return state.extrapolated or not same or network.widths[1:-1] != stage.hidden


def _plane_waves(
    problem: Problem, network: KAN, stage: Stage, state: State, generator: torch.Generator, projected: bool
) -> KAN:
    """A network of the stage with plane waves inside, as the projection of another one on the stage's training points."""
    rule = replace(sampling(problem, stage, network), grading=state.grading)
    points = torch.as_tensor(rule.inside(problem.domain).points, device=network.device)
    waves = graded_coordinates.plane_waves(network, stage, state.grading, points, generator)
    if projected:
        with torch.no_grad():
            waves.project(network(points), points)
    return waves


def _regraded(network: Network, state: State) -> Network:
    """The network in the coordinates of the state."""
    inner = inner_network(network)
    if state.grading is None or not isinstance(inner, KAN):
        return network
    same = inner.grading is not None and torch.equal(inner.grading, state.grading)
    return network if same else graded_coordinates.regraded(network, state.grading)


def stage_of(stages: tuple[Stage, ...], network: Network, otherwise: int) -> int:
    """The last stage of a schedule with a network of these sizes; where there is none, another, or the schedule's last."""
    if isinstance(network, KAN):
        sizes = network.widths[1:-1], network.degree, network.intervals
        fits = [k for k, stage in enumerate(stages) if (stage.hidden, stage.degree, stage.intervals) == sizes]
        otherwise = max(fits, default=otherwise)
    return min(otherwise, len(stages) - 1)


def check_resumable(problem: Problem, resume: Solution, widest: Stage) -> None:
    """Raises ProblemError where the network of an earlier solution fits neither the problem nor the widest stage."""
    if (resume.domain, resume.unknowns) != (problem.domain, problem.unknowns):
        raise ProblemError("the run to resume was made on another domain or for another unknown; start a new one")
    if {*parameter_values(resume.network)} != {*problem.parameters}:
        raise ProblemError("the run to resume was made with other trainable parameters; start a new one")
    network = inner_network(resume.network)
    if widest.kind == "given":
        return
    kind = "kan" if isinstance(network, KAN) else "mlp" if isinstance(network, MLP) else "module"
    if kind != widest.kind:
        raise ProblemError(f"the run to resume has a network of kind {kind!r}, not {widest.kind!r}; start a new one")
    if not isinstance(network, (KAN, MLP)):
        return
    hidden = network.widths[1:-1]
    fits = hidden == widest.hidden
    if isinstance(network, KAN):  # which can be widened, but not given another depth or base
        wider = len(hidden) == len(widest.hidden) and all(a <= b for a, b in zip(hidden, widest.hidden, strict=True))
        fits = wider and network.base == widest.base and network.products == (widest.products or (0,) * len(hidden))
    if not fits:
        raise ProblemError(
            f"the run to resume has hidden nodes {list(hidden)}, which cannot become network.hidden = {list(widest.hidden)} "
            f"with base {widest.base!r}; start a new one"
        )
