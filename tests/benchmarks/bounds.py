"""Compare bounds of the energy norm with the truth on random problems, and write bounds.md.

python tests/benchmarks/bounds.py [200]       # that many problems; their numbers are their seeds
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import torch
from origin import ROOT, origin

sys.path.insert(0, str(ROOT / "tests"))
from energies import Off, random_energy, random_error, trained

from pdekan.errors.bounds import error_bound, plain_bound
from pdekan.errors.energy_constants import energy_constants
from pdekan.errors.energy_problem import EnergyProblem
from pdekan.errors.majorant import Samples
from pdekan.errors.spline_fields import SplineBox

PAGE = Path(__file__).with_suffix(".md")
TEXT = """# Bounds of the energy norm against the truth

Random problems -div(k grad(u)) + c u = f, k = a exp(b x), on lines, boxes, disks, polygons and rings, with random kinds of
conditions (`tests/energies.py`; the number is the seed). Each fourth network is trained for 1 to 40 steps, the others are the
exact solution and up to three waves of a size between 1e-9 and 1. Upper and lower: the bounds of `pdekan bound` divided by the
true norm; plain: that of weighted norms of the residuals alone. A residual that oscillates k times faster than the first
eigenfunction has a norm k times larger than its dual norm, which is that of the error; the plain bound, which knows the first
eigenvalue only, is that much too large, whatever constant weight is chosen. The sharp one resolves the residual. Kind:
guaranteed where integrals are enclosed, which is done for networks of splines on boxes, not for waves.

| problem | domain | network | true norm | lower | upper | plain | seconds | kind |
|---|---|---|---|---|---|---|---|---|
"""


def main() -> None:
    """Draw, bound, compare, write."""
    torch.set_num_threads(1)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    lines, rows = [], []
    for seed in range(count):
        energy = random_energy(seed)
        problem, is_trained = energy.problem, seed % 4 == 0
        network = trained(energy, 1 + seed % 40) if is_trained else Off(problem, random_error(seed, problem.domain.dimension))
        true, began = energy.norm(network), time.perf_counter()
        bound = error_bound(problem, network)
        seconds = time.perf_counter() - began
        lower, upper, plain = bound.energy_lower / true, bound.energy_upper / true, _plain(problem, network) / true
        rows.append((lower, upper, plain))
        lines.append(
            f"| {seed} | {problem.domain.type_name} | {'trained' if is_trained else 'waves'} | {true:.1e} | {lower:.4f} | "
            f"{upper:.4f} | {plain:.2f} | {seconds:.1f} | {bound.kind} |\n"
        )
        sys.stdout.write(lines[-1])
        sys.stdout.flush()
        PAGE.write_text(TEXT + "".join(lines) + _words(rows) + f"\n{origin()}\n", "utf-8")


def _plain(problem, network):  # type: ignore[no-untyped-def]
    energy = EnergyProblem.of(problem, network)
    n = (64,) * problem.domain.dimension
    space = SplineBox(problem.domain.lower, problem.domain.upper, n, 3)
    return plain_bound(energy, energy_constants(energy), Samples.of(energy, n, 4), space)


def _words(rows: list[tuple[float, float, float]]) -> str:
    inside = sum(lower <= 1.0 <= upper for lower, upper, _ in rows)
    sharp, plain = ([row[k] for row in rows] for k in (1, 2))
    return (
        f"\nThe truth is inside in {inside} of {len(rows)}. Upper: median {statistics.median(sharp):.4f}, largest "
        f"{max(sharp):.3f}, at most 1.3 in {sum(one <= 1.3 for one in sharp)}. Plain: median {statistics.median(plain):.2f}, "
        f"largest {max(plain):.1f}, at most 3 in {sum(one <= 3.0 for one in plain)}.\n"
    )


if __name__ == "__main__":
    main()
