"""The effect of every part of the training: errors after equal CPU time without it, or with an alternative. Writes ablation.md.

    python tests/benchmarks/ablation.py [--seconds 12] [--seeds 0 1 2] [--variants NAME …]

One thread. The budget is CPU time without the measuring of errors, so that a busy machine changes the table less.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch
from ladders import Rung, fresh
from origin import origin
from targets import LAYER, target
from torch import Tensor
from variants import GainRatio, Geodesic, NormalisedOnce, Scattered, Sum, Together, Unscaled

from pdekan.errors import norms
from pdekan.networks import kan
from pdekan.networks.base import Network
from pdekan.networks.evaluation import evaluate
from pdekan.optimizers.base import Step
from pdekan.optimizers.gauss_newton import GaussNewton
from pdekan.problems.problem import Problem
from pdekan.residuals.least_squares import Objective, row_factors
from pdekan.residuals.terms import Term, terms
from pdekan.training.points import training_points

TABLE = Path(__file__).with_suffix(".md")
FULL = GaussNewton()
STEPS = 60  # of a stage, as `solve` allows
Ladder = tuple[Rung, ...]
LADDERS: dict[str, Ladder] = {
    "poisson_kan_paper": (Rung(10, (3, 1), (9, 8)), Rung(10, (6, 1), (9, 16)), Rung(10, (9, 1), (9, 32))),
    LAYER: (Rung(6, (3, 1), (9, 6)), Rung(10, (6, 1), (9, 16)), Rung(16, (9, 1), (9, 24)), Rung(16, (9, 2), (9, 32))),
}


def final(ladder: Ladder) -> Ladder:
    """Without the coarse networks."""
    return ladder[-1:]


def splines(ladder: Ladder) -> Ladder:
    """Inner splines of eight intervals."""
    return tuple(replace(rung, inner=(rung.inner[0], 8)) for rung in ladder)


@dataclass(frozen=True)
class Variant:
    """The method with one part changed. second: half of the time for a second network on the residual of the first."""

    name: str
    optimizer: GaussNewton = FULL
    objective: type[Objective] = Objective
    ladder: Callable[[Ladder], Ladder] = tuple
    random_directions: bool = False
    scattered: bool = False
    starts: int = 1
    second: bool = False


def fixed(ridge: float) -> GaussNewton:
    """Gauss-Newton with a ridge independent of the loss."""
    return GaussNewton(ridge=0.0, min_ridge=ridge)


VARIANTS = (
    Variant("full method"),
    Variant("no variable projection: all parameters stepped together", objective=Together),
    Variant("no column scaling", Unscaled()),
    Variant("ridge 1e-6", fixed(1e-6)),
    Variant("ridge 1e-10", fixed(1e-10)),
    Variant("ridge 1e-16", fixed(1e-16)),
    Variant("ridge 1e-30", fixed(1e-30)),
    Variant("no renormalisation of hidden nodes", objective=NormalisedOnce),
    Variant("damping by the gain ratio", GainRatio()),
    Variant("geodesic acceleration", Geodesic()),
    Variant("random first directions", random_directions=True),
    Variant("Sobol points of equal weight", scattered=True),
    Variant("the final network from the start", ladder=final),
    Variant("inner splines of 8 intervals", ladder=splines),
    Variant("best of 3 starts", starts=3),
    Variant("second network on the residual", second=True),
)


@dataclass(frozen=True)
class Trained:
    """A network and its loss."""

    network: Network
    loss: float


def train(problem: Problem, variant: Variant, seed: int, budget: float) -> Network:
    """A network within so many CPU seconds."""
    ladder = variant.ladder(LADDERS[problem.name])
    if variant.second:
        return corrected(problem, variant, ladder, seed, budget)
    starts = [climb(problem, variant, ladder, seed + 1000 * k, budget / variant.starts) for k in range(variant.starts)]
    return min(starts, key=lambda trained: trained.loss).network


def climb(
    problem: Problem,
    variant: Variant,
    ladder: Ladder,
    seed: int,
    budget: float,
    change: Callable[[list[Term]], list[Term]] = list,
) -> Trained:
    """Train the networks of a ladder one after the other. change: a map of the terms of the objective."""
    end = time.process_time() + budget
    domain = problem.domain
    scattered = replace(problem, domain=Scattered(domain.coordinates, domain.lower, domain.upper, domain.vector))
    best: Trained | None = None
    for rung in ladder:
        stage = rung.stage()
        if best is None:
            network = fresh(problem, stage, seed)
        else:
            assert isinstance(best.network, kan.KAN)
            network = best.network.widened((rung.sums,), torch.Generator().manual_seed(seed))
            network = network.refined(stage.degree, stage.intervals)
        chosen = terms(scattered if variant.scattered else problem, training_points(problem, stage, seed))
        objective = variant.objective(problem, network, change(chosen))
        theta = network.flat_parameters
        if isinstance(objective, Together):
            theta = objective.separate(theta)
        outcome = variant.optimizer.minimise(objective, theta, STEPS, until(end))
        best = Trained(objective.load(outcome.theta), outcome.loss)
        if outcome.reason == "budget":
            break
    assert best is not None
    return best


def until(end: float) -> Callable[[Step], str | None]:
    """A watch that stops at a CPU time."""
    return lambda step: "budget" if time.process_time() >= end else None


def corrected(problem: Problem, variant: Variant, ladder: Ladder, seed: int, budget: float) -> Network:
    """u₁ + ε u₂, with a new network u₂ trained on the residual of u₁ in units of ε (the equation is linear).

    Wang and Lai, J. Comput. Phys. 504 (2024) 112865.
    """
    first = climb(problem, variant, ladder, seed, budget / 2).network.requires_grad_(False)
    chosen = terms(problem, training_points(problem, ladder[0].stage(), seed))
    pairs = zip(row_factors(problem, chosen, None), residuals(first, chosen), strict=True)
    factor = float(torch.cat([weight * residual for weight, residual in pairs]).norm())

    def left(chosen: list[Term]) -> list[Term]:
        return [replace(term, target=-r / factor) for term, r in zip(chosen, residuals(first, chosen), strict=True)]

    second = climb(problem, variant, ladder, seed + 1, budget / 2, left).network
    return Sum(first, factor, second)


def residuals(network: Network, chosen: Sequence[Term]) -> list[Tensor]:
    """The residual of every term."""
    return [term.residual(evaluate(network, term.points, term.frame)) for term in chosen]


def error(problem: Problem, network: Network) -> float:
    """Relative L2 error by a rule whose points no training uses."""
    return norms.measure_on_rule(problem, network, problem.domain.interior(29, 7, 0, 0))["u"].l2_relative


def random_directions(inputs: int, outputs: int, generator: torch.Generator) -> Tensor:
    """Random directions of plane waves, ``(inputs, outputs)``."""
    normal = torch.randn(inputs, outputs, generator=generator, dtype=torch.float64)
    return normal / normal.norm(dim=0)


@contextmanager
def directions(variant: Variant) -> Iterator[None]:
    """In the block new networks start with the variant's directions."""
    own = kan._directions
    if variant.random_directions:
        kan._directions = random_directions
    try:
        yield
    finally:
        kan._directions = own


def medians(problem: Problem, variant: Variant, seeds: Sequence[int], budget: float) -> float:
    """The median error over the seeds."""
    found = []
    for seed in seeds:
        with directions(variant):
            found.append(error(problem, train(problem, variant, seed, budget)))
        sys.stdout.write(f"{problem.name}, {variant.name}, seed {seed}: {found[-1]:.1e}\n")
        sys.stdout.flush()
    return median(found)


def table(errors_of: dict[str, dict[str, float]]) -> str:
    """A line per variant: for each problem the error, and its ratio to that of the full method, the first."""
    names = list(errors_of)
    columns = " | ".join(f"{name}: relative L2 | ratio" for name in names)
    lines = [f"| variant | {columns} |", "|---" * (1 + 2 * len(names)) + "|"]
    for variant in errors_of[names[0]]:
        cells = []
        for name in names:
            found = errors_of[name]
            cells.append(f"{found[variant]:.1e} | {found[variant] / next(iter(found.values())):.2g}")
        lines.append(f"| {variant} | {' | '.join(cells)} |")
    return "\n".join(lines)


NOTES = """\
Medians over the seeds; the ratio is to the full method, so that a ratio above one says what an ingredient is worth. A ladder
of networks is trained by Gauss-Newton with at most {steps} steps each, as `solve` does, until the time is used up. Ladders,
degree/intervals of inner and outer splines:

{ladders}
Without variable projection hidden nodes are not renormalised either, see the row of that. Geodesic acceleration: Transtrum
and Sethna, arXiv:1201.5885. Gain ratio: Nielsen's rule. The second network has half of the time, every one of three starts a
third of it.
"""


def notes() -> str:
    """The explanation of the table."""
    words = "".join(
        f"- {name}: "
        + " → ".join(f"[2,{r.sums},1] {r.inner[0]}/{r.inner[1]}, {r.outer[0]}/{r.outer[1]}" for r in ladder)
        + "\n"
        for name, ladder in LADDERS.items()
    )
    return NOTES.format(steps=STEPS, ladders=words)


def main() -> None:
    """Train, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [variant.name for variant in VARIANTS]
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", choices=names, default=names, metavar="NAME")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    where = origin()
    variants = [v for v in VARIANTS if v.name in asked.variants or v is VARIANTS[0]]
    found: dict[str, dict[str, float]] = {}
    for name in LADDERS:
        problem = target(name)
        found[name] = {v.name: medians(problem, v, asked.seeds, asked.seconds) for v in variants}
    seeds = ", ".join(map(str, asked.seeds))
    made = f"Made by `python tests/benchmarks/ablation.py --seconds {asked.seconds:g}`, seeds {seeds} ({where})."
    TABLE.write_text(f"# What the ingredients are worth\n\n{table(found)}\n\n{notes()}\n{made}\n", "utf-8")


if __name__ == "__main__":
    main()
