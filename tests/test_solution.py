"""Solutions: what is written comes back as the same function, and other programs read the same numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py  # type: ignore[import-untyped]
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import pdekan as pk
from pdekan.ansatz.unknowns import parameter_values
from pdekan.networks import kinds
from pdekan.output.samples import Grid, OutputError
from pdekan.output.vtkhdf import read_record, write
from pdekan.problem_files.loader import loads
from pdekan.problems.formulas import EXACT
from pdekan.problems.options import NetworkOptions, TrainingOptions
from pdekan.problems.problem import Problem
from pdekan.runs.summary import of_solution
from pdekan.solutions.sampling import GRID
from pdekan.solutions.solution import Found, Solution, load_solution
from pdekan.training.solver import solve

# not centred, and of different lengths, so that no two coordinates can be exchanged unseen
TEXT = """\
schema = 1
name = "text-stated"
[domain]
type = "box"
x = [-1.0, 2.0]
y = [0.5, 1.0]
[equation]
operator = "-laplacian(u) + u**3"
source = "manufactured"
[[conditions]]
type = "dirichlet"
value = "exact"
[exact]
u = "exp(x/2)*y"
"""
NETWORKS = {
    "kan": NetworkOptions("kan", (3,), 5, (4, 6)),
    "kan with silu": NetworkOptions("kan", (3,), 3, 4, "silu"),
    "deep kan": NetworkOptions("kan", (3, 2), 4, 4),
    "mlp": NetworkOptions("mlp", (7,)),
}
FEW_STEPS = TrainingOptions(points=100, steps=2)


def box_of(dimension: int) -> pk.Box:
    intervals = {"x": (-1.0, 2.0), "y": (0.5, 1.0), "z": (0.0, 3.0)}
    if dimension > len(intervals):
        return pk.hypercube(dimension, 0.0, 2.0)
    return pk.box(**dict(list(intervals.items())[:dimension]))


def stated_in_python(dimension: int = 2, exact: Callable[..., pk.Jet] | None = None) -> Problem:
    first = box_of(dimension).coordinates[0]
    value = exact if exact is not None else (lambda x: pk.exp(x * 0.5)) if first == "x" else (lambda x1: pk.exp(x1))
    return Problem(
        domain=box_of(dimension),
        equation=lambda u: u**3 - pk.laplacian(u),  # not linear, so that inner functions are not searched for
        source=EXACT,
        conditions=(pk.dirichlet(EXACT),),
        exact=value,
        name="python-stated",
    )


def quickly(problem: Problem, network: NetworkOptions = NETWORKS["kan"], optimizer: str = "gauss-newton") -> Solution:
    steps = TrainingOptions(optimizer=optimizer, points=100, steps=2, seed=3)  # type: ignore[arg-type]
    return solve(problem, network=network, training=steps, estimate=False)


def scattered(domain: pk.Box, count: int = 40) -> NDArray[np.float64]:
    fractions = np.random.default_rng(5).random((count, domain.dimension))
    return np.asarray(domain.lower) + fractions * np.subtract(domain.upper, domain.lower)


@pytest.fixture(scope="module")
def trained() -> Solution:
    return quickly(loads(TEXT))


@pytest.mark.parametrize("options", NETWORKS.values(), ids=NETWORKS)
def test_a_saved_solution_is_the_same_function_again(options: NetworkOptions, tmp_path: Path) -> None:
    solution = quickly(loads(TEXT), options)
    solution.save(tmp_path / "a.vtkhdf", (5, 4))
    loaded = load_solution(tmp_path / "a.vtkhdf")
    points = scattered(solution.domain)
    assert np.ptp(solution(points)) > 0.1  # not a constant, which anything would rebuild
    np.testing.assert_array_equal(loaded(points), solution(points))
    np.testing.assert_array_equal(loaded.gradient(points), solution.gradient(points))
    assert loaded.domain == solution.domain
    assert of_solution(loaded) == of_solution(solution)
    assert loaded.errors == solution.errors
    assert loaded.environment == solution.environment
    for name, column in solution.history.items():
        np.testing.assert_array_equal(loaded.history[name], column)
    # and the copy can be saved in its turn
    loaded.save(tmp_path / "b.vtkhdf", (5, 4))
    np.testing.assert_array_equal(load_solution(tmp_path / "b.vtkhdf")(points), solution(points))


def test_the_stored_problem_is_the_one_that_was_solved(trained: Solution, tmp_path: Path) -> None:
    trained.save(tmp_path / "a.vtkhdf")
    loaded = load_solution(tmp_path / "a.vtkhdf")
    assert loaded.problem is not None
    assert loaded.problem.text == TEXT
    before, after = trained.sample((6, 5)), loaded.sample((6, 5))
    assert set(after.fields) == {"u", "u_gradient", "exact", "error", "residual"}
    for name, values in before.fields.items():
        np.testing.assert_array_equal(after.fields[name], values)


def test_a_solution_can_be_trained_on_after_loading(trained: Solution, tmp_path: Path) -> None:
    trained.save(tmp_path / "a.vtkhdf", (3, 3))
    loaded = load_solution(tmp_path / "a.vtkhdf")
    further = TrainingOptions(points=100, steps=12)
    again = solve(loads(TEXT), network=NETWORKS["kan"], training=further, resume=loaded, estimate=False)
    assert again.iterations > trained.iterations
    assert again.relative_residual < trained.relative_residual
    np.testing.assert_array_equal(again.history["loss"][: trained.iterations], trained.history["loss"])
    assert trained.iterations == len(trained.history["step"]) == 2  # the earlier solution stays what it was


def test_a_problem_stated_in_python_comes_back_as_a_network_alone(tmp_path: Path) -> None:
    solution = quickly(stated_in_python())
    solution.save(tmp_path / "a.vtkhdf", (5, 4))
    loaded = load_solution(tmp_path / "a.vtkhdf")
    points = scattered(solution.domain)
    assert loaded.problem is None
    assert loaded.name == "python-stated"
    assert loaded.errors == solution.errors
    assert of_solution(loaded) == of_solution(solution)
    np.testing.assert_array_equal(loaded(points), solution(points))
    assert set(loaded.sample((5, 4)).fields) == {"u", "u_gradient"}


def test_files_of_version_0_1_0_are_read(trained: Solution, tmp_path: Path) -> None:
    trained.save(tmp_path / "a.vtkhdf", (3, 3))
    record = read_record(tmp_path / "a.vtkhdf")
    old = {key: value for key, value in record.config["summary"].items() if key != "data_residual"}
    assert record.config["domain"].pop("type") == "box"
    config = {
        "domain": record.config["domain"],
        "unknown": "u",
        "summary": old | {"schema": 1, "parameters": 87, "parameters_paper": 42, "bound": None},
        "stage": record.config["stage"],
    }
    errors = {u: {k: v for k, v in one.items() if "reference" not in k} for u, one in (record.errors or {}).items()}
    write(tmp_path / "b.vtkhdf", trained.sample((3, 3)), replace(record, config=config, errors=errors))
    loaded = load_solution(tmp_path / "b.vtkhdf")
    points = scattered(trained.domain)
    np.testing.assert_array_equal(loaded(points), trained(points))
    assert loaded.problem is not None
    assert (loaded.domain, loaded.unknowns, loaded.errors) == (trained.domain, ("u",), trained.errors)
    assert of_solution(loaded) == of_solution(trained)


BOUNDED = """
schema = 1
name = "bounded"
[domain]
type = "box"
x = [0.0, 1.0]
[parameters]
k = {initial = 1.0, trainable = true, min = 0.5, max = 3.0}
m = {initial = 0.0, trainable = true, min = -1.0}
q = {initial = 0.0, trainable = true, max = 2.0}
f = {initial = 0.2, trainable = true}
[equation]
operator = "dx(u) - k - m - q - f"
[[conditions]]
type = "dirichlet"
value = "x"
"""


def test_parameters_of_version_0_1_0_are_read_as_what_they_stood_for(tmp_path: Path) -> None:
    """Files had numbers s for k = a + (b - a)/(1 + e⁻ˢ), m = a + eˢ, q = b - eˢ and f = s."""
    problem = loads(BOUNDED)
    solution = solve(problem, network=NetworkOptions(hidden=[2]), training=TrainingOptions(steps=1), estimate=False)
    solution.save(tmp_path / "a.vtkhdf", (3,))
    record, s = read_record(tmp_path / "a.vtkhdf"), np.array([0.3, -0.2, 0.5, -7.0])
    old = {name: values for name, values in record.parameters.items() if name != "values"}
    write(tmp_path / "b.vtkhdf", solution.sample((3,)), replace(record, parameters=old | {"scalars": s}))
    values = parameter_values(load_solution(tmp_path / "b.vtkhdf").network)
    expected = [0.5 + 2.5 / (1.0 + math.exp(-s[0])), -1.0 + math.exp(s[1]), 2.0 - math.exp(s[2]), s[3]]
    assert list(values.values()) == pytest.approx(expected, rel=1e-14)
    assert parameter_values(load_solution(tmp_path / "a.vtkhdf").network) == parameter_values(solution.network)


def test_numbers_that_are_not_finite_are_stored(trained: Solution, tmp_path: Path) -> None:
    found = {"k": Found(math.nan), "c": Found(2.0, 0.1)}
    changed = replace(trained, residual=math.inf, relative_residual=math.nan, found=found)
    assert json.loads(json.dumps(changed.record().config, allow_nan=False)) == changed.record().config
    changed.save(tmp_path / "a.vtkhdf", (3, 3))
    loaded = load_solution(tmp_path / "a.vtkhdf")
    assert loaded.residual == loaded.relative_residual == math.inf
    assert loaded.condition_residual == trained.condition_residual
    assert loaded.found == {"k": Found(math.inf), "c": Found(2.0, 0.1)}


@pytest.mark.parametrize(
    "network",
    [
        pk.KAN([2, 3, 2], (3, 5), (4, 6), "silu"),
        pk.KAN([2, 3, 1], 3, 4, products=(1,), pruned=(((1, 0),), ())),
        pk.KAN([2, 3, 1], 3, 4, grading=torch.ones(2, 5, dtype=torch.float64)),
        pk.MLP([2, 7, 7, 1]),
    ],
    ids=["silu", "products and pruned edges", "graded", "mlp"],
)
def test_a_network_is_built_again_from_its_architecture(network: pk.Network) -> None:
    architecture = network.architecture()
    again = kinds.build(json.loads(json.dumps(architecture)))
    assert again is not None
    again.load_state_dict(network.state_dict())  # raises where a name or a shape differs
    assert type(again) is type(network)
    assert again.architecture() == architecture


def test_a_network_of_the_users_own_is_not_rebuilt(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(2, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1))
    training = TrainingOptions(optimizer="lbfgs", points=100, steps=2)
    solution = solve(loads(TEXT), network=module, training=training, estimate=False)
    solution.save(tmp_path / "a.vtkhdf", (3, 3))
    with pytest.raises(OutputError, match=r"a\.vtkhdf: its network was a torch module given in Python"):
        load_solution(tmp_path / "a.vtkhdf")
    assert json.loads(json.dumps(of_solution(solution)))["network"] == {"kind": "module", "inputs": 2, "outputs": 1}


def test_files_that_are_no_solutions(tmp_path: Path) -> None:
    (tmp_path / "text.vtkhdf").write_text("no HDF5")
    with pytest.raises(OutputError, match=r"text\.vtkhdf: not an HDF5 file"):
        load_solution(tmp_path / "text.vtkhdf")
    with pytest.raises(OutputError, match=r"none\.vtkhdf: there is no such file"):
        load_solution(tmp_path / "none.vtkhdf")
    with h5py.File(tmp_path / "other.vtkhdf", "w") as file:
        file["a"] = 1
    with pytest.raises(OutputError, match=r"other\.vtkhdf: no group /pdekan"):
        load_solution(tmp_path / "other.vtkhdf")


@pytest.mark.parametrize("options", NETWORKS.values(), ids=NETWORKS)
def test_the_gradient_is_the_values_slope(options: NetworkOptions) -> None:
    solution = quickly(loads(TEXT), options)
    points, h = scattered(solution.domain), 1e-5
    slopes = [(solution(points + h * e) - solution(points - h * e)) / (2 * h) for e in np.eye(2)]
    gradient = solution.gradient(points)
    assert np.abs(gradient).max() > 0.1
    np.testing.assert_allclose(gradient, np.stack(slopes, axis=1), atol=1e-6 * np.abs(gradient).max())


def test_the_gradient_takes_in_time() -> None:
    problem = Problem(
        domain=pk.box(x=(0, 1), t=(0, 2)),
        equation=lambda u: pk.dt(u) - pk.laplacian(u),
        source=EXACT,
        conditions=(pk.dirichlet(EXACT), pk.initial(EXACT)),
        exact=lambda x, t: pk.sin(x) * pk.exp(-t),
    )
    solution, h = quickly(problem), 1e-5
    points = scattered(solution.domain)
    later = np.array([0, h])
    slope = (solution(points + later) - solution(points - later)) / (2 * h)
    assert np.abs(slope).max() > 0.1
    np.testing.assert_allclose(solution.gradient(points)[:, 1], slope, atol=1e-6)


def test_points_are_arrays_lists_and_single_points(trained: Solution) -> None:
    value = trained([[0.5, 0.75]])
    assert value.shape == (1,)
    assert value.dtype == np.float64
    np.testing.assert_array_equal(trained([0.5, 0.75]), value)
    np.testing.assert_array_equal(trained(np.array([[0.5, 0.75]], dtype=np.float32)), value)
    assert trained(np.empty((0, 2))).shape == (0,)
    assert trained.gradient([[0.5, 0.75]]).shape == (1, 2)


@pytest.mark.parametrize("shape", [(3,), (4, 1), (4, 3), (2, 2, 2), (2, 0)])
def test_points_of_a_wrong_shape_are_refused(trained: Solution, shape: tuple[int, ...]) -> None:
    for evaluate in (trained, trained.gradient):
        with pytest.raises(ValueError, match=r"needed is \(n, 2\), columns x, y") as caught:
            evaluate(np.zeros(shape))
        assert str(shape) in str(caught.value)


@pytest.mark.parametrize(("dimension", "axes"), [(1, 1), (2, 2), (3, 3), (5, 2)])
def test_samples_are_the_solution_on_a_grid(dimension: int, axes: int) -> None:
    solution = quickly(stated_in_python(dimension))
    domain = solution.domain
    samples = solution.sample()
    layout = samples.layout
    assert isinstance(layout, Grid)
    assert layout.shape == (GRID[axes],) * axes
    assert [axis.name for axis in layout.axes] == list(domain.coordinates[:axes])
    assert [(axis.values[0], axis.values[-1]) for axis in layout.axes] == list(
        zip(domain.lower[:axes], domain.upper[:axes], strict=True)
    )
    assert layout.cut == dict.fromkeys(domain.coordinates[axes:], 1.0)
    assert samples.fields["u_gradient"].shape == (*layout.shape, dimension)
    at = np.random.default_rng(0).integers(0, layout.shape[0], (20, axes))
    on_axes = [axis.values[at[:, k]] for k, axis in enumerate(layout.axes)]
    points = np.stack([*on_axes, *(np.full(20, 1.0) for _ in layout.cut)], axis=1)
    chosen = tuple(at.T)
    u = solution(points)
    np.testing.assert_allclose(samples.fields["u"][chosen], u, rtol=1e-13)
    np.testing.assert_allclose(samples.fields["u_gradient"][chosen], solution.gradient(points), rtol=1e-11, atol=1e-12)
    exact = np.exp(points[:, 0] * (1.0 if dimension == 5 else 0.5))
    np.testing.assert_allclose(samples.fields["exact"][chosen], exact, rtol=1e-14)
    np.testing.assert_allclose(samples.fields["error"][chosen], u - exact, atol=1e-13)


def test_the_sampled_residual_is_that_of_the_equation() -> None:
    # u'' by differences of the gradient, which is tested by itself
    solution, h = quickly(stated_in_python(1), NetworkOptions(hidden=(2,), degree=3, intervals=1)), 1e-4
    samples = solution.sample((11,))
    inner = samples.axes[0].values[1:-1, None]
    second = (solution.gradient(inner + h) - solution.gradient(inner - h))[:, 0] / (2 * h)
    exact = np.exp(inner[:, 0] / 2)
    residual = solution(inner) ** 3 - second - (exact**3 - exact / 4)
    assert np.abs(residual).max() > 1e-6
    np.testing.assert_allclose(samples.fields["residual"][1:-1], residual, atol=1e-5)


@pytest.mark.parametrize("shape", [(5,), (5, 5, 5), (5, 1), (0, 5)])
def test_grids_of_a_wrong_shape_are_refused(trained: Solution, shape: tuple[int, ...], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a number for each of x, y, at least 2"):
        trained.sample(shape)
    with pytest.raises(ValueError, match="it needs a number for each of"):
        trained.save(tmp_path / "a.vtkhdf", shape)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("exact", [None, lambda x: 0.0 * x], ids=["exact", "exact solution zero"])
def test_the_summary_is_json_without_nan(exact: Callable[..., pk.Jet] | None) -> None:
    solution = quickly(stated_in_python(exact=exact))
    summary = of_solution(solution)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert (summary["errors"]["u"]["l2_relative"] is None) == (exact is not None)  # nothing is relative to zero
    assert summary["parameters"] == 3 * 2 * (4 + 5) + 3 * (6 + 5) == solution.parameters
    assert summary["parameters_paper"] == 3 * 2 * 4 + 3 * 6


def test_without_an_exact_solution_no_error_is_claimed(tmp_path: Path) -> None:
    problem = Problem(pk.box(x=(0, 1)), lambda u: -pk.laplacian(u), 1.0, (pk.dirichlet(0.0),))
    solution = quickly(problem)
    assert solution.errors is None
    assert of_solution(solution)["errors"] is None
    assert set(solution.sample().fields) == {"u", "u_gradient", "residual"}
    solution.save(tmp_path / "a.vtkhdf")
    assert load_solution(tmp_path / "a.vtkhdf").errors is None
    assert np.isnan(solution.history["l2_mean_square"]).all()


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_other_programs_read_the_solution(dimension: int, tmp_path: Path) -> None:
    pyvista = pytest.importorskip("pyvista")
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    solution, path = quickly(stated_in_python(dimension)), tmp_path / "a.vtkhdf"
    shape = (7, 5, 4)[:dimension]
    solution.save(path, shape)

    mesh = pyvista.read(path)
    points = np.asarray(mesh.points, dtype=np.float64)[:, :dimension]
    assert len(points) == np.prod(shape)
    np.testing.assert_allclose(mesh.point_data["u"], solution(points), rtol=1e-13)
    gradient = np.asarray(mesh.point_data["u_gradient"])[:, :dimension]
    np.testing.assert_allclose(gradient, solution.gradient(points), rtol=1e-11, atol=1e-12)

    with xarray.open_dataset(path, engine="h5netcdf", group="fields") as dataset:
        table = dataset["u"].to_dataframe().reset_index()
        assert dataset["u"].shape == shape
        columns = np.array(table[list(solution.domain.coordinates)])
        np.testing.assert_allclose(table["u"].to_numpy(), solution(columns), rtol=1e-13)

    with h5py.File(path, "r") as file:
        axes = [file["fields"][name][()] for name in solution.domain.coordinates]
        grid = np.stack([g.ravel() for g in np.meshgrid(*axes, indexing="ij")], axis=1)
        np.testing.assert_allclose(file["fields"]["u"][()].ravel(), solution(grid), rtol=1e-13)


def test_points_may_be_read_only(trained: Solution) -> None:
    # as columns of a pandas table are; torch warns about tensors that share their memory
    points = scattered(trained.domain)
    expected = trained(points)
    points.flags.writeable = False
    np.testing.assert_array_equal(trained(points), expected)
    assert trained.gradient(points).shape == points.shape
