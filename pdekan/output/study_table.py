"""Tables of a scaling study: sizes, slopes and failures, as cells and as Markdown."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from pdekan.output import tables as texts
from pdekan.output.study import NORMS, LimitPoint, Norm, PaperPoint, Run, Slope, Spread, Study
from pdekan.output.tables import Table, number

_SYMBOLS: dict[Norm, str] = {"l2": "L2²", "h1_seminorm": "H1²"}


def tables(study: Study) -> tuple[Table, ...]:
    """Sizes and slopes, and failed runs if there are any."""
    failed = failures(study)
    return (sizes(study), slopes(study), *((failed,) if failed.rows else ()))


def sizes(study: Study) -> Table:
    """Median and quartiles of the mean square errors, and median seconds, of the counting runs of every size."""
    by_size: dict[tuple[str, int], dict[Norm, Spread]] = {}
    for spread in study.spreads:
        by_size.setdefault((spread.curve, spread.size), {})[spread.norm] = spread
    counting = [run for run in study.runs if run.counts]
    rows = [
        _size([run for run in counting if (run.curve, run.parameters_paper) == key], spreads)
        for key, spreads in by_size.items()
    ]
    errors = tuple(f"{symbol} median (quartiles)" for symbol in _SYMBOLS.values())
    header = ("curve", "network", "paper's count", "parameters", *errors, "seconds", "runs", "failed", "optimizer")
    return Table("Mean square errors by size", header, tuple(rows))


def slopes(study: Study) -> Table:
    """Exponents of error by size with their intervals, theory's exponents, and the fitted sizes."""
    header = ("curve", "error", "slope", "95 % interval", "theory", "sizes fitted", "runs", "which, and why")
    return Table("Slopes of log error by log size", header, tuple(_slope(row) for row in study.slopes))


def failures(study: Study) -> Table:
    """All runs without an error, with their reasons."""
    rows = [
        (run.curve, _networks([run]), run.optimizer, str(run.seed), run.status, run.reason)
        for run in study.runs
        if not math.isfinite(run.l2_mean_square)
    ]
    return Table("Runs without an error", ("curve", "network", "optimizer", "seed", "status", "reason"), tuple(rows))


def comparisons(study: Study) -> tuple[Table, ...]:
    """The least errors of tensor splines and the published errors, each if there are any."""
    limit = [(str(p.degree), str(p.intervals), str(p.unknowns), *_both(p)) for p in study.limit]
    paper = [
        (f"{p.curve}, end of training" if p.training else p.curve, number(p.parameters, "g"), *_both(p)) for p in study.paper
    ]
    every = (
        Table("Least errors of tensor splines", ("degree", "intervals", "unknowns", *_SYMBOLS.values()), tuple(limit)),
        Table("Read off figure 3.3 of the KAN paper", ("curve", "paper's count", *_SYMBOLS.values()), tuple(paper)),
    )
    return tuple(table for table in every if table.rows)


def markdown(study: Study) -> str:
    """All tables and the command of the study."""
    return texts.markdown(study.title or study.name, (), tables(study) + comparisons(study), study.command)


def _size(runs: Sequence[Run], spreads: dict[Norm, Spread]) -> tuple[str, ...]:
    first, l2 = runs[0], spreads["l2"]
    seconds = float(np.nanmedian([run.seconds for run in runs])) if any(np.isfinite(run.seconds) for run in runs) else math.nan
    optimizers = Counter(run.optimizer for run in runs if math.isfinite(run.l2_mean_square))
    listed = ", ".join(optimizers) if len(optimizers) < 2 else ", ".join(f"{name} {n}" for name, n in optimizers.most_common())
    return (
        first.curve,
        _networks(runs),
        str(l2.size),
        " or ".join(str(count) for count in sorted({run.parameters for run in runs})),
        *(_spread(spreads[norm]) for norm in NORMS),
        number(seconds, ".1f"),
        str(l2.runs),
        str(l2.failed),
        listed,
    )


def _networks(runs: Iterable[Run]) -> str:
    """[2,5,1] × 10: widths and, for KANs, intervals; several may have one size."""
    names = (f"[{','.join(map(str, r.widths))}]" + (f" × {r.intervals}" if r.intervals else "") for r in runs)
    return " or ".join(dict.fromkeys(names))


def _spread(spread: Spread) -> str:
    if math.isnan(spread.median):
        return "–"
    quartiles = f" ({spread.lower:.1e} … {spread.upper:.1e})" if spread.runs > 1 else ""
    return f"{spread.median:.1e}{quartiles}"


def _slope(row: Slope) -> tuple[str, ...]:
    interval = "–" if math.isnan(row.low) else f"{row.low:.2f} … {row.high:.2f}"
    fitted = ", ".join(map(str, row.sizes)) or "–"
    slope, theory = number(row.slope, ".2f"), number(row.theory, "g")
    return (row.curve, _SYMBOLS[row.norm], slope, interval, theory, fitted, str(row.points), row.reason)


def _both(point: LimitPoint | PaperPoint) -> tuple[str, ...]:
    return tuple(number(point.mean_square(norm), ".1e") for norm in NORMS)
