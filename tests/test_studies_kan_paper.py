"""The published points: sizes that a KAN of the curve can have, and the slopes that the figure is known for."""

import numpy as np
import pytest

from pdekan.studies.kan_paper import figure_3_3

POINTS = figure_3_3()


@pytest.mark.parametrize(("curve", "slope"), [("KAN [2,5,1]", -3.5), ("KAN [2,7,1]", -4.3), ("KAN [2,10,1]", -4.3)])
def test_curves_fall_as_published(curve: str, slope: float) -> None:
    points = [point for point in POINTS if point.curve == curve and not point.training]
    sizes = np.array([point.parameters for point in points])
    hidden = int(curve.split(",")[1])
    assert len(points) == 5
    assert not np.any(sizes % (3 * hidden))  # edges × intervals
    errors = np.array([point.l2_mean_square for point in points])
    assert np.polyfit(np.log(sizes), np.log(errors), 1)[0] == pytest.approx(slope, abs=0.15)


def test_the_training_panel_ends_at_the_curves_level() -> None:
    """The same network's error is in both panels."""
    ends = [point for point in POINTS if point.training]
    assert [point.curve for point in ends] == ["KAN [2,10,1]", "MLP [2,100,100,100,1]"]
    largest = [point for point in POINTS if point.curve == "KAN [2,10,1]" and not point.training][-1]
    assert np.isnan(ends[0].parameters)
    assert ends[0].l2_mean_square == pytest.approx(largest.l2_mean_square, rel=1.0)
    assert ends[1].parameters == 2 * 100 + 2 * 100**2 + 100


def test_what_was_not_read_is_nan_and_gradients_are_worse() -> None:
    assert sum(np.isnan(point.h1_seminorm_mean_square) for point in POINTS) == 3
    assert not any(point.h1_seminorm_mean_square <= point.l2_mean_square for point in POINTS)
