"""Graded coordinates against closed forms: the map of sinh, integrals, finite differences, and what networks keep."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pdekan import splines
from pdekan.domains.box import box
from pdekan.fields.jets import Derivatives, Frame
from pdekan.networks.grading import (
    MAP_DEGREE,
    coarseness,
    computational_jet,
    equidistribute,
    lengths_per_axis,
    limit_slopes,
    to_computational,
    to_physical,
)
from pdekan.networks.kan import KAN
from pdekan.residuals.collocation import Sampling, moved

STEEP = 4.0


def sinh_map(steepness: float = STEEP, intervals: int = 12) -> torch.Tensor:
    """A grading close to x = sinh(aξ)/sinh a, whose inverse is known."""
    t = splines.sample_points(MAP_DEGREE, intervals)
    row = splines.fit(t, torch.sinh(steepness * t) / math.sinh(steepness), MAP_DEGREE, intervals)
    return row[None]


def lengths(*axes: list[float]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Lengths at evenly spaced nodes."""
    values = [torch.tensor(axis, dtype=torch.float64) for axis in axes]
    return [(torch.linspace(-1.0, 1.0, len(one), dtype=torch.float64), one) for one in values]


def front(width: float, place: float = 0.0) -> list[float]:
    """sqrt(width² + (x - place)²): points evenly spaced in asinh((x - place)/width) equidistribute 1/h."""
    return np.hypot(width, np.linspace(-1.0, 1.0, 1001) - place).tolist()


def graded_kan(seed: int = 0) -> KAN:
    grading = equidistribute(lengths(front(0.02, 0.3), [1.0] * 9))
    network = KAN([2, 3, 2], 5, 4, lower=[0.0, 1.0], upper=[2.0, 4.0], grading=grading)
    network.initialise(torch.Generator().manual_seed(seed))
    return network.requires_grad_(False)


def points(n: int, seed: int = 0) -> torch.Tensor:
    unit = torch.rand(n, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return unit * torch.tensor([2.0, 3.0]) + torch.tensor([0.0, 1.0])


def test_inverse_and_its_derivatives_are_those_of_asinh() -> None:
    grading = sinh_map()
    x = torch.linspace(-1.0, 1.0, 201, dtype=torch.float64)[:, None]
    xi = computational_jet(Frame(("x",)).position(x), grading)
    size = math.sinh(STEEP)
    root = torch.sqrt(1.0 + (size * x) ** 2)
    assert torch.allclose(xi.value, torch.asinh(size * x) / STEEP, atol=1e-9)
    assert xi.gradient is not None
    assert xi.second is not None
    assert torch.allclose(xi.gradient[..., 0], size / STEEP / root, rtol=1e-7)
    assert torch.allclose(xi.second[..., 0], -(size**3) * x / STEEP / root**3, atol=1e-5)


@given(st.floats(0.003, 0.1), st.floats(-1.0, 1.0))
@settings(max_examples=10, deadline=None)
def test_inverse_undoes_the_map_wherever_the_front_is(width: float, place: float) -> None:
    grading = equidistribute(lengths(front(width, place)))
    assert grading is not None
    xi = torch.linspace(-1.05, 1.05, 301, dtype=torch.float64)[:, None]
    x, slope = to_physical(xi, grading, 1)
    assert float(slope.min()) > 0.0
    assert torch.allclose(to_computational(x, grading), xi, atol=1e-12)
    ends = to_physical(torch.tensor([[-1.0], [1.0]], dtype=torch.float64), grading)[0]
    assert torch.allclose(ends, torch.tensor([[-1.0], [1.0]], dtype=torch.float64), atol=1e-14)


def test_map_equidistributes_the_reciprocal_of_the_length() -> None:
    width = 0.05
    grading = equidistribute(lengths(front(width)))
    assert grading is not None
    xi = torch.linspace(-0.9, 0.9, 101, dtype=torch.float64)[:, None]
    slope = to_physical(xi, grading, 1)[1]
    half = math.asinh(1.0 / width)
    exact = width * half * torch.cosh(half * xi)
    assert float((slope / exact).log().abs().max()) < 0.3


def test_axes_that_are_even_enough_stay_as_they_are() -> None:
    assert equidistribute(lengths([0.4, 0.5, 1.0, 0.4], [2.0, 3.0])) is None
    grading = equidistribute(lengths(front(0.01), [0.4, 0.5, 0.4]))
    assert grading is not None
    xi = torch.linspace(-1.0, 1.0, 21, dtype=torch.float64)[:, None].expand(-1, 2)
    assert torch.allclose(to_physical(xi, grading)[0][:, 1], xi[:, 1], atol=1e-13)


@given(st.lists(st.floats(1e-4, 5.0), min_size=2, max_size=40))
@settings(max_examples=50, deadline=None)
def test_limited_lengths_are_the_largest_that_grow_slowly(values: list[float]) -> None:
    ((nodes, given_lengths),) = lengths(values)
    found = limit_slopes(nodes, given_lengths)
    assert bool((found <= given_lengths).all())
    assert float(found.max()) <= 1.0
    assert bool((found.diff().abs() <= nodes.diff() * (1.0 + 1e-12)).all())
    assert torch.allclose(limit_slopes(nodes, found), found, rtol=1e-12)


def test_moved_rules_still_integrate() -> None:
    grading = equidistribute(lengths(front(0.02, 0.3), front(0.1)))
    assert grading is not None
    domain = box(x=(0.0, 2.0), y=(1.0, 4.0))
    inside = moved(domain.interior(24, 8, 0, 0), domain, grading)
    x, y = inside.points.T
    steep = 1.0 / (1e-3 + (x - 1.3) ** 2)
    exact = (math.atan(0.7 / 1e-3**0.5) + math.atan(1.3 / 1e-3**0.5)) / 1e-3**0.5 * (4.0**3 - 1.0) / 3.0
    assert float(inside.weights @ (steep * y**2)) == pytest.approx(exact, rel=1e-7)
    top = moved(domain.face("y+", 24, 8, 0, 0), domain, grading)
    assert np.all(top.points[:, 1] == 4.0)
    assert float(top.weights @ top.points[:, 0] ** 2) == pytest.approx(8.0 / 3.0, rel=1e-9)


def test_counts_are_integrals_of_the_density() -> None:
    for widths in ((0.01, 0.02), (0.1, 0.05)):
        axes = [(nodes, limit_slopes(nodes, front_)) for nodes, front_ in lengths(*(front(width) for width in widths))]
        grading = equidistribute(axes)
        assert grading is not None
        wanted = [float(torch.trapezoid(1.0 / length, nodes)) for nodes, length in axes]
        assert lengths_per_axis(grading).tolist() == pytest.approx(wanted, rel=0.1)
    grading = equidistribute(lengths(front(0.01), [1.0] * 9))
    assert grading is not None
    assert lengths_per_axis(grading)[1] == 2.0
    assert lengths_per_axis(grading, 0.5)[1] == 0.5


def test_points_lie_along_every_axis_in_proportion_to_its_lengths() -> None:
    grading = equidistribute(lengths(front(0.01), [1.0] * 9))
    assert grading is not None
    domain = box(x=(0.0, 2.0), y=(0.0, 2.0))
    inside = Sampling(16, 4, 0, 0, grading).inside(domain)
    assert len(inside.points) == pytest.approx(64**2, rel=0.1)
    along = [len(np.unique(inside.points[:, k].round(9))) for k in range(2)]
    assert along[0] / along[1] == pytest.approx(float(lengths_per_axis(grading)[0] / lengths_per_axis(grading)[1]), rel=0.1)
    assert inside.weights.sum() == pytest.approx(4.0, rel=1e-6)
    start = Sampling(16, 4, 0, 0, grading).on(domain, "y-", 0, 0)
    assert set(start.points[:, 0].round(9)) == set(inside.points[:, 0].round(9))


def test_coarseness_is_how_much_denser_the_other_grading_is() -> None:
    fine, coarse = (equidistribute(lengths(front(width))) for width in (0.01, 0.1))
    assert fine is not None
    assert coarse is not None
    assert coarseness(fine, fine) == pytest.approx(1.0, abs=1e-9)
    assert coarseness(coarse, fine) > 2.0


@pytest.mark.parametrize("level", [Derivatives.DIAGONAL, Derivatives.FULL, Derivatives.SUMMED])
def test_jet_of_a_graded_network_is_that_of_finite_differences(level: Derivatives) -> None:
    network, frame = graded_kan(), Frame(("x", "y"), level)
    at = points(20)
    jet, h = network.jet(at, frame), 1e-5
    assert jet.gradient is not None
    assert jet.second is not None
    seconds = []
    for k in range(2):
        step = torch.zeros(2, dtype=torch.float64)
        step[k] = h
        after, before = network.jet(at + step, frame), network.jet(at - step, frame)
        slope = (after.value - before.value) / (2 * h)
        assert torch.allclose(jet.gradient[..., k], slope, rtol=1e-4, atol=1e-4)
        assert after.gradient is not None
        assert before.gradient is not None
        seconds.append((after.gradient[..., k] - before.gradient[..., k]) / (2 * h))
    kept = {Derivatives.DIAGONAL: seconds, Derivatives.SUMMED: [seconds[0] + seconds[1]]}.get(level)
    found = jet.second if kept is not None else jet.second[..., [0, 2]]
    exact = torch.stack(kept if kept is not None else seconds, dim=-1)
    assert torch.allclose(found, exact, rtol=1e-4, atol=1e-3 * float(exact.abs().max()))


def test_rows_of_a_graded_network_are_those_of_autograd() -> None:
    network, frame = graded_kan(1).requires_grad_(True), Frame(("x", "y"), Derivatives.DIAGONAL)
    at = points(7, 1)
    trace = network.trace(network.prepare(at, frame))
    generator = torch.Generator().manual_seed(2)
    cotangent = trace.jet.each(lambda part: torch.randn(part.shape, generator=generator, dtype=torch.float64))
    rows = trace.rows(cotangent)
    jet = network.jet(at, frame)
    for i in range(len(at)):
        pairs = zip((cotangent.value, cotangent.gradient, cotangent.second), (jet.value, jet.gradient, jet.second), strict=True)
        total = sum((a[i] * b[i]).sum() for a, b in pairs if a is not None and b is not None)
        slopes = torch.autograd.grad(total, list(network.parameters()), retain_graph=True)
        assert torch.allclose(rows[i], torch.cat([slope.reshape(-1) for slope in slopes]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("base", ["none", "silu"])
def test_regraded_network_says_about_the_same(base: str) -> None:
    plain = KAN([2, 4, 1], 7, 40, base)
    plain.initialise(torch.Generator().manual_seed(0))
    with torch.no_grad():  # smooth edges
        for layer in plain.spline_layers:
            t = splines.greville(layer.degree, layer.intervals)
            layer.coefficients.copy_(0.4 * torch.sin(t + torch.arange(layer.outputs)[:, None]).expand_as(layer.coefficients))
    at = 2.0 * torch.rand(200, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) - 1.0
    grading = equidistribute(lengths(front(0.05, -0.2), front(0.1)))
    moved_network = plain.regraded(grading)
    assert moved_network.grading is not None
    assert plain.grading is None
    assert torch.allclose(moved_network(at), plain(at), atol=1e-6)
    assert torch.allclose(moved_network.regraded(None)(at), plain(at), atol=1e-5)
    assert torch.allclose(moved_network.widened([6], torch.Generator())(at), moved_network(at), atol=1e-12)
    assert torch.allclose(moved_network.refined(7, 80)(at), moved_network(at), atol=1e-11)
