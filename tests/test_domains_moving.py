"""Domains that move: measures in closed form, the divergence theorem in space, the transport theorem in time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pdekan.ansatz.time_slabs import slab
from pdekan.domains.base import Domain
from pdekan.domains.moving import Moving
from pdekan.domains.registry import restored, stored
from pdekan.fields.jets import Frame
from pdekan.problem_files.loader import ProblemFileError, json_schema, loads
from pdekan.solutions.sampling import sample

FILE = """schema = 1
name = "moving"
[domain]
type = "disk"
radius = 2.0
t = [0.5, 1.5]
[domain.motion]
shift = ["sin(t)", "-t**2"]
scale = "exp(t/2)"
[equation]
operator = "dt(u) - laplacian(u)"
[[conditions]]
type = "initial"
value = 0
[[conditions]]
type = "dirichlet"
on = "outer"
value = 0
"""
ROD = FILE.replace('type = "disk"\nradius = 2.0', 'type = "box"\nx = [-1.0, 2.0]').replace('["sin(t)", "-t**2"]', '["sin(t)"]')
ROD = ROD.replace("laplacian(u)", "dx(dx(u))").replace('on = "outer"', 'on = ["x-", "x+"]')


def domain(text: str = FILE) -> Moving:
    found = loads(text).domain
    assert isinstance(found, Moving)
    return found


@pytest.mark.parametrize("name", ["disk", "rod"])
def test_measures_and_the_theorems_of_gauss_and_reynolds(name: str) -> None:
    """∫∫ div F = ∫∮ F·n dt, and ∫∫ ∂f/∂t = [∫ f] - ∫∮ f v·n dt, v being the velocity of the boundary."""
    moving = domain(FILE if name == "disk" else ROD)
    d = moving.base.dimension
    size = 4.0 * math.pi if name == "disk" else 3.0
    rate = 0.5 * d
    assert moving.measure == pytest.approx(size * (math.exp(rate * 1.5) - math.exp(rate * 0.5)) / rate, rel=1e-12)
    inside = moving.interior(4, 8, 0, 0)
    assert inside.weights.sum() == pytest.approx(moving.measure, rel=1e-10)
    sides = [moving.face(face, 4, 8, 0, 0) for face in moving.faces if face[0] != "t"]
    start, end = (moving.face(face, 4, 8, 0, 0) for face in ("t-", "t+"))

    def f(p: np.ndarray) -> np.ndarray:
        return np.asarray(np.sin(p[:, 0]) * np.cos(p[:, -1]))

    divergence = inside.weights @ (np.cos(inside.points[:, 0]) * np.cos(inside.points[:, -1]))
    change = inside.weights @ (-np.sin(inside.points[:, 0]) * np.sin(inside.points[:, -1]))
    change -= end.weights @ f(end.points) - start.weights @ f(start.points)
    for side in sides:
        assert side.normals is not None
        np.testing.assert_allclose(moving.distance(side.points), 0.0, atol=1e-12)
        t = side.points[:, -1]
        shift = np.stack([np.sin(t), -(t**2)], axis=1)[:, :d]
        velocity = np.stack([np.cos(t), -2.0 * t], axis=1)[:, :d] + 0.5 * (side.points[:, :-1] - shift)
        divergence -= side.weights @ (f(side.points) * side.normals[:, 0])
        change += side.weights @ (f(side.points) * (velocity * side.normals[:, :-1]).sum(axis=1))
    assert divergence == pytest.approx(0.0, abs=1e-9)
    assert change == pytest.approx(0.0, abs=1e-9)
    assert restored(stored(moving)) == moving


def test_inside_and_levels() -> None:
    moving = domain()
    points = np.random.default_rng(0).uniform(moving.lower, moving.upper, (200, 3))
    t = points[:, -1]
    radius = np.hypot(points[:, 0] - np.sin(t), points[:, 1] + t**2)
    np.testing.assert_array_equal(moving.contains(points), radius < 2.0 * np.exp(t / 2))
    face, frame = moving.face("outer", 1, 8, 0, 0), Frame(moving.coordinates)
    position = frame.position(torch.tensor(face.points))
    level = moving.level("outer", [position[k] for k in range(3)])
    np.testing.assert_allclose(level.value, 0.0, atol=1e-12)
    assert level.gradient is not None
    assert face.normals is not None
    np.testing.assert_allclose(level.gradient[:, :2], -face.normals[:, :2], atol=1e-12)


def test_corners_move_with_the_base() -> None:
    domain = loads(ROD).domain
    expected = [(math.sin(t) + math.exp(0.5 * t) * x, t) for t in (0.5, 1.5) for x in (-1.0, 2.0)]
    np.testing.assert_allclose(domain.corners, expected, rtol=1e-9)
    np.testing.assert_allclose(domain.distance(domain.corners), 0.0, atol=1e-9)


def test_slabs_and_samples() -> None:
    problem = loads(FILE)
    part: Domain = slab(problem, [0.5, 1.0, 1.5], 1, None, 1.0).domain
    assert (part.lower[-1], part.upper[-1]) == (1.0, 1.5)
    assert part.measure == pytest.approx(4.0 * math.pi * (math.exp(1.5) - math.exp(1.0)), rel=1e-12)
    found = sample(domain(), ("u",), lambda points: {"u": points[:, 0]}, shape=(9, 9, 3)).fields["u"]
    assert np.isnan(found).any()
    assert np.isfinite(found).sum() > 60


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("t = [0.5, 1.5]\n", "", "a domain that moves needs an interval of time"),
        ('["sin(t)", "-t**2"]', '["sin(t)"]', "shift has 1 formulas; it needs one for each of x, y"),
        ("exp(t/2)", "1 - t", "scale is -0.5 at t = 1.5; it needs to be positive"),
        ("exp(t/2)", "sqrt(t - 0.5)", "is not smooth enough in t"),
        ("exp(t/2)", "1/(t - 1)", "it needs to be positive|not smooth enough|not finite"),
        ("exp(t/2)", "x", "unknown name 'x'"),
        ("scale =", "factor =", "unknown key"),
    ],
)
def test_motions_that_are_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(ProblemFileError, match=message):
        loads(FILE.replace(old, new))
    assert "motion" in json_schema()["$defs"]["Disk"]["properties"]
