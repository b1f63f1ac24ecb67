"""Tables as functions: interpolants against SciPy and closed forms, files that are refused, problems, stored solutions."""

from __future__ import annotations

import math
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from matplotlib.image import imsave
from scipy.interpolate import CubicSpline, LinearNDInterpolator, RBFInterpolator, RegularGridInterpolator

from pdekan import load_solution
from pdekan.domains.box import box
from pdekan.fem.weak_form import coefficients
from pdekan.fields.functions import sin
from pdekan.fields.jets import Derivatives, Frame, Jet, Level
from pdekan.fields.multi_indices import Higher, indices
from pdekan.fields.operators import div, grad
from pdekan.problem_files.loader import ProblemFileError, json_schema, load_problem
from pdekan.problems.conditions import dirichlet
from pdekan.problems.discontinuities import coefficient_jumps
from pdekan.problems.formulas import ProblemError
from pdekan.problems.jump_surfaces import surfaces
from pdekan.problems.problem import Problem
from pdekan.problems.tables import Table
from pdekan.training.solver import solve

X, Y = np.linspace(0.0, 1.0, 41), np.linspace(-1.0, 1.0, 61) ** 3 * 0.5 + np.linspace(-0.5, 0.5, 61)


def f(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.asarray(np.sin(2.0 * x) * np.exp(y))


GRID = Table("k", ("x", "y"), f(X[:, None], Y), (X, Y))
POINTS = torch.as_tensor(np.random.default_rng(0).uniform([0.1, -0.9], [0.9, 0.9], (40, 2)))


def at(table: Table, level: Level = Derivatives.FULL, points: torch.Tensor = POINTS) -> Jet:
    frame = Frame(("x", "y"), level)
    return table(*(frame.coordinate(points, k) for k, _ in enumerate(table.coordinates)))


# Interpolants


def test_a_cubic_table_is_scipys_spline_with_its_derivatives() -> None:
    line = Table("k", ("x",), f(X, 0.3), (X,))
    spline, points = CubicSpline(X, f(X, 0.3)), POINTS[:, :1]
    u = line(Frame(("x",), Higher([(0, 0, 0)])).coordinate(points, 0))
    for order, part in enumerate((u.value[:, None], *u.derivatives)):
        assert part is not None
        np.testing.assert_allclose(part, spline(points, order), rtol=1e-9, atol=1e-9)


def test_a_linear_table_is_scipys() -> None:
    expected = RegularGridInterpolator((X, Y), GRID.values)(POINTS.numpy())
    u = at(Table("k", ("x", "y"), GRID.values, (X, Y), None, "linear"))
    np.testing.assert_allclose(u.value, expected, rtol=1e-12)
    assert u.second is not None
    assert not u.second[:, [0, 2]].any()


def test_a_constant_table_has_the_nearest_value() -> None:
    u = at(Table("k", ("x", "y"), GRID.values, (X, Y), None, "constant"))
    expected = RegularGridInterpolator((X, Y), GRID.values, "nearest")(POINTS.numpy())
    np.testing.assert_array_equal(u.value, expected)
    assert u.gradient is not None
    assert not u.gradient.any()


@pytest.mark.parametrize("interpolation", ["cubic", "constant"])
def test_scattered_points_are_interpolated_as_by_scipy(interpolation: str) -> None:
    centers = np.random.default_rng(1).uniform([0, -1], [1, 1], (150, 2))
    centers[:2] = [[0, -1], [1, 1]]  # so that the scaling is known
    table = Table("k", ("x", "y"), f(*centers.T), (), centers, interpolation)  # type: ignore[arg-type]
    if interpolation == "cubic":
        scale = np.array([1.0, 2.0])
        theirs = RBFInterpolator(centers / scale, table.values, kernel="cubic", degree=1)(POINTS.numpy() / scale)
        np.testing.assert_allclose(at(table).value, theirs, rtol=1e-7)
    assert float((at(table).value - torch.as_tensor(f(*POINTS.numpy().T))).abs().max()) < (
        0.01 if interpolation == "cubic" else 0.4
    )


def test_linear_functions_on_the_triangles_of_scattered_points() -> None:
    """Values as SciPy's; slopes as differences; a linear function everywhere, beyond the points too."""
    centers = np.random.default_rng(1).uniform([0, -1], [1, 1], (150, 2))
    centers[:2] = [[0, -1], [1, 1]]
    scale, step = np.array([1.0, 2.0]), 1e-7
    table = Table("k", ("x", "y"), f(*centers.T), (), centers, "linear")
    theirs = LinearNDInterpolator(centers / scale, table.values)(POINTS.numpy() / scale)
    inside = np.isfinite(theirs)
    u = at(table)
    np.testing.assert_allclose(u.value[inside], theirs[inside], rtol=1e-12)
    assert inside.sum() > 30
    assert u.gradient is not None
    assert u.second is not None
    assert not u.second.any()
    for k in range(2):
        moved = at(table, points=POINTS + step * torch.eye(2, dtype=torch.float64)[k])
        np.testing.assert_allclose((moved.value - u.value) / step, u.gradient[:, k], atol=1e-6)
    plane = Table("k", ("x", "y"), centers @ [2.0, -3.0] + 1.0, (), centers, "linear")
    wide = 1.2 * POINTS - 0.1
    np.testing.assert_allclose(at(plane, points=wide).value, wide @ torch.tensor([2.0, -3.0]).double() + 1.0, rtol=1e-10)


def test_an_image_is_a_table_of_its_brightness(tmp_path: Path) -> None:
    """Columns from left to right and rows from below; colours by their brightness, which is 0.587 of green."""
    rows = np.linspace(0.0, 1.0, 5)[:, None] * np.array([1.0, 0.5, 0.0, 0.25])
    keys = 'file = "k.png", interpolation = "linear"'
    for pixels, factor in ((np.stack([rows] * 3, axis=2), 1.0), (rows[..., None] * [0.0, 1.0, 0.0], 0.587)):
        path = written(tmp_path, keys)
        imsave(tmp_path / "k.png", pixels)
        (table,) = load_problem(path).tables
        assert table.values.shape == (4, 5)
        corner = at(table, points=torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0 / 3.0, 0.0], [1.0, 0.5]], dtype=torch.float64))
        np.testing.assert_allclose(corner.value, factor * np.array([1.0, 0.0, 0.5, 0.125]), atol=5e-3)
    (tmp_path / "k.png").write_bytes(b"no image")
    with pytest.raises(ProblemFileError, match="not a PNG image that can be read"):
        load_problem(path)
    imsave(tmp_path / "k.png", np.zeros((1, 9, 3)))
    with pytest.raises(ProblemFileError, match="9 x 1 pixels; from 2 to 4096"):
        load_problem(path)


def test_scattered_points_have_derivatives() -> None:
    centers = np.random.default_rng(1).uniform([0, -1], [1, 1], (60, 2))
    table = Table("k", ("x", "y"), f(*centers.T), (), centers)
    u, step = at(table), 1e-5
    assert u.gradient is not None
    assert u.second is not None
    for k in range(2):
        shift = step * torch.eye(2, dtype=torch.float64)[k]
        plus, minus = at(table, points=POINTS + shift), at(table, points=POINTS - shift)
        np.testing.assert_allclose(u.gradient[:, k], (plus.value - minus.value) / (2 * step), rtol=1e-6, atol=1e-8)
        assert plus.gradient is not None
        assert minus.gradient is not None
        slopes = (plus.gradient[:, k] - minus.gradient[:, k]) / (2 * step)
        np.testing.assert_allclose(u.second[:, 2 * k], slopes, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("level", [*Derivatives, Higher(indices(2, 3, 4))], ids=lambda level: str(int(level)))
def test_the_cubic_interpolant_converges_with_fourth_order_and_its_derivatives_follow_the_chain_rule(level: Level) -> None:
    frame = Frame(("x", "y"), level)
    x, y = (frame.coordinate(POINTS, k) for k in range(2))
    errors = []
    for n in (21, 41):
        a, b = np.linspace(0.0, 1.0, n), np.linspace(-1.5, 1.5, n)
        table = Table("k", ("x", "y"), f(a[:, None], b), (a, b))
        u = table(x, sin(y * 1.3))
        z = 1.3 * POINTS[:, 1]
        errors.append(float((u.value - torch.sin(2 * POINTS[:, 0]) * torch.exp(torch.sin(z))).abs().max()))
        if u.gradient is not None and n == 41:
            slope = torch.sin(2 * POINTS[:, 0]) * torch.exp(torch.sin(z)) * torch.cos(z) * 1.3
            np.testing.assert_allclose(u.gradient[:, 1], slope, rtol=1e-3, atol=1e-3)
    assert math.log2(errors[0] / errors[1]) > 3.5


def test_autograd_sees_through_a_table() -> None:
    points = POINTS[:5].clone().requires_grad_()
    frame = Frame(("x", "y"), Derivatives.VALUE)
    value = GRID(frame.coordinate(points, 0), frame.coordinate(points, 1)).value
    (slope,) = torch.autograd.grad(value.sum(), points)
    torch.testing.assert_close(slope, at(GRID).gradient[:5], rtol=1e-12, atol=1e-12)  # type: ignore[index]


@pytest.mark.parametrize("level", [*Derivatives, Higher([(0, 0, 1), (0, 2, 2)])], ids=lambda level: str(int(level)))
def test_a_table_of_two_of_three_coordinates_is_constant_along_the_third(level: Level) -> None:
    points = torch.cat([POINTS, torch.rand(40, 1, generator=torch.Generator().manual_seed(0))], dim=1)
    frame, plane = Frame(("x", "y", "t"), level), at(GRID)
    u = GRID(frame.coordinate(points, 0), frame.coordinate(points, 1))
    torch.testing.assert_close(u.value, plane.value)
    if u.gradient is not None:
        torch.testing.assert_close(u.gradient, torch.cat([plane.gradient, torch.zeros(40, 1)], dim=1))  # type: ignore[list-item]
    if level == Derivatives.FULL:
        xx, xy, xt, yy, yt, tt = u.second.unbind(1)  # type: ignore[union-attr]
        torch.testing.assert_close(torch.stack([xx, xy, yy], 1), plane.second)
        assert not torch.stack([xt, yt, tt]).any()


# Files

FILE = """
schema = 1
name = "rod"
[domain]
type = "box"
x = [0.0, 1.0]
y = [0.0, 1.0]
[fields]
k = {{ {keys} }}
[equation]
operator = "-div((1 + k)*grad(u))"
source = "manufactured"
[[conditions]]
type = "dirichlet"
value = "exact"
[exact]
u = "x*y"
"""


def written(folder: Path, keys: str, **columns: np.ndarray) -> Path:
    """A problem file with one field, and its table as HDF5 and as CSV."""
    with h5py.File(folder / "k.h5", "w") as file:
        for name, values in columns.items():
            file[name] = values
    names = [name for name, values in columns.items() if values.ndim == 1]
    with (folder / "k.csv").open("w") as file:
        print(",".join(names), file=file)
        for row in zip(*(columns[name] for name in names), strict=False):
            print(",".join(map(repr, map(float, row))), file=file)
    path = folder / "rod.toml"
    path.write_text(FILE.format(keys=keys))
    return path


def test_a_table_is_read_with_its_axes_in_any_order_and_direction(tmp_path: Path) -> None:
    x, y = np.linspace(0, 1, 21), np.linspace(0, 1, 31)
    path = written(tmp_path, 'file = "k.h5"', x=x, y=y[::-1])
    with h5py.File(tmp_path / "k.h5", "a") as file:
        file["k"] = f(x, y[::-1, None])
        for k, name in enumerate(("y", "x")):
            file[name].make_scale(name)
            file["k"].dims[k].attach_scale(file[name])
    (table,) = load_problem(path).tables
    assert table.coordinates == ("x", "y")
    points = POINTS.abs()
    np.testing.assert_allclose(at(table, points=points).value, f(*points.numpy().T), atol=1e-6)


XS = np.linspace(0, 1, 11)
SCATTER = np.random.default_rng(2).uniform(0, 0.5, (40, 2))


ONES = np.ones((11, 11))


@pytest.mark.parametrize(
    ("keys", "columns", "words"),
    [
        ('file = "other.h5"', {"x": XS, "y": XS, "k": ONES}, "fields.k: .*other.h5: cannot be read: No such file"),
        ('file = "../k.h5"', {"x": XS, "y": XS, "k": ONES}, "outside of the problem file's directory"),
        ('file = "k.h5", dataset = "a"', {"x": XS, "y": XS, "k": ONES}, "no dataset of numbers named a in /"),
        ('file = "k.h5"', {"x": XS * 0.9, "y": XS, "k": ONES}, "x goes from 0 to 0.9, and the domain from 0 to 1"),
        ('file = "k.h5"', {"x": XS, "y": XS, "k": np.ones((11, 10))}, "k has 10 values along y, whose dataset has shape"),
        ('file = "k.h5"', {"x": XS, "k": ONES}, "k has 2 axes, named x; they have to be among"),
        ('file = "k.h5"', {"x": XS, "y": XS, "k": np.full((11, 11), np.nan)}, "k has values that are not finite"),
        ('file = "k.h5"', {"x": np.sin(XS * 9), "y": XS, "k": ONES}, "the coordinate x needs an axis"),
        ('file = "k.csv"', {"x": XS, "y": XS, "a": XS}, "columns k and one or more of x, y are needed"),
        ('file = "k.csv"', {"x": XS, "y": XS, "k": XS}, "all scattered points lie on a line"),
        ('file = "k.csv"', {"x": SCATTER[:, 0], "y": SCATTER[:, 1], "k": SCATTER[:, 0]}, "no points near x = .*, y = "),
        ('file = "k.csv"', {"x": np.append(XS, 1), "y": np.append(XS**2, 1), "k": np.append(XS, 1)}, "two rows are at"),
        ('file = "k.csv", interpolation = "linear"', {"x": XS, "y": XS, "k": XS}, "all scattered points lie on a line"),
        ('file = "k.csv", interpolation = "quintic"', {"x": XS, "y": XS, "k": XS}, "fields.k.interpolation: .*'linear'"),
        ('dataset = "k"', {"x": XS, "y": XS, "k": XS}, "fields.k.file: is missing"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_used_are_refused_with_a_reason(
    tmp_path: Path, keys: str, columns: dict[str, np.ndarray], words: str
) -> None:
    with pytest.raises(ProblemFileError, match=words):
        load_problem(written(tmp_path, keys, **columns))


def test_the_name_of_a_field_is_used_once(tmp_path: Path) -> None:
    path = written(tmp_path, 'file = "k.h5", dataset = "k"', x=XS, y=XS, k=np.ones((11, 11)))
    path.write_text(path.read_text().replace("k = {", "u = {").replace("(1 + k)*", ""))
    with pytest.raises(ProblemFileError, match=r"unknowns.u: 'u' is the name of a field already"):
        load_problem(path)


def test_too_many_scattered_points_are_refused() -> None:
    many = np.random.default_rng(0).uniform(size=(3001, 2))
    with pytest.raises(ProblemError, match="3001 scattered points; at most 3000"):
        Table("k", ("x", "y"), many[:, 0], (), many)


def test_the_json_schema_has_fields() -> None:
    assert json_schema()["properties"]["fields"]["maxProperties"] == 20
    assert set(json_schema()["$defs"]["FieldTable"]["properties"]) == {"file", "dataset", "interpolation"}


def test_jumps_of_a_constant_table_under_a_derivative_have_to_be_declared(tmp_path: Path) -> None:
    path = written(tmp_path, 'file = "k.h5", interpolation = "constant"', x=XS, y=XS, k=np.eye(11))
    with pytest.raises(ProblemError, match="where no interface is declared"):
        solve(load_problem(path))


def test_a_constant_table_jumps_where_its_cells_end(tmp_path: Path) -> None:
    """With jumps at most edges of its cells, lines along which they are found lie in planes through many of them."""
    axis = np.linspace(0.0, 1.0, 11)
    k = np.random.default_rng(0).integers(1, 4, (11, 11)).astype(float)
    problem = load_problem(written(tmp_path, 'file = "k.h5", interpolation = "constant"', x=axis, y=axis, k=k))
    found = [one for one in surfaces(problem.domain, coefficient_jumps(problem, problem.equations[0])) if one.axis]
    assert len(found) > 15  # of twenty; the others have few points
    for one in found:
        value = float(one.words.partition(" = ")[2])
        assert abs(10.0 * value - round(10.0 * value - 0.5) - 0.5) < 1e-5


# Solutions


def test_a_solution_does_not_need_the_tables_file(tmp_path: Path) -> None:
    x = np.linspace(0, 1, 21)
    path = written(tmp_path, 'file = "k.h5"', x=x, y=x, k=f(x[:, None], x))
    text = path.read_text().replace('type = "dirichlet"', 'type = "dirichlet"\nenforce = "exact"')
    path.write_text(text.replace('value = "exact"', 'value = "x*y*(1 + k)/(1 + k)"'))
    problem = load_problem(path, ["training.steps=3"])
    solution = solve(problem, estimate=False)
    solution.save(tmp_path / "run.vtkhdf")
    (tmp_path / "k.h5").unlink()
    again = load_solution(tmp_path / "run.vtkhdf")
    points = np.random.default_rng(0).uniform(size=(20, 2))
    np.testing.assert_array_equal(again(points), solution(points))
    assert again.problem is not None
    np.testing.assert_array_equal(again.problem.tables[0].values, problem.tables[0].values)


def test_finite_elements_know_the_divergence_of_a_tabulated_coefficient() -> None:
    points = POINTS.abs().numpy()
    problem = Problem(box(x=(0, 1), y=(0, 1)), lambda x, y, u: div(GRID(x, y) * grad(u)), 1.0, [dirichlet()])
    found = coefficients(problem, problem.equations[0].operator, 1.0, points)
    expected = at(GRID, points=torch.as_tensor(points)).gradient
    assert expected is not None
    np.testing.assert_allclose(found.divergence[:, 0], expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.first[:, 0], expected, rtol=1e-12, atol=1e-12)
