"""Solutions outside of pdekan: files for other programs, autograd, pickles; and integrals."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import pdekan as pk
from pdekan.output.samples import OutputError

POINTS = np.random.default_rng(0).uniform(-0.95, 0.95, size=(50, 2))


@pytest.fixture(scope="module")
def solution() -> pk.Solution:
    """Parameters, which are outputs of the network too, two unknowns, and base functions."""
    problem = pk.Problem(
        domain=pk.box(x=(-1, 1), y=(-1, 1)),
        unknowns=("u", "v"),
        equation=(lambda u, k: k * pk.laplacian(u), lambda u, v: pk.laplacian(v) - u),
        source=pk.EXACT,
        conditions=[pk.dirichlet(pk.EXACT, unknown="u"), pk.dirichlet(pk.EXACT, unknown="v")],
        exact={"u": lambda x, y: pk.sin(x) * pk.exp(y) + x**2, "v": lambda x, y: x * y**3, "k": 1.5},
        parameters={"k": pk.Parameter(1.0)},
    )
    return pk.solve(
        problem, training=pk.TrainingOptions(steps=3), network=pk.NetworkOptions(hidden=(3, 2), degree=3), estimate=False
    )


def network_values(solution: pk.Solution) -> np.ndarray:
    return np.asarray(solution(POINTS))


def test_torch_evaluates_the_same_without_pdekan(solution: pk.Solution, tmp_path: Path) -> None:
    solution.save(tmp_path / "network.pt2")
    np.savez(tmp_path / "points.npz", x=POINTS, u=network_values(solution))
    program = """
import sys, numpy, torch
known = numpy.load("points.npz")
network = torch.export.load("network.pt2").module()
found = network(torch.as_tensor(known["x"])).detach().numpy()
assert abs(found - known["u"]).max() < 1e-12, abs(found - known["u"]).max()
assert network(torch.as_tensor(known["x"][:3])).shape == (3, 2)
assert "pdekan" not in sys.modules
"""
    subprocess.run([sys.executable, "-I", "-c", program], cwd=tmp_path, check=True, timeout=120)


def test_onnx_evaluates_the_same(solution: pk.Solution, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    solution.save(tmp_path / "network.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    (given,) = session.get_inputs()
    assert (given.name, given.type) == ("points", "tensor(double)")
    for points in (POINTS, POINTS[:3]):
        np.testing.assert_allclose(session.run(None, {"points": points})[0], solution(points), rtol=0.0, atol=1e-12)


def test_versions_that_cannot_write_onnx_are_named(
    solution: pk.Solution, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export(*_: object, **__: object) -> None:
        raise TypeError("export() missing 1 required positional argument: 'args'")

    monkeypatch.setattr("torch.onnx.export", export)
    with pytest.raises(OutputError, match=r"torch .* cannot write it \(TypeError\); newer ones can: pip install -U"):
        solution.save(tmp_path / "network.onnx")
    assert not list(tmp_path.iterdir())


def test_what_torch_cannot_trace_is_refused(tmp_path: Path) -> None:
    options = pk.NetworkOptions(cells=2)
    local = pk.solve("poisson_sine", network=options, training=pk.TrainingOptions(steps=1), estimate=False)
    with pytest.raises(OutputError, match="CellNetwork: torch cannot export it"):
        local.save(tmp_path / "network.pt2")
    assert not list(tmp_path.iterdir())


def test_the_ending_says_what_is_written(solution: pk.Solution, tmp_path: Path) -> None:
    import xarray

    solution.save(tmp_path / "fields.nc", (5, 7))
    assert (tmp_path / "fields.nc").read_bytes().startswith(b"\x89HDF")
    with xarray.open_dataset(tmp_path / "fields.nc") as fields:
        assert fields["v"].shape == (5, 7)
        at = np.array([[fields["x"][1], fields["y"][2]]])
        np.testing.assert_allclose(fields["v"][1, 2], solution(at)[0, 1], atol=1e-14)
    solution.save(tmp_path / "u.png", (9, 9))
    assert (tmp_path / "u.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(OutputError, match=r"u\.xlsx: the ending says what is written: \.vtkhdf, .*\.onnx"):
        solution.save(tmp_path / "u.xlsx")


def test_solutions_are_pickled(tmp_path: Path) -> None:
    solved = pk.solve("heat_1d", training=pk.TrainingOptions(steps=3), estimate=False)
    solved.save(tmp_path / "solution.vtkhdf")
    for one in (solved, pk.load_solution(tmp_path / "solution.vtkhdf")):
        again = pickle.loads(pickle.dumps(one))
        np.testing.assert_array_equal(again(POINTS**2), one(POINTS**2))
        assert again.problem is not None
        assert again.errors == one.errors


def test_tensors_are_differentiated_by_autograd(solution: pk.Solution) -> None:
    points = torch.tensor(POINTS, requires_grad=True)
    values = solution(points)
    assert values.shape == (50, 2)
    (slope,) = torch.autograd.grad(values[:, 1].sum(), points, create_graph=True)
    np.testing.assert_allclose(slope.detach().numpy(), solution.gradient(POINTS)[:, 1], atol=1e-12)
    (second,) = torch.autograd.grad(slope[:, 0].sum(), points)
    np.testing.assert_allclose(second.numpy(), solution.hessian(POINTS)[:, 1, 0], atol=1e-10)
    assert bool(solution(torch.tensor([[5.0, 5.0]])).isnan().all())
    with pytest.raises(ValueError, match=r"points have shape \(3,\); needed is \(n, 2\), columns x, y"):
        solution(torch.zeros(3))


def test_integrals_and_fluxes() -> None:
    """Of u = x² y + x on a square with a hole: ∫ u² by hand, and ∮ k n·∇u, which is ∫ div(k ∇u) by Gauss' theorem."""
    problem = pk.Problem(
        domain=pk.difference(pk.box(x=(-1, 1), y=(-1, 1)), pk.disk((0.0, 0.0), 0.5)),
        equation=lambda u: pk.laplacian(u),
        source=pk.EXACT,
        conditions=[pk.dirichlet(pk.EXACT)],
        exact=lambda x, y: x**2 * y + x,
    )
    solution = pk.solve(problem, training=pk.TrainingOptions(steps=30), estimate=False)
    disk = math.pi / 64 * 0.5**8 + math.pi / 4 * 0.5**4  # ∫ r⁶ cos⁴ sin² + r² cos²
    assert solution.integral(lambda u: u**2) == pytest.approx(4 / 15 + 4 / 3 - disk, rel=1e-6)
    whole = solution.integral(lambda x, u: pk.div((2 + x) * pk.grad(u)))
    assert solution.flux(coefficient=lambda x: 2 + x) == pytest.approx(whole, rel=1e-6)
    assert solution.flux("part1.x+") == pytest.approx(2.0, abs=1e-6)  # ∫ 2y + 1 over y in (-1, 1)
    assert solution.integral(lambda u: u, on=["part1.y+"]) == pytest.approx(2 / 3, abs=1e-6)
    with pytest.raises(pk.ProblemError, match="unknown name 'w'"):
        solution.integral(lambda w: w)
    with pytest.raises(pk.DomainError, match="no face 'top'"):
        solution.flux("top")
