"""Solutions as text, pictures, datasets and meshes, and their second derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import pdekan as pk
from pdekan.output.samples import OutputError

xarray = pytest.importorskip("xarray")
pyvista = pytest.importorskip("pyvista")

QUICK = pk.TrainingOptions(steps=20, points=200)


def plane(domain: pk.Domain, **more: Any) -> pk.Solution:
    problem = pk.Problem(
        domain, lambda u: -pk.laplacian(u), pk.EXACT, (pk.dirichlet(pk.EXACT),), exact=lambda x, y: x**2 * y + pk.sin(y), **more
    )
    return pk.solve(problem, network=pk.NetworkOptions(hidden=(6,), intervals=4), training=QUICK)


@pytest.fixture(scope="module")
def square() -> pk.Solution:
    return plane(pk.box(x=(0, 1), y=(0, 2)), name="square")


@pytest.fixture(scope="module")
def disk() -> pk.Solution:
    return plane(pk.disk(), name="disk")


@pytest.fixture(scope="module")
def pair() -> pk.Solution:
    problem = pk.Problem(
        pk.box(x=(0, 1)),
        (lambda u: pk.dx(pk.dx(u)), lambda v: pk.dx(pk.dx(v))),
        pk.EXACT,
        (pk.dirichlet(pk.EXACT, unknown="u"), pk.dirichlet(pk.EXACT, unknown="v")),
        exact={"u": lambda x: pk.sin(x), "v": lambda x: pk.cos(x)},
        unknowns=("u", "v"),
    )
    return pk.solve(problem, network=pk.NetworkOptions(hidden=(6,), intervals=4), training=QUICK)


def test_second_derivatives_are_those_of_autograd(square: pk.Solution) -> None:
    points = torch.tensor([[0.3, 0.4], [0.9, 1.7]], dtype=torch.float64)
    hessians = square.hessian(points.numpy())
    assert hessians.shape == (2, 2, 2)
    for point, found in zip(points, hessians, strict=True):
        expected = torch.autograd.functional.hessian(lambda x: square.network(x[None])[0, 0], point)
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-9, atol=1e-9)


def test_second_derivatives_of_several_unknowns(pair: pk.Solution) -> None:
    hessians = pair.hessian([[0.5]])
    assert hessians.shape == (1, 2, 1, 1)
    np.testing.assert_allclose(hessians[0, :, 0, 0], [-np.sin(0.5), -np.cos(0.5)], atol=1e-2)


@pytest.mark.parametrize("name", ["square", "disk"])
def test_outside_of_the_domain_there_are_no_values(name: str, request: pytest.FixtureRequest) -> None:
    solution = request.getfixturevalue(name)
    inside = [0.5, 0.5]
    for evaluate in (solution, solution.gradient, solution.hessian):
        values = evaluate([inside, [5.0, 5.0]])
        assert np.isfinite(values[0]).all()
        assert np.isnan(values[1]).all()


def test_the_boundary_belongs_to_the_domain(square: pk.Solution, disk: pk.Solution) -> None:
    angles = np.linspace(0.0, 2.0 * np.pi, 50)
    assert np.isfinite(disk(np.stack([np.cos(angles), np.sin(angles)], axis=1))).all()
    assert np.isfinite(square([[0.0, 0.0], [1.0, 2.0], [0.3, 2.0]])).all()


def test_points_outside_can_be_refused(square: pk.Solution) -> None:
    strict = pk.Solution(**{**vars(square), "outside": "raise"})
    assert np.isfinite(strict([[0.5, 0.5]])).all()
    with pytest.raises(ValueError, match=r"1 of 2 points are outside of the domain, the first is \[5. 5.\]"):
        strict([[0.5, 0.5], [5.0, 5.0]])


def test_text_is_short(square: pk.Solution, pair: pk.Solution) -> None:
    assert repr(square).startswith("<Solution of square: unknowns u of x, y; status ")
    assert len(repr(square)) < 400
    assert "error of v" in repr(pair)


def test_problems_and_errors_are_short_too(square: pk.Solution) -> None:
    assert square.problem is not None
    assert square.errors is not None
    for one, words in ((square.problem, "domain box, x in ["), (square.errors["u"], "<Errors: L2 ")):
        assert words in repr(one)
        assert len(repr(one)) < 400
        assert "<table>" in one._repr_html_()
    assert "<th>equations</th>" in square._repr_html_()


def test_html_has_the_numbers_and_a_picture(square: pk.Solution) -> None:
    text = square._repr_html_()
    assert f"L2 {square.errors['u'].l2_relative:.1e}" in text
    assert 'alt="the solution u of square"' in text
    assert 'src="data:image/png;base64,' in text


def test_a_plot_is_a_figure(square: pk.Solution, pair: pk.Solution) -> None:
    assert "u" in square.plot().axes[0].get_title()
    assert "v" in pair.plot("v").axes[0].get_title()


def test_datasets_hold_what_the_solution_says(square: pk.Solution) -> None:
    dataset = square.to_xarray((5, 9))
    assert dict(dataset.sizes) == {"x": 5, "y": 9, "component": 2}
    point = [[dataset.x[1], dataset.y[2]]]
    assert float(dataset.u[1, 2]) == pytest.approx(square(point)[0], abs=1e-12)
    slope = float(dataset.u_gradient.sel(component="y")[1, 2])
    assert slope == pytest.approx(square.gradient(point)[0, 1], abs=1e-12)


def test_a_mesh_is_no_dataset_but_a_grid_over_it_is(disk: pk.Solution) -> None:
    with pytest.raises(OutputError, match=r"to_xarray\(\(200, 200\)\)"):
        disk.to_xarray()
    dataset = disk.to_xarray((11, 11))
    assert np.isnan(dataset.u[0, 0])
    assert np.isfinite(dataset.u[5, 5])


@pytest.mark.parametrize("name", ["square", "disk", "pair"])
def test_pyvista_has_the_values_at_its_points(name: str, request: pytest.FixtureRequest) -> None:
    solution = request.getfixturevalue(name)
    dataset = solution.to_pyvista()
    points = dataset.points[:, : solution.domain.dimension]
    unknown = solution.unknowns[-1]
    values = solution(points).reshape(len(points), -1)[:, -1]
    np.testing.assert_allclose(dataset.point_data[unknown], values, atol=1e-12)
    gradients = solution.gradient(points).reshape(len(points), -1, solution.domain.dimension)[:, -1]
    name = f"{unknown}_gradient"
    np.testing.assert_allclose(dataset.point_data[name][:, : solution.domain.dimension], gradients, atol=1e-12)
    assert dataset.point_data[name].shape[1] == 3
