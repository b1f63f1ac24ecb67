"""Slopes and medians of a study, against power laws whose exponent is known and against counting by hand."""

import math
from itertools import pairwise, permutations

import numpy as np
import pytest
import scaling_runs
from hypothesis import given
from hypothesis import strategies as st

from pdekan.output.study import Run, Slope
from pdekan.studies import fits

SIZES = np.array([75.0, 150.0, 225.0, 300.0, 450.0])


def a_run(key: str = "a", size: int = 75, error: float = 1e-3, **changes: object) -> Run:
    fields = {"key": key, "parameters_paper": size, "intervals": size // 15}
    return scaling_runs.a_run(error, **(fields | changes))


def fitted(errors: np.ndarray, sizes: np.ndarray = SIZES) -> Slope:
    return fits.slope("c", "l2", np.asarray(sizes, dtype=float), np.asarray(errors, dtype=float))


def by_medians(*medians: float, seeds: int = 3) -> Slope:
    """Seeds that scatter by a fifth around given medians."""
    scatter = np.linspace(0.8, 1.25, seeds)
    return fitted(np.outer(medians, scatter).ravel(), np.repeat(SIZES[: len(medians)], seeds))


@pytest.mark.parametrize("exponent", [-8.0, -6.0, -3.5, -0.9])
def test_a_power_law_gives_its_exponent(exponent: float) -> None:
    sizes = 10.0 * 3.0 ** np.arange(5)
    slope = fitted(7.0 * sizes**exponent, sizes)
    assert slope.slope == pytest.approx(exponent)
    assert slope.low == pytest.approx(exponent)
    assert slope.high == pytest.approx(exponent)
    assert (slope.sizes, slope.points, slope.reason) == ((10, 30, 90, 270, 810), 5, "all sizes")


@pytest.mark.parametrize(("seeds", "outliers"), [(3, 0.0), (5, 0.0), (5, 0.08)])
def test_the_interval_covers_the_exponent_as_often_as_it_says(seeds: int, outliers: float) -> None:
    generator = np.random.default_rng(1)
    sizes = np.repeat(SIZES, seeds)
    covered, studies = 0, 400
    for _ in range(studies):
        errors = sizes**-4.0 * np.exp(generator.normal(0.0, 0.7, sizes.size))
        errors[generator.random(sizes.size) < outliers] *= 1e3  # trainings that stuck
        slope = fitted(errors, sizes)
        covered += slope.low <= -4.0 <= slope.high
    assert 0.92 <= covered / studies <= 0.98  # 0.95, give or take three standard errors


def test_a_training_that_stuck_hardly_moves_the_slope() -> None:
    sizes = np.repeat(SIZES, 5)
    clean = sizes**-4.0 * np.tile(np.linspace(0.8, 1.25, 5), 5)
    stuck = clean.copy()
    stuck[-1] *= 1e6
    assert fitted(stuck, sizes).slope == pytest.approx(fitted(clean, sizes).slope, abs=0.3)
    assert np.polyfit(np.log(sizes), np.log(stuck), 1)[0] > -3.0  # least squares would be far off


@pytest.mark.parametrize(
    ("medians", "used"),
    [
        ((1.0, 1e-1, 1e-2, 1e-3, 1e-4), 5),
        ((1.0, 1e-1, 1e-2, 0.9e-2, 1.1e-2), 3),  # a plateau, with scatter
        ((1.0, 1e-1, 1e-2, 5e-2, 2e-1), 3),  # a rising tail
        ((1.0, 1e-2, 1e-1, 1e-3, 1e-4), 5),  # a bump on the way down
        ((1.0, 0.5, 0.25, 0.125, 0.0625), 5),  # halved is enough
    ],
)
def test_the_fit_ends_where_the_curve_of_medians_stops_falling(medians: tuple[float, ...], used: int) -> None:
    slope = by_medians(*medians)
    assert slope.sizes == tuple(int(size) for size in SIZES[:used])
    assert slope.points == 3 * used
    left_out = [f"{size:g}" for size in SIZES[used:]]
    assert all(size in slope.reason for size in left_out)
    assert (slope.reason == "all sizes") == (not left_out)
    assert slope.slope == pytest.approx(by_medians(*medians[:used]).slope)


def test_of_many_sizes_the_upper_half_is_fitted() -> None:
    sizes = 2.0 ** np.arange(8)
    slope = fitted(np.where(sizes < 16.0, sizes**-1.0, 16.0 * sizes**-2.0), sizes)
    assert slope.sizes == (16, 32, 64, 128)
    assert slope.slope == pytest.approx(-2.0)
    assert slope.reason.startswith("1, 2, 4, 8 left out: the lower half")


@pytest.mark.parametrize("medians", [(1.0, 1e-3), (1.0, 1e-3, 1e-3, 1e-3), (1e-3, 1e-3, 1e-3, 1e-3), (1.0, 2.0, 3.0), (1.0,)])
def test_fewer_than_three_falling_sizes_give_no_slope_but_a_reason(medians: tuple[float, ...]) -> None:
    slope = by_medians(*medians)
    assert math.isnan(slope.slope)
    assert math.isnan(slope.low)
    assert "no slope: 3 sizes are needed" in slope.reason


def test_failed_runs_are_left_out() -> None:
    sizes = np.repeat(SIZES, 3)
    errors = sizes**-4.0 * np.tile([0.8, 1.0, 1.25], 5)
    some = np.where(np.arange(15) % 3 == 1, np.nan, errors)
    slope = fitted(some, sizes)
    assert slope.points == 10
    assert slope.slope == pytest.approx(-4.0, abs=0.2)
    one_size = np.where(sizes == 450.0, np.nan, errors)
    slope = fitted(one_size, sizes)
    assert slope.reason == "every run failed at 450"
    assert slope.sizes == (75, 150, 225, 300)
    nothing = fitted(np.full(15, np.nan), sizes)
    assert math.isnan(nothing.slope)
    assert (nothing.sizes, nothing.points) == ((), 0)


def chance_of_perfect_order(sizes: tuple[int, ...]) -> float:
    """By trying every order of as many errors: how often does none rise, or none fall, from a size to a larger one?"""
    orders = list(permutations(range(len(sizes))))

    def ordered(order: tuple[int, ...], sign: int) -> bool:
        pairs = [(a, b) for i, a in enumerate(order) for j, b in enumerate(order) if sizes[i] < sizes[j]]
        return all(sign * a > sign * b for a, b in pairs)

    return sum(ordered(order, 1) or ordered(order, -1) for order in orders) / len(orders)


@pytest.mark.parametrize("counts", [(1, 1, 1), (1, 1, 1, 1), (1, 1, 1, 1, 1), (2, 2, 2), (4, 1, 1), (3, 1, 1), (2, 2, 1, 1)])
def test_no_interval_where_luck_alone_could_order_the_points(counts: tuple[int, ...]) -> None:
    sizes = np.repeat(SIZES[: len(counts)], counts)
    slope = fitted(sizes**-4.0 * (1 + 1e-3 * np.arange(sizes.size)), sizes)
    assert slope.slope == pytest.approx(-4.0, abs=0.1)
    enough = chance_of_perfect_order(tuple(sizes.astype(int).tolist())) <= 0.05
    assert math.isfinite(slope.low) == enough
    assert ("no interval" in slope.reason) == (not enough)


def test_many_seeds_are_no_trouble() -> None:
    """Factorials of their number are beyond a double."""
    sizes = np.repeat(SIZES, 60)
    assert fitted(sizes**-4.0, sizes).low == pytest.approx(-4.0)


@given(st.lists(st.floats(-3.0, 3.0), min_size=15, max_size=15), st.floats(1e-3, 1e3))
def test_units_and_the_order_of_runs_do_not_matter(logs: list[float], unit: float) -> None:
    sizes = np.repeat(SIZES, 3)
    errors = sizes**-2.0 * np.exp(logs)
    here, scaled = fitted(errors, sizes), fitted(unit * errors, sizes)
    order = np.random.default_rng(0).permutation(15)
    shuffled = fitted(errors[order], sizes[order])
    for other in (scaled, shuffled):
        if other.sizes == here.sizes:  # unless a fall by exactly a half is rounded
            np.testing.assert_allclose([other.slope, other.low, other.high], [here.slope, here.low, here.high], rtol=1e-9)
    assert shuffled.sizes == here.sizes


def test_medians_and_quartiles_are_those_of_the_logarithms() -> None:
    runs = [a_run(f"{k}", 75, 10.0**-k, seed=k) for k in (1, 2, 3)]
    runs += [a_run("4", 75, math.nan, seed=4, status="failed"), a_run("5", 75, 1e6, seed=5, counts=False)]
    runs += [a_run("6", 150, math.nan, status="failed")]
    l2, empty, h1, _ = fits.spreads(runs)
    assert (l2.norm, l2.size, l2.runs, l2.failed) == ("l2", 75, 3, 1)
    np.testing.assert_allclose([l2.lower, l2.median, l2.upper], [10**-2.5, 10**-2, 10**-1.5])
    np.testing.assert_allclose([h1.lower, h1.median, h1.upper], [10**-0.5, 1.0, 10**0.5])
    assert (empty.size, empty.runs, empty.failed) == (150, 0, 1)
    assert math.isnan(empty.median)


def test_an_exact_solution_is_not_a_failed_one() -> None:
    (row, _) = fits.spreads([a_run("a", 75, 0.0)])
    assert (row.runs, row.failed) == (1, 0)
    assert row.median < 1e-300


def test_curves_are_fitted_one_by_one_with_what_theory_says() -> None:
    kan = [a_run(f"k{size}", size, 1e3 * size**-8.0) for size in (75, 150, 225)]
    mlp = [
        a_run(f"m{w}", 3 * w, w**-2.0, curve="MLP depth 2", kind="mlp", degree=0, intervals=0, widths=(2, w, 1))
        for w in (5, 10, 20, 40)
    ]
    kan_l2, kan_h1, mlp_l2, mlp_h1 = fits.slopes([*kan, *mlp])
    assert (kan_l2.curve, kan_l2.theory, kan_h1.theory) == ("KAN [2,5,1]", -8.0, -6.0)
    assert (mlp_h1.curve, mlp_h1.norm) == ("MLP depth 2", "h1_seminorm")
    assert math.isnan(mlp_l2.theory)
    assert (kan_l2.slope, mlp_l2.slope) == (pytest.approx(-8.0), pytest.approx(-2.0))
    assert fits.slopes([]) == fits.spreads([]) == ()


def test_the_lowest_residual_on_unseen_points_counts_from_each_start() -> None:
    def tried(optimizer: str, seed: int, residual: float, **changes: object) -> Run:
        return a_run(f"{optimizer}{seed}", optimizer=optimizer, seed=seed, relative_residual=residual, **changes)

    runs = (
        tried("gauss-newton", 0, 1e-3, l2_mean_square=1.0),  # its error is larger, which a user cannot see
        tried("lbfgs", 0, 1e-2, l2_mean_square=1e-9),
        tried("gauss-newton", 1, math.nan, status="failed"),
        tried("lbfgs", 1, 1e-1),
        tried("adam", 1, 2e-1),
        tried("gauss-newton", 2, math.nan, status="failed"),
        tried("lbfgs", 3, 1.0),
        tried("lbfgs", 4, 2.0, widths=(2, 7, 1), counts=False),
    )
    assert [run.counts for run in fits.with_counts(runs)] == [True, False, False, True, False, True, True, True]


def test_theory_falls_by_two_a_degree_and_by_two_a_derivative() -> None:
    assert [fits.theory("l2", k) for k in (1, 3, 9)] == [-4.0, -8.0, -20.0]
    assert all(b - a == -2.0 for a, b in pairwise(fits.theory("h1_seminorm", k) for k in range(1, 6)))
    assert fits.theory("h1_seminorm", 3) == -6.0
