"""Initial values that disagree with conditions, data that jump: functions against SciPy, degrees, solutions against series."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import torch
from autograd_derivatives import assert_derivatives

import pdekan as pk
from pdekan import Problem, TrainingOptions, dirichlet, dt, dx, initial, neumann, where
from pdekan.cli import main
from pdekan.fields.diffusion_functions import DiffusionFunctions, DiffusionProducts, repeated_integrals
from pdekan.fields.jets import Derivatives, Frame, Jet
from pdekan.networks.kinds import build
from pdekan.networks.singular import SingularNetwork
from pdekan.problems.conditions import Condition
from pdekan.singularities.beginnings import beginning_functions, beginnings

ROD = pk.box(x=(0, 1), t=(0, 0.5))
QUICK = TrainingOptions(seconds=20.0)


def heat(u: Jet) -> Jet:
    return dt(u) - dx(dx(u))


def conducting(*conditions: Condition, operator: object = heat, source: object = 0.0) -> Problem:
    return Problem(ROD, operator, source, conditions, training=QUICK)  # type: ignore[arg-type]


def test_repeated_integrals_are_integrals() -> None:
    x = torch.linspace(-2.0, 3.0, 7, dtype=torch.float64)
    table = repeated_integrals(x, -3, 4)
    for n in range(1, 5):
        for k, start in enumerate(x.tolist()):
            power = scipy.integrate.quad(lambda t, a=start, m=n: (t - a) ** m * np.exp(-t * t), start, 12.0, epsabs=1e-14)[0]
            assert float(table[n + 3][k]) == pytest.approx(2.0 / np.sqrt(np.pi) * power / scipy.special.factorial(n), abs=1e-13)
    gauss = 2.0 / np.sqrt(np.pi) * np.exp(-(x.numpy() ** 2))
    assert np.allclose(table[0].numpy(), gauss * scipy.special.eval_hermite(2, x.numpy()), rtol=1e-13)
    assert np.allclose(table[2].numpy(), gauss, rtol=1e-14)


@pytest.mark.parametrize("degree", [0, 2])
def test_derivatives_are_those_of_autograd(degree: int) -> None:
    orders, rates = ((0, 0), (2, 0), (3, 1), (3, 3)), (0.0, 0.7, -0.3) if degree else ()
    functions = DiffusionFunctions((0.1, 0.2, -0.1), (0.0, 1.3, 0.0), 2, 0.7, orders, degree, 1.0, rates)
    points = torch.as_tensor(np.random.default_rng(0).random((20, 3)))
    assert_derivatives(functions, points, ("x", "y", "t"))


def test_products_of_two_faces() -> None:
    one = DiffusionFunctions((0.0, 0.0, 0.0), (1.1, 0.0, 0.0), 2, 0.7, ((0, 0), (1, 0), (2, 0), (2, 1)), 3)
    other = DiffusionFunctions((0.0, 1.0, 0.0), (0.0, -0.9, 0.0), 2, 0.7, ((1, 0), (2, 0)), 3)
    products = DiffusionProducts(one, other, 2)
    points = torch.as_tensor(np.random.default_rng(0).random((20, 3)))
    values = products.jet(points, Frame(("x", "y", "t"), Derivatives.VALUE)).value
    frame = Frame(("x", "y", "t"), Derivatives.VALUE)
    first, second = (replace(each, degree=0).jet(points, frame).value for each in (one, other))
    expected = [first[:, 0] * second[:, 0], first[:, 0] * second[:, 1], first[:, 1] * second[:, 0]]
    assert torch.equal(values, torch.stack(expected, dim=1))
    assert_derivatives(products, points, ("x", "y", "t"))


def test_functions_without_powers_of_time_solve_the_heat_equation() -> None:
    kappa, duration = 0.3, 0.5
    normal = (1.0 / np.sqrt(4.0 * kappa * duration), 0.0)
    functions = DiffusionFunctions((0.0, 0.0), normal, 1, duration, tuple((m, 0) for m in range(6)))
    jet = functions.jet(torch.rand(50, 2, dtype=torch.float64), Frame(("x", "t"), Derivatives.FULL))
    assert jet.gradient is not None
    assert jet.second is not None
    assert torch.allclose(jet.gradient[:, :, 1], kappa * jet.second[:, :, 0], rtol=1e-13, atol=1e-13)


def test_functions_are_zero_before_they_begin() -> None:
    functions = DiffusionFunctions((0.0, 0.3), (1.0, 0.0), 1, 1.0, ((0, 0), (1, 0)))
    values = functions.jet(torch.tensor([[0.0, 0.2], [0.5, 0.1]], dtype=torch.float64), Frame(("x", "t"))).value
    assert bool((values == 0.0).all())


@pytest.mark.parametrize(
    ("conditions", "operator", "source", "degree"),
    [
        ((initial(0.0), dirichlet(1.0, on="x-")), heat, 0.0, 0),
        ((initial(0.0), neumann(1.0, on="x-")), heat, 0.0, 1),
        ((initial(0.0), dirichlet(0.0, on="x-")), heat, 1.0, 2),
        ((initial(lambda x: x), neumann(lambda t: t - 1.0, on="x-")), heat, 0.0, 3),
        ((initial(lambda x: 1.0 + x), dirichlet(1.0, on="x-")), lambda u: dt(u) - dx(u**1.5 * dx(u)), 0.0, 2),
        ((initial(lambda x: pk.sin(9.0 * x)), dirichlet(0.0, on="x-")), heat, 0.0, None),
        (
            (initial(0.0), initial(0.0, operator=lambda u: dt(u)), dirichlet(1.0, on="x-")),
            lambda u: dt(dt(u)) - dx(dx(u)),
            0.0,
            None,
        ),
    ],
    ids=["value", "flux", "source", "slope of the flux", "nonlinear", "agrees", "wave"],
)
def test_degree_of_a_disagreement(
    conditions: tuple[Condition, ...], operator: object, source: float, degree: int | None
) -> None:
    found = beginnings(conducting(*conditions, dirichlet(lambda t: 0.0 * t, on="x+"), operator=operator, source=source))
    assert [one.degree for one in found if one.edge.point[0] == 0.0] == ([] if degree is None else [degree])


@pytest.mark.parametrize("power", [0.5, -1.0])
def test_nothing_is_known_where_coefficients_or_data_are_not_finite(power: float) -> None:
    degenerate = lambda u: dt(u) - dx(u**power * dx(u))  # noqa: E731
    assert beginnings(conducting(initial(0.0), dirichlet(0.0, on="x-"), operator=degenerate)) == []
    infinite = conducting(initial(0.0), dirichlet(lambda t: 1.0 / (t * 0.0), on="x-"))
    assert beginnings(infinite) == []
    assert all(one.degree >= 0 for one in beginnings(conducting(initial(0.0), dirichlet(0.0), source=lambda t: t**-0.5)))


def test_diffusivity_of_a_system() -> None:
    """Consolidation of soil: the pressure diffuses, at the rate one, and the displacement is an integral of it."""
    equations = (lambda u, p: dx(dx(u)) - dx(p), lambda u, p: dt(dx(u)) - dx(dx(p)))
    load = pk.robin(lambda u, p: dx(u) - p, lambda t: pk.exp(-5.0 * t) - 1.0, on="x-")
    ends = dirichlet(0.0, on="x-", unknown="p"), dirichlet(0.0, on="x+"), neumann(0.0, on="x+", unknown="p")
    begun = initial(0.0), initial(0.0, unknown="p")
    found = beginnings(Problem(ROD, equations, 0.0, (*begun, *ends, load), unknowns=("u", "p"), training=QUICK))
    assert found[0].degree == 2
    assert found[0].diffusivities == pytest.approx([1.0], rel=1e-6)


def test_later_jumps_and_inner_ones_are_found() -> None:
    problem = conducting(
        initial(lambda x: where(x.value < 0.3, x, 0.3)),
        neumann(lambda t: where(t.value < 0.2, 0.0 * t, 1.0), on="x-"),
        dirichlet(0.3, on="x+"),
    )
    found = {tuple(one.edge.point.round(9).tolist()): one.degree for one in beginnings(problem)}
    assert found[0.3, 0.0] == 1
    assert found[0.0, 0.2] == 1


def test_faces_of_a_square_have_polynomials_along_them() -> None:
    square = pk.box(x=(0, 1), y=(0, 2), t=(0, 0.1))
    conditions = initial(0.0), dirichlet(lambda y: pk.sin(0.5 * np.pi * y), on="x-"), dirichlet(0.0, on=("x+", "y-", "y+"))
    (one,) = beginning_functions(Problem(square, lambda u: dt(u) - pk.laplacian(u), 0.0, conditions))
    assert isinstance(one, DiffusionFunctions)
    assert one.point[:1] == (0.0,)
    assert one.count == 9 * len(one.orders)


def series(
    points: np.ndarray[tuple[int, ...], np.dtype[np.float64]], modes: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
) -> object:
    """Σ b_k sin kπx exp(-k²π²t) with b_k in `modes`, k = 1, 2, …."""
    x, t = points.T[:, :, None]
    k = np.arange(1, len(modes) + 1) * np.pi
    return (modes * np.sin(k * x) * np.exp(-(k**2) * t)).sum(axis=1)


def test_heated_rod_against_its_series(tmp_path: Path) -> None:
    solution = pk.solve(conducting(initial(0.0), dirichlet(1.0, on="x-"), dirichlet(0.0, on="x+")))
    assert isinstance(solution.network, SingularNetwork)
    points = np.random.default_rng(0).random((200, 2)) * [1.0, 0.5]
    x, t = points.T
    k = 2.0 * np.arange(8)[:, None]
    root = np.sqrt(4.0 * t)
    exact = (scipy.special.erfc((k + x) / root) - scipy.special.erfc((k + 2.0 - x) / root)).sum(axis=0)
    assert np.abs(solution(points) - exact).max() < 1e-9
    assert solution.estimate is not None
    solution.save(tmp_path / "solution.vtkhdf")
    assert np.array_equal(pk.load_solution(tmp_path / "solution.vtkhdf")(points), solution(points))


def test_convection_against_its_closed_form() -> None:
    """u = ½ (erfc((x - bt)/√4κt) + exp(bx/κ) erfc((x + bt)/√4κt)) on a half-line (Ogata and Banks, USGS paper 411-A (1961))."""
    b, kappa = 2.0, 0.02
    operator = lambda u: dt(u) + b * dx(u) - kappa * dx(dx(u))  # noqa: E731
    channel = pk.box(x=(0, 1), t=(0, 0.3))
    solution = pk.solve(
        Problem(channel, operator, 0.0, (initial(0.0), dirichlet(1.0, on="x-")), training=QUICK), estimate=False
    )
    x, t = np.random.default_rng(0).random((200, 2)).T * [[1.0], [0.29]] + [[0.0], [0.01]]
    root = np.sqrt(4.0 * kappa * t)
    beyond = np.exp(-(((x - b * t) / root) ** 2)) * scipy.special.erfcx((x + b * t) / root)
    exact = 0.5 * (scipy.special.erfc((x - b * t) / root) + beyond)
    assert np.abs(solution(np.stack([x, t], axis=1)) - exact).max() < 1e-9


def test_top_hat_against_its_series() -> None:
    ends = dirichlet(0.0, on=("x-", "x+"))
    solution = pk.solve(
        conducting(initial(lambda x: where((x.value - 0.4).abs() < 0.2, 0.0 * x + 1.0, 0.0)), ends), estimate=False
    )
    points = np.random.default_rng(0).random((200, 2)) * [1.0, 0.49] + [0.0, 0.01]
    k = np.arange(1, 80) * np.pi
    assert np.abs(solution(points) - series(points, 2.0 / k * (np.cos(0.2 * k) - np.cos(0.6 * k)))).max() < 1e-9


def test_check_prints_where_a_solution_begins_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rod.toml"
    file.write_text(
        'schema = 1\nname = "rod"\n[domain]\ntype = "box"\nx = [0, 1]\nt = [0, 1]\n[equation]\noperator = "dt(u) - dx(dx(u))"\n'
        '[[conditions]]\ntype = "initial"\nvalue = 0\n[[conditions]]\ntype = "dirichlet"\non = ["x-", "x+"]\nvalue = "1 - x"\n'
    )
    assert main(["check", str(file)]) == 0
    assert "at x = 0, t = 0: the value jumps" in capsys.readouterr().out


def test_stored_functions_of_a_huge_degree_are_refused() -> None:
    functions = DiffusionFunctions((0.0, 0.0), (1.0, 0.0), 1, 1.0, ((0, 0),))
    architecture = SingularNetwork(pk.KAN([2, 2, 1], degree=3, intervals=2), [functions]).architecture()
    other = DiffusionProducts(functions, functions, 3)
    assert build(SingularNetwork(pk.KAN([2, 2, 1]), [other]).architecture()).singular == (other,)  # type: ignore[attr-defined]
    assert build(architecture).singular == (functions,)  # type: ignore[attr-defined]
    architecture["beginnings"][0]["orders"] = [[10**6, 0]]
    with pytest.raises(ValueError, match="orders"):
        build(architecture)
