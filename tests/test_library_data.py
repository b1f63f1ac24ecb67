"""The files beside the library's problems: measurements lie as near their exact solutions as they say, references are right."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.integrate import solve_ivp
from scipy.interpolate import make_interp_spline

from pdekan.fields.jets import Derivatives
from pdekan.problem_files.library import library
from pdekan.problem_files.loader import load_problem

FOLDER = next(iter(library().values())).parent / "data"


def reference(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, t and u of a reference solution."""
    with h5py.File(FOLDER / f"{name}.h5") as file:
        return file["x"][:], file["t"][:], file["u"][:]


def test_every_file_belongs_to_a_problem() -> None:
    assert {path.stem for path in FOLDER.iterdir()} <= set(library())
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1e6


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.csv") if load_problem(path.stem).data))
def test_measurements_are_as_far_off_as_they_say(name: str) -> None:
    problem = load_problem(name)
    (measured,) = problem.data
    points = np.ascontiguousarray(measured.points)
    for unknown, values in measured.values.items():
        exact = problem.exact_jet(torch.as_tensor(points), Derivatives.VALUE, None, unknown).value.numpy()
        errors = values - exact
        if measured.noise is None:
            assert np.abs(errors).max() < 1e-12
            continue
        # the root mean square of n normal numbers is within 4/√(2n) of one, but for one in ten thousand
        assert np.sqrt(np.mean(errors**2)) == pytest.approx(measured.noise, rel=4 / np.sqrt(2 * len(errors)))
        assert abs(np.mean(errors)) < 4 * measured.noise / np.sqrt(len(errors))


def test_burgers_front_is_as_steep_as_published() -> None:
    """Basdevant et al., Computers & Fluids 14 (1986), table 3: the slope at x = 0 is largest, 152.00516, at t = 1.6037/π."""
    x, t, u = reference("burgers")
    middle = len(x) // 2
    assert x[middle] == 0.0
    h = x[middle + 1]
    # u is odd: the slope by differences of fourth order and higher, over points that are nearly evenly spaced there
    odd = np.stack([x[middle + 1 : middle + 6] ** k for k in (1, 3, 5, 7, 9)], axis=1)
    slopes = -np.linalg.solve(odd / h, u[middle + 1 : middle + 6] / h)[0]
    near = np.abs(t - 1.6037 / np.pi) < 0.045
    peak = np.polyfit(t[near] - 1.6037 / np.pi, slopes[near], 6)
    assert np.polyval(peak, 0.0) == pytest.approx(152.00516, rel=2e-5)
    assert abs(np.polyval(np.polyder(peak), 0.0)) < 2.0  # the maximum; slopes change by hundreds a unit of time around
    np.testing.assert_allclose(u, -u[::-1], atol=1e-12)
    np.testing.assert_allclose(u[:, 0], -np.sin(np.pi * x), atol=1e-15)


def test_allen_cahn_agrees_with_finite_differences() -> None:
    """Second order on two grids, extrapolated, in time by SciPy's BDF: nothing in common with cosines and ETDRK4."""
    x, t, u = reference("allen_cahn")
    columns = [int(np.argmin(np.abs(t - time))) for time in (0.5, 1.0)]

    def differences(n: int) -> np.ndarray:
        grid = np.linspace(0.0, 1.0, n + 1)
        second = sp.diags([np.ones(n), -2.0 * np.ones(n + 1), np.ones(n)], [-1, 0, 1]).tolil()
        second[0, 1] = second[n, n - 1] = 2.0  # even about both ends
        linear = (1e-4 * n**2 * second).tocsc()
        solved = solve_ivp(
            lambda _, v: linear @ v + 5 * v - 5 * v**3,
            (0.0, 1.0),
            grid**2 * np.cos(np.pi * grid),
            method="BDF",
            t_eval=t[columns],
            jac=lambda _, v: linear + sp.diags(5 - 15 * v**2),
            rtol=1e-8,
            atol=1e-10,
        )
        return solved.y[:: n // 1000]

    right = x >= -1e-12
    extrapolated = (4 * differences(2000) - differences(1000)) / 3
    at = make_interp_spline(np.linspace(0.0, 1.0, 1001), extrapolated, 5)(x[right])
    np.testing.assert_allclose(u[right][:, columns], at, atol=1e-6)
    np.testing.assert_allclose(u, u[::-1], atol=1e-12)
