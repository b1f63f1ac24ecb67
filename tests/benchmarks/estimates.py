"""Compare estimated with true errors on the library's quick problems and write estimates.md.

python tests/benchmarks/estimates.py          # those that docs/library.md trains in less than ten seconds, one thread
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import torch
from histories import quick
from origin import origin

import pdekan as pk
from pdekan.training.estimate import COMPARISON

PAGE = Path(__file__).with_suffix(".md")
TEXT = """# Estimated and true errors

The library's problems that train in less than ten seconds, with the settings of their files. Relative L2 errors; the ratio is
that of the estimated to the true one, in L2 and in the H1 seminorm. "Amplified residual" is an upper estimate where no richer
space was better by a factor of three in the time allowed. "Comparison with a coarser network" then takes the ratio of residuals
for that of errors, which is right to about a factor of five. Problems without an estimate are listed below with the reason.

| problem | unknown | method | estimated | true | ratio L2 | ratio H1 | seconds of training | of the rest |
|---|---|---|---|---|---|---|---|---|
"""


def main() -> None:
    """Solve, compare, write."""
    torch.set_num_threads(1)
    lines, without, ratios = [], [], []
    for name in quick():
        began = time.perf_counter()
        solution = pk.solve(pk.load_problem(name))
        rest = time.perf_counter() - began - solution.seconds
        if solution.estimate is None:
            without.append(f"- {name}: {solution.estimate_reason}\n")
            continue
        for unknown, one in solution.estimate.items():
            true = (solution.errors or {})[unknown]
            l2, h1 = one.l2_relative / true.l2_relative, one.h1_seminorm_relative / true.h1_seminorm_relative
            if one.method == COMPARISON:
                ratios.append(l2)
            lines.append(
                f"| {name} | {unknown} | {one.method} | {one.l2_relative:.1e} | {true.l2_relative:.1e} | {l2:.3g} | {h1:.3g} | "
                f"{solution.seconds:.1f} | {rest:.1f} |\n"
            )
            sys.stdout.write(lines[-1])
            sys.stdout.flush()
    within = sum(0.5 <= ratio <= 2.0 for ratio in ratios)
    words = (
        f"\nBy comparison: {within} of {len(ratios)} within a factor of two, median ratio {statistics.median(ratios):.3f}.\n"
    )
    PAGE.write_text(TEXT + "".join(lines) + words + "\n" + "".join(without) + f"\n{origin()}\n", "utf-8")


if __name__ == "__main__":
    main()
