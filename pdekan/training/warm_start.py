"""The network that a stage begins with: what the best one before has found, in its own sizes and coordinates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import torch

from pdekan.ansatz.unknowns import build_ansatz, inner_network, replace_inner_network
from pdekan.networks.base import Network
from pdekan.networks.kan import KAN
from pdekan.networks.mlp import MLP
from pdekan.problems.formulas import ProblemError
from pdekan.problems.problem import Problem
from pdekan.residuals.collocation import Sampling
from pdekan.solutions.solution import Solution
from pdekan.training import graded_coordinates
from pdekan.training.schedule import Stage, training_points


@dataclass
class Succession:
    """How networks follow each other in a training.

    given: a network of the user's, which has no successors. grows: whether the plan is a ladder of the solver's own. seed: of
    fresh networks. guessed: whether the best network is only a guess of what is to be trained. grading: the coordinates that
    solutions so far asked for, see `adaptation`.
    """

    problem: Problem
    given: Network | None
    device: torch.device
    grows: bool
    seed: int
    guessed: bool = False
    grading: torch.Tensor | None = None

    def sized(self, stage: Stage) -> Stage:
        """A stage of the plan, with what the coordinates need."""
        if self.grading is None or stage.kind != "kan":
            return stage
        return graded_coordinates.sized(stage, self.grading, self.grows)

    def first(self, stage: Stage | None, best: Network | None, imitating: bool = True) -> Network:
        """The stage's network to start from: the user's, the best so far carried over, or a fresh one.

        imitating: whether one with inner functions of its own has to say what the best says.
        """
        if stage is None:
            assert self.given is not None
            return best if best is not None else self.given.to(self.device)
        generator = torch.Generator().manual_seed(self.seed)
        if best is not None:
            network = inner_network(best)
            if isinstance(network, KAN) and (stage.waves or self._begins_afresh(network, stage)):
                network = self._afresh(network, stage, generator, imitating)
            elif isinstance(network, KAN):
                network = cast("KAN", inner_network(self._regraded(best)))
                if network.widths[1:-1] != stage.hidden:
                    network = network.widened(stage.hidden, generator)
                network = network.refined(stage.degree, stage.intervals)
            return replace_inner_network(best, network)
        domain = self.problem.domain
        widths, box = stage.widths(domain.dimension), (domain.lower, domain.upper)
        fresh: KAN | MLP
        if stage.kind == "mlp":
            fresh = MLP(widths, *box)
        else:
            fresh = KAN(widths, stage.degree, stage.intervals, stage.base, *box, stage.products)
        fresh.initialise(generator)
        return self._regraded(build_ansatz(self.problem, fresh).to(self.device))

    def is_smaller(self, stage: Stage | None, best: Network | None) -> bool:
        """Whether a stage has fewer nodes than the best network so far, which it could not take over."""
        network = None if best is None else inner_network(best)
        if stage is None or not self.grows or not isinstance(network, KAN):
            return False
        if self.guessed and self._begins_afresh(network, stage):
            return False
        return any(new < old for new, old in zip(stage.hidden, network.widths[1:-1], strict=True))

    def outgrows(self, network: Network) -> bool:
        """Whether a network says something too steep for its coordinates; what would suit it is kept."""
        wanted = graded_coordinates.better(self.problem, network) if self.problem.training.adapt else None
        self.grading = self.grading if wanted is None else wanted.to(self.device)
        return wanted is not None

    def sampling(self, stage: Stage | None, network: Network) -> Sampling:
        """The points that a stage is trained on, in its network's coordinates."""
        if stage is None:
            count = sum(p.numel() for p in network.parameters())
            stage = Stage("mlp", (max(1, count // (self.problem.domain.dimension + 2)),), (), (), "none")
        inner = inner_network(network)
        sampling = training_points(self.problem, stage, self.problem.training.seed)
        return replace(sampling, grading=inner.grading) if isinstance(inner, KAN) else sampling

    def _begins_afresh(self, network: KAN, stage: Stage) -> bool:
        """Whether a stage in graded coordinates takes over what the best network says, but not its inner functions.

        They are kept where they were trained for the same problem, in the same coordinates, for as many nodes.
        """
        if self.grading is None or stage.base != "none":
            return False
        same = network.grading is not None and torch.equal(network.grading, self.grading)
        return self.guessed or not same or network.widths[1:-1] != stage.hidden

    def _afresh(self, network: KAN, stage: Stage, generator: torch.Generator, imitating: bool) -> KAN:
        """A fresh network of the stage; imitating: that says what another one says at the stage's training points."""
        sampling = replace(self.sampling(stage, network), grading=self.grading)
        points = torch.as_tensor(sampling.inside(self.problem.domain).points, device=self.device)
        fresh = graded_coordinates.afresh(network, stage, self.grading, points, generator)
        if imitating:
            with torch.no_grad():
                fresh.project(network(points), points)
        return fresh

    def _regraded(self, network: Network) -> Network:
        """The network in the coordinates that solutions so far have asked for."""
        inner = inner_network(network)
        if self.grading is None or not isinstance(inner, KAN):
            return network
        same = inner.grading is not None and torch.equal(inner.grading, self.grading)
        return network if same else graded_coordinates.regraded(network, self.grading)


def stage_of(plan: tuple[Stage | None, ...], network: Network, otherwise: int) -> int:
    """The last stage of a plan that trains a network of these sizes; where there is none, another, or the plan's last."""
    if isinstance(network, KAN):
        sizes = network.widths[1:-1], network.degree, network.intervals
        fits = [k for k, stage in enumerate(plan) if stage and (stage.hidden, stage.degree, stage.intervals) == sizes]
        otherwise = max(fits, default=otherwise)
    return min(otherwise, len(plan) - 1)


def check_resumable(problem: Problem, resume: Solution, widest: Stage | None) -> None:
    """Raises ProblemError where the network of an earlier solution fits the problem or the widest stage of its plan not."""
    if (resume.domain, resume.unknowns) != (problem.domain, problem.unknowns):
        raise ProblemError("the run to resume was made on another domain or for another unknown; start a new one")
    network = inner_network(resume.network)
    if widest is None:
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
