"""Fifteen special functions: error against size, as in figure 3.2 and the table of section 3.2 of arXiv:2404.19756."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pdekan.output.findings import Columns, ColumnsByName, Curve, Findings, Panel, Picture
from pdekan.output.samples import Array
from pdekan.problems.options import TrainingOptions
from pdekan.studies import regression
from pdekan.studies.experiment import Experiment, gallery, grouped, result
from pdekan.studies.rows import Row, Task
from pdekan.studies.special_targets import FUNCTIONS
from pdekan.studies.winners import EVEN_FACTOR, UNKNOWN, comma_list, winner, winners_sentence
from pdekan.training import solver

# Hidden nodes, degree, and intervals of the layers of KANs; hidden nodes of MLPs. On ellipkinc, jv, lpmv and sph_harm, MLPs had
# lower errors with one hidden layer than with two, and by Gauss-Newton than by self-scaled Broyden and L-BFGS.
KANS: tuple[tuple[tuple[int, ...], int, tuple[int, ...]], ...] = (
    ((1,), 7, (4, 8)),
    ((2,), 3, (5, 10)),
    ((2,), 7, (4, 8)),
    ((2, 1), 7, (2, 4, 8)),
    ((3,), 7, (4, 8)),
    ((5,), 3, (5, 10)),
    ((5,), 7, (4, 12)),
    ((10,), 5, (2, 12)),
    ((10,), 7, (4, 16)),
)
PRODUCTS = (2, 5)  # nodes, each of two splines
MLPS = ((10,), (20,), (40,), (60,), (80,), (112,), (12, 12))
QUICK_FUNCTIONS = ("ellipkinc(x,y)", "jv(x,y)", "lpmv(0,x,y)", "sph_harm(1,1,x,y)")
# Limits of steps, not of seconds, give the same result on a busy machine; a training takes half a second to three.
STEPS, QUICK_STEPS = 40, 20
SECONDS = 120.0
STARTS = 5  # at most, within these steps
TOLERANCE = 1e-10
MINIMAL_ERROR = 1e-2  # that a minimal network has to reach, as in the paper
GOOD_ERROR, MAX_PARAMETERS = 1e-5, 500  # of the best networks
KINDS = ("KAN", "KAN of products", "MLP")
X_LIMITS, ACROSS = (10.0, 1000.0), 5  # of the figure


def tasks(seeds: int, quick: bool) -> list[Task]:
    """Every network for every function, the largest first, seed by seed, so that an interrupted study has fewer seeds."""
    kans: list[dict[str, Any]] = [
        {"kind": "kan", "hidden": list(hidden), "degree": degree, "intervals": list(intervals)}
        for hidden, degree, intervals in KANS
    ]
    kans += [{"kind": "kan", "products": True, "hidden": [n], "degree": [7, 3], "intervals": [8, 1]} for n in PRODUCTS]
    mlps: list[dict[str, Any]] = [{"kind": "mlp", "hidden": list(hidden)} for hidden in MLPS]
    networks = kans[2:7:2] + kans[-1:] + mlps[1:4:2] if quick else kans + mlps
    return [
        Task({"function": name, **network, "steps": QUICK_STEPS if quick else STEPS, "seed": STARTS * seed})
        for seed in range(seeds)
        for network in sorted(networks, key=lambda one: -sum(one["hidden"]))
        for name in (QUICK_FUNCTIONS if quick else FUNCTIONS)
    ]


def train(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Learn a function from its values; the root mean square errors on test points and on validation values."""
    target = FUNCTIONS[configuration["function"]].target
    options = TrainingOptions(
        steps=configuration["steps"], seconds=SECONDS, starts=STARTS, tolerance=TOLERANCE, seed=configuration["seed"]
    )
    solution = solver.solve(target.problem(), network=regression.network(configuration), training=options)
    return {
        "rmse": target.error(solution),
        "held_back": solution.data_residual,
        "parameters": solution.parameters,
        "iterations": solution.iterations,
        "seconds": solution.seconds,
    }


def findings(rows: Sequence[Row]) -> Findings:
    """The smallest sufficient KANs, the best networks of every kind beside the paper's, and Pareto fronts."""
    groups = grouped(rows, lambda row: row.configuration["function"])
    by_function = {name: groups[name] for name in FUNCTIONS if name in groups}
    best = {name: {kind: _best(_of(kind, own)) for kind in KINDS} for name, own in by_function.items()}
    return Findings(
        _sentences(best),
        (_best_table(best), _minimal_table(by_function)),
        (_picture(by_function),),
    )


def kind(row: Row) -> str:
    """One of KINDS."""
    if row.configuration["kind"] == "mlp":
        return "MLP"
    return "KAN of products" if row.configuration.get("products") else "KAN"


def front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The Pareto front of points (size, error), by size."""
    efficient: list[tuple[float, float]] = []
    for size, error in sorted(points):
        if not efficient or error < efficient[-1][1]:
            efficient.append((size, error))
    return efficient


def _of(which: str, rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if kind(row) == which]


def _best(rows: Iterable[Row]) -> Row | None:
    """The training with the lowest validation error, of networks that are not too large."""
    allowed = [row for row in rows if result(row)["parameters"] <= MAX_PARAMETERS]
    return min(allowed, key=lambda row: float(result(row)["held_back"]), default=None)


def _rmse(row: Row | None) -> float:
    return math.nan if row is None else float(result(row)["rmse"])


def _shape(row: Row | None) -> str:
    """The widths, and of a KAN degree and intervals."""
    if row is None:
        return UNKNOWN
    given = row.configuration
    if given["kind"] == "mlp" or given.get("products"):
        return regression.shape(given, 2)
    return f"{regression.shape(given, 2)}, degree {given['degree']}, intervals {'/'.join(map(str, given['intervals']))}"


def _sentences(best: Mapping[str, Mapping[str, Row | None]]) -> tuple[str, ...]:
    good = [name for name, own in best.items() if _rmse(own["KAN"]) <= GOOD_ERROR]
    winners = {name: winner(_rmse(own["KAN"]), _rmse(own["MLP"])) for name, own in best.items()}
    products = [name for name, own in best.items() if EVEN_FACTOR * _rmse(own["KAN of products"]) < _rmse(own["KAN"])]
    published = [name for name, own in best.items() if _rmse(own["KAN"]) < FUNCTIONS[name].paper.best_rmse]
    return (
        f"KANs of at most {MAX_PARAMETERS} parameters have a test RMSE of {GOOD_ERROR:g} or less for {len(good)} of "
        f"{len(best)} functions.",
        winners_sentence(winners, f"With at most {MAX_PARAMETERS} parameters"),
        f"Product nodes are more than {EVEN_FACTOR:g} times better than the KAN of sums for {comma_list(products)}.",
        f"The KAN's error is below that of the paper's best KAN, of any size, for {len(published)} of {len(best)} functions; "
        "the paper does not say on which intervals.",
    )


def _best_table(best: Mapping[str, Mapping[str, Row | None]]) -> Columns:
    columns: ColumnsByName = {"function": list(best)}
    for which in KINDS:
        columns |= {
            f"{which} RMSE": [_rmse(own[which]) for own in best.values()],
            which: [_shape(own[which]) for own in best.values()],
        }
    columns["winner"] = [winner(_rmse(own["KAN"]), _rmse(own["MLP"])) for own in best.values()]
    papers = [FUNCTIONS[name].paper for name in best]
    columns["paper's best KAN RMSE"] = [paper.best_rmse for paper in papers]
    columns["paper's best KAN"] = [paper.best for paper in papers]
    columns["paper's MLP RMSE"] = [paper.mlp_rmse for paper in papers]
    return Columns("best", f"The best networks of at most {MAX_PARAMETERS} parameters, chosen by values held back", columns)


def _minimal_table(by_function: Mapping[str, Sequence[Row]]) -> Columns:
    """The smallest KANs of sums of which a seed reaches MINIMAL_ERROR, as in the paper."""
    smallest = [
        min(
            (row for row in _of("KAN", rows) if _rmse(row) < MINIMAL_ERROR),
            key=lambda row: (sum(row.configuration["hidden"]), result(row)["parameters"], _rmse(row)),
            default=None,
        )
        for rows in by_function.values()
    ]
    papers = [FUNCTIONS[name].paper for name in by_function]
    targets = [FUNCTIONS[name].target for name in by_function]
    columns: ColumnsByName = {
        "function": list(by_function),
        "x": [f"{t.lower[0]:.3g} … {t.upper[0]:.3g}" for t in targets],
        "y": [f"{t.lower[1]:.3g} … {t.upper[1]:.3g}" for t in targets],
        "rms of the values": [regression.rms(t.formula(t.test_points())) for t in targets],
        "minimal KAN": [UNKNOWN if row is None else regression.shape(row.configuration, 2) for row in smallest],
        "parameters": [UNKNOWN if row is None else str(result(row)["parameters"]) for row in smallest],
        "RMSE": [_rmse(row) for row in smallest],
        "paper's minimal KAN": [paper.minimal for paper in papers],
        "paper's RMSE": [paper.minimal_rmse for paper in papers],
    }
    return Columns("minimal", f"The smallest KANs with a test RMSE below {MINIMAL_ERROR:g}", columns)


def _picture(by_function: Mapping[str, Sequence[Row]]) -> Picture:
    panels = [_panel(name, rows) for name, rows in by_function.items()]
    return gallery("fronts", panels, ACROSS, "parameters", "test RMSE", (1.75, 0.7))


def _panel(name: str, rows: Sequence[Row]) -> Panel:
    """All trainings, the fronts of KANs and MLPs, and the paper's errors as horizontal lines."""
    paper, sizes = FUNCTIONS[name].paper, np.array(X_LIMITS)
    curves = [
        Curve(sizes, np.full(2, paper.best_rmse), "paper's best KAN", "grey", "--", width=0.8),
        Curve(sizes, np.full(2, paper.mlp_rmse), "paper's MLP", "grey", ":", width=0.8),
    ]
    for which, colour, marker in zip(KINDS, ("blue", "green", "orange"), ("o", "^", "D"), strict=True):
        points = [(float(result(row)["parameters"]), _rmse(row)) for row in _of(which, rows)]
        curves.append(Curve(*_axes(points), which, colour, "", marker))  # type: ignore[arg-type]
        if which != "KAN of products":
            curves.append(Curve(*_axes(front(points)), f"{which}: Pareto front", colour))  # type: ignore[arg-type]
    return Panel(tuple(curves), name, scale="log", x_limits=X_LIMITS)


def _axes(points: Sequence[tuple[float, float]]) -> tuple[Array, Array]:
    both = np.array(points, np.float64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


EXPERIMENT = Experiment(
    name="special-functions",
    title="Fifteen special functions of two variables",
    shows="how small a network can be for an error, KANs and MLPs each trained as well as we can",
    source="arXiv:2404.19756, section 3.2, figure 3.2",
    minutes=7.0,
    seeds=3,
    tasks=tasks,
    train=train,
    findings=findings,
)
