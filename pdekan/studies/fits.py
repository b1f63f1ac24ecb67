"""Statistics of the runs of a scaling study: medians and quartiles over seeds, and slopes of log error by log size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from scipy.stats import theilslopes

from pdekan.output.samples import Array
from pdekan.output.study import NORMS, Norm, Run, Slope, Spread

CONFIDENCE = 0.95
MIN_SIZES = 3  # for a slope
# A curve falls up to the first size whose median error no larger size reduces by this factor. Medians over a few seeds scatter
# by tens of per cent.
REDUCTION = 0.5


def theory(norm: Norm, degree: int) -> float:
    """The exponent of the mean square error against size for splines of degree k: -2(k + 1) in L2, -2k in the H1 seminorm.

    For a smooth function and a fixed width, where the size is proportional to the intervals G: m-th derivatives have the error
    O(G^-(k+1-m)). Source: arXiv:2404.19756, theorem 2.1; de Boor, A Practical Guide to Splines, 2001, ch. XII.
    """
    return -2.0 * (degree + 1 if norm == "l2" else degree)


def with_counts(runs: Sequence[Run]) -> tuple[Run, ...]:
    """The runs, with `counts` for the best optimizer of each size and seed only.

    The best has the lowest validation residual, which needs no exact solution; a failed run's is infinite.
    """
    best: dict[tuple[object, ...], Run] = {}
    for run in runs:
        if _residual(run) < _residual(best.setdefault(_start(run), run)):
            best[_start(run)] = run
    return tuple(replace(run, counts=run is best[_start(run)]) for run in runs)


def _start(run: Run) -> tuple[object, ...]:
    return run.curve, run.widths, run.degree, run.intervals, run.seed


def _residual(run: Run) -> float:
    return run.relative_residual if math.isfinite(run.relative_residual) else math.inf


def spreads(runs: Iterable[Run]) -> tuple[Spread, ...]:
    """Median and quartiles of the counting runs' log errors, curve by curve."""
    rows = []
    for curve, members in _curves(runs).items():
        for norm in NORMS:
            sizes, errors = _errors(members, norm)
            rows += [_spread(curve, norm, int(size), errors[sizes == size]) for size in np.unique(sizes)]
    return tuple(rows)


def slopes(runs: Iterable[Run]) -> tuple[Slope, ...]:
    """The slope of every curve in both norms, from the counting runs; see `slope`."""
    rows = []
    for curve, members in _curves(runs).items():
        degrees = {run.degree for run in members if run.kind == "kan"}
        for norm in NORMS:
            expected = theory(norm, *degrees) if len(degrees) == 1 else math.nan
            rows.append(slope(curve, norm, *_errors(members, norm), expected))
    return tuple(rows)


def slope(curve: str, norm: Norm, sizes: Array, errors: Array, expected: float = math.nan) -> Slope:
    """The Theil-Sen slope of log errors ``(n,)``, NaN for failed runs, by log sizes ``(n,)``: the median over all pairs.

    Fitted where the curve of medians falls: up to the first size whose median error no larger size halves; of six such sizes or
    more to the upper half, since theory's exponent is that of large ones. With fewer than three the slope is NaN; with too
    few runs for a level of 95 % its interval is.
    Source: Sen, J. Am. Stat. Assoc. 63 (1968) 1379-1389, eq. 2.6 with ties; implementation scipy.stats.theilslopes.
    """
    known = np.isfinite(errors)
    failed = sorted(set(sizes.tolist()) - set(sizes[known].tolist()))
    sizes, logs = sizes[known], _logs(errors[known])
    distinct = np.unique(sizes)
    used = distinct[: _falling([float(np.median(logs[sizes == size])) for size in distinct])]
    fitted_sizes = used[len(used) // 2 :] if len(used) >= 2 * MIN_SIZES else used
    remarks = []
    if failed:
        remarks.append(f"every run failed at {_listed(failed)}")
    if len(used) < len(distinct):
        remarks.append(f"{_listed(distinct[len(used) :])} left out: no size above {used[-1]:g} halves its median error")
    if len(fitted_sizes) < len(used):
        remarks.append(f"{_listed(used[: len(used) - len(fitted_sizes)])} left out: the lower half")
    fitted = np.isin(sizes, fitted_sizes)
    estimate = low = high = math.nan
    if len(used) < MIN_SIZES:
        remarks.append(f"no slope: {MIN_SIZES} sizes are needed, the curve falls over {len(used)}")
    else:
        estimate, _, low, high = (float(v) for v in theilslopes(logs[fitted], np.log(sizes[fitted]), CONFIDENCE))
        if _chance_of_order(sizes[fitted]) > 1.0 - CONFIDENCE:
            low = high = math.nan
            remarks.append(f"no interval: {fitted.sum()} runs are too few")
    reason = "; ".join(remarks) or "all sizes"
    whole = tuple(int(size) for size in fitted_sizes)
    return Slope(curve, norm, estimate, low, high, expected, whole, int(fitted.sum()), reason)


def _falling(medians: Sequence[float]) -> int:
    """The number of log medians, in the order of size, up to which the curve falls."""
    for index, median in enumerate(medians):
        if min(medians[index + 1 :], default=math.inf) > median + math.log(REDUCTION):
            return index + 1
    return 0


def _chance_of_order(sizes: Array) -> float:
    """The probability that errors without a trend are in perfect order, up or down: 2 Π(nᵢ!) / n!, nᵢ runs of each size."""
    _, counts = np.unique(sizes, return_counts=True)
    return 2 * math.prod(math.factorial(int(count)) for count in counts) / math.factorial(len(sizes))


def _curves(runs: Iterable[Run]) -> dict[str, list[Run]]:
    curves: dict[str, list[Run]] = {}
    for run in runs:
        if run.counts:
            curves.setdefault(run.curve, []).append(run)
    return curves


def _errors(runs: Iterable[Run], norm: Norm) -> tuple[Array, Array]:
    pairs = np.array([(run.parameters_paper, run.mean_square(norm)) for run in runs], dtype=np.float64)
    return pairs[:, 0], pairs[:, 1]


def _spread(curve: str, norm: Norm, size: int, errors: Array) -> Spread:
    known = errors[np.isfinite(errors)]
    failed = len(errors) - len(known)
    if not len(known):
        return Spread(curve, norm, size, 0, failed, math.nan, math.nan, math.nan)
    lower, middle, upper = (float(v) for v in np.exp(np.quantile(_logs(known), (0.25, 0.5, 0.75))))
    return Spread(curve, norm, size, len(known), failed, middle, lower, upper)


def _logs(errors: Array) -> Array:
    # an error of zero is not a failure
    logs: Array = np.log(np.maximum(errors, np.finfo(np.float64).tiny))
    return logs


def _listed(sizes: Iterable[float]) -> str:
    return ", ".join(f"{size:g}" for size in sizes)
