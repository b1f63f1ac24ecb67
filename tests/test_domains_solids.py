"""Cylinders, tori and combinations in space: volumes and areas in closed form, the divergence theorem, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from pdekan.domains.ball import ball
from pdekan.domains.base import Domain, DomainError
from pdekan.domains.box import box
from pdekan.domains.combinations import difference, intersection, union
from pdekan.domains.cylinder import Cylinder
from pdekan.domains.mesh import volumes
from pdekan.domains.registry import restored, stored
from pdekan.domains.shapes import disk
from pdekan.domains.solids import cylinder, half_space, torus
from pdekan.domains.triangulation import triangulation
from pdekan.fields.jets import Frame
from pdekan.problem_files.loader import ProblemFileError, json_schema, loads

CUBE = box(x=(-1, 1), y=(-1, 1), z=(-1, 1))
ROD = cylinder((0, 0, -2), (0, 0, 2), 0.5)
LENS = math.pi * (4.0 + 1.2) * (2.0 - 1.2) ** 2 / 12.0  # of two unit balls at distance 1.2
CAP = 2.0 * math.pi * (1.0 - 0.6)  # of a unit sphere on one side of the plane at 0.6
AXIS = np.array([0.3, 0.4, 2.0])
# Each with its volume and the areas of its faces, as far as there are closed forms.
SOLIDS: dict[str, tuple[Domain, float, dict[str, float]]] = {
    "cylinder": (
        cylinder((0, 0.1, -1), (0.3, 0.5, 1), 0.5), math.pi * 0.25 * float(np.linalg.norm(AXIS)),
        {"side": math.pi * float(np.linalg.norm(AXIS)), "start": math.pi / 4, "end": math.pi / 4},
    ),
    "torus": (torus((0, 0, 1), "x", 1, 0.3), 2 * math.pi**2 * 0.09, {"outer": 4 * math.pi**2 * 0.3}),
    "lens of two balls": (intersection(ball(), ball((0, 0.72, 0.96))), LENS, {"part1.outer": CAP, "part2.outer": CAP}),
    "two balls": (
        union(ball(), ball((1.2, 0, 0))), 8 * math.pi / 3 - LENS,
        {"part1.outer": 4 * math.pi - CAP, "part2.outer": 4 * math.pi - CAP},
    ),
    "cube with a hole": (
        difference(CUBE, ROD), 8 - math.pi / 2,
        {"part1.x+": 4, "part1.z-": 4 - math.pi / 4, "part1.z+": 4 - math.pi / 4, "part2.side": 2 * math.pi},
    ),
    "two cylinders that cross": (
        intersection(cylinder((-2, 0, 0), (2, 0, 0)), cylinder((0, -2, 0), (0, 2, 0))), 16 / 3,
        {"part1.side": 8, "part2.side": 8},
    ),
    "cut ball": (
        intersection(ball(), half_space((0, 0, 0.6), (0, 0, 1))), 4 * math.pi / 3 - math.pi * 0.16 * 2.6 / 3,
        {"part1.outer": 4 * math.pi - CAP, "part2.plane": math.pi * 0.64},
    ),
    "a cylinder that stands on a box": (
        union(box(x=(-1, 1), y=(-1, 1), z=(-1, 0)), cylinder((0, 0, 0), (0, 0, 1), 0.5)), 4 + math.pi / 4,
        {"part1.z+": 4 - math.pi / 4, "part2.side": math.pi, "part2.end": math.pi / 4},
    ),
    "nested": (
        difference(CUBE, union(ball((0.5, 0.5, 0.5), 0.2), ball((-0.4, 0, 0), 0.3))), 8 - 4 / 3 * math.pi * (0.2**3 + 0.3**3),
        {"part2.part1.outer": 4 * math.pi * 0.04, "part2.part2.outer": 4 * math.pi * 0.09},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("domain", "volume", "areas"), SOLIDS.values(), ids=SOLIDS.keys())
def test_volumes_areas_and_the_divergence_theorem(domain: Domain, volume: float, areas: dict[str, float]) -> None:
    assert domain.measure == pytest.approx(volume, rel=1e-10)
    inside = domain.interior(4, 9, 0, 0)
    assert (inside.weights > 0.0).all()
    assert (domain.distance(inside.points) > 0.0).all()
    divergence = inside.weights @ (np.cos(inside.points[:, 0] + inside.points[:, 1]) + 3 * inside.points[:, 2] ** 2)
    flux = 0.0
    assert areas.keys() <= set(domain.faces)
    for name in domain.faces:
        rule = domain.face(name, 4, 9, 0, 0)
        x, y, z = rule.points.T
        assert rule.normals is not None
        np.testing.assert_allclose(np.linalg.norm(rule.normals, axis=1), 1.0, atol=1e-12)
        np.testing.assert_allclose(domain.distance(rule.points), 0.0, atol=1e-9)
        flux += rule.weights @ (np.stack([np.sin(x + y), 0.0 * y, z**3], axis=1) * rule.normals).sum(axis=1)
        if name in areas:
            assert rule.weights.sum() == pytest.approx(areas[name], rel=1e-5)
    assert divergence == pytest.approx(flux, rel=2e-5, abs=2e-5)
    assert restored(stored(domain)) == domain


def test_rules_converge() -> None:
    """Inside, 36 points along an axis are enough for 1e-9; on faces, beside tangents, more are needed."""
    for domain, volume, areas in (SOLIDS[name] for name in ("lens of two balls", "two balls", "torus")):
        assert domain.interior(4, 9, 0, 0).weights.sum() == pytest.approx(volume, rel=1e-9)
        for face, area in areas.items():
            errors = [abs(domain.face(face, 1, n, 0, 0).weights.sum() / area - 1.0) for n in (36, 216)]
            assert errors[0] < 5e-6
            assert errors[1] < 5e-11


def test_surfaces_that_touch_lose_nothing_beside_the_point() -> None:
    """Where two cylinders cross they are nearer to each other than round-off within 1e-5 of the points of tangency."""
    domain, _, areas = SOLIDS["two cylinders that cross"]
    area = sum(domain.face(face, 1, 72, 0, 0).weights.sum() for face in domain.faces)
    assert area == pytest.approx(sum(areas.values()), rel=4e-9)


def test_distances_tell_the_sides() -> None:
    """Of single shapes they are exact: against the nearest of many points on the faces."""
    generator = np.random.default_rng(0)
    for domain in (SOLIDS["cylinder"][0], SOLIDS["torus"][0]):
        points = generator.uniform(domain.lower, domain.upper, (40, 3))
        boundary = np.concatenate([domain.face(name, 8, 12, 0, 0).points for name in domain.faces])
        nearest = np.linalg.norm(points[:, None] - boundary, axis=2).min(axis=1)
        np.testing.assert_allclose(np.abs(domain.distance(points)), nearest, atol=0.04)
    holed = difference(CUBE, ROD)
    assert holed.contains(np.array([[0.6, 0, 0], [0.4, 0, 0], [1.1, 0, 0]])).tolist() == [True, False, False]


@pytest.mark.parametrize("name", ["cylinder", "torus", "lens of two balls", "cut ball"])
def test_levels_vanish_on_their_face_and_are_positive_inside(name: str) -> None:
    domain = SOLIDS[name][0]
    frame = Frame(domain.coordinates)
    for face in domain.faces:
        rule = domain.face(face, 1, 8, 0, 0)
        position = frame.position(torch.tensor(rule.points))
        level = domain.level(face, [position[k] for k in range(3)])
        assert level.gradient is not None
        np.testing.assert_allclose(level.value, 0.0, atol=1e-12)
        slope = np.linalg.norm(level.gradient, axis=1)
        np.testing.assert_allclose(level.gradient, -slope[:, None] * rule.normals, atol=1e-9)
        assert (np.abs(slope - 1.0) < (0.31 if name == "torus" else 1e-9)).all()
        inside = frame.position(torch.tensor(domain.interior(1, 8, 0, 0).points))
        assert (domain.level(face, [inside[k] for k in range(3)]).value > 0.0).all()
    position = frame.position(torch.zeros((1, 3), dtype=torch.float64))
    with pytest.raises(DomainError, match="enforce its condition weakly"):
        difference(CUBE, ROD).level("part2.side", [position[k] for k in range(3)])


def test_tetrahedra_for_pictures_fill_most_of_a_solid() -> None:
    domain = difference(CUBE, ROD)
    points, cells = triangulation(domain, 0.25)
    content = volumes(points[cells])
    assert (content > 0.0).all()
    assert content.sum() == pytest.approx(domain.measure, rel=0.1)
    assert domain.contains(points).all()


@pytest.mark.parametrize("dimension", [5, 12])
def test_a_ball_in_many_dimensions_has_points_of_equal_weight(dimension: int) -> None:
    domain = ball(radius=2.0, dimension=dimension)
    assert domain.coordinates[:2] == ("x1", "x2")
    assert domain.vector == "x"
    unit = math.pi ** (dimension / 2) / math.gamma(dimension / 2 + 1)
    assert domain.measure == pytest.approx(unit * 2.0**dimension, rel=1e-13)
    inside, outside = domain.interior(0, 0, 2**14, 1), domain.face("outer", 0, 0, 2**13, 1)
    assert (domain.distance(inside.points) >= 0.0).all()
    assert outside.weights.sum() == pytest.approx(dimension * unit * 2.0 ** (dimension - 1), rel=1e-12)
    assert outside.normals is not None
    np.testing.assert_allclose(domain.distance(outside.points), 0.0, atol=1e-12)
    # the mean of |x|² is r² d / (d + 2), that of x1² on the sphere r² / d
    assert np.square(inside.points).sum(axis=1).mean() == pytest.approx(4.0 * dimension / (dimension + 2), rel=2e-3)
    np.testing.assert_allclose(np.square(outside.points).mean(axis=0), 4.0 / dimension, rtol=2e-2)
    in_time = Cylinder(domain, 0.5, 2.0)
    rule = in_time.interior(0, 0, 2**12, 0)
    assert rule.weights.sum() == pytest.approx(1.5 * domain.measure, rel=1e-12)
    assert rule.points[:, -1].mean() == pytest.approx(1.25, abs=1e-3)
    assert in_time.contains(rule.points).all()
    assert in_time.face("outer", 0, 0, 2**12, 0).weights.sum() == pytest.approx(1.5 * outside.weights.sum(), rel=1e-12)
    assert restored(stored(domain)) == domain


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "flat cylinder": (lambda: cylinder((0, 0, 0), (0, 0, 0)), "the distance from start to end is 0.0; it needs to be positive"),
    "thin cylinder": (lambda: cylinder((0, 0, 0), (0, 0, 1), 0), "radius is 0.0"),
    "start in the plane": (lambda: cylinder((0, 0), (0, 0, 1)), "start has 2 coordinates; it needs three"),
    "thick torus": (lambda: torus(radius=1, tube_radius=1), "the first needs to be the smaller"),
    "axis of a torus": (lambda: torus(axis="t"), "axis is 't'; it is one of x, y, z"),  # type: ignore[arg-type]
    "no normal": (lambda: half_space((0, 0, 0), (0, 0, 0)), "the length of normal is 0.0"),
    "no end": (lambda: union(ball(), half_space((0, 0, 0), (0, 0, 1))), "has no end; a half-space may be cut with"),
    "apart": (lambda: intersection(ball(), ball((5, 0, 0))), "the intersection of 2 parts is empty"),
    "bounds that overlap": (lambda: intersection(ball(), ball((1.9, 1.9, 0))), "the intersection of 2 parts is empty"),
    "nothing left": (lambda: difference(ball(), ball(radius=2)), "the difference of 2 parts is empty"),
    "plane and space": (lambda: union(disk(), ball()), "planar ones and boxes are, or all of space"),
    "other names": (lambda: union(ball(), ball(coordinates=("a", "b", "c"))), "they need the same"),
    "two faces": (lambda: difference(CUBE, ROD).face("part1", 1, 4, 0, 0), "part1 is 6 faces"),
    "a center too many": (lambda: ball((0, 0, 1), 1, 5), "center has 3 coordinates and dimension is 5"),
}  # fmt: skip


@pytest.mark.parametrize(("build", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused(build: Callable[[], object], message: str) -> None:
    with pytest.raises(DomainError, match=message):
        build()


FILE = """schema = 1
name = "solid"
[domain]
type = "difference"
parts = [
  {type = "box", x = [-1.0, 1.0], y = [-1.0, 1.0], z = [0.0, 0.5]},
  {type = "cylinder", start = [0.0, 0.0, -1.0], end = [0.0, 0.0, 1.0], radius = 0.5},
]
[equation]
operator = "-laplacian(u)"
source = "manufactured"
[[conditions]]
type = "dirichlet"
on = "part1"
value = "exact"
[[conditions]]
type = "neumann"
on = "part2.side"
value = "exact"
[exact]
u = "x**2 - 2*y*z + x"
"""


def test_the_schema_has_the_shapes() -> None:
    assert {"cylinder", "torus", "half_space"} <= set(str(json_schema()).replace("'", " ").split())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("radius = 0.5", "radius = -0.5", "radius"),
        ("start = [0.0, 0.0, -1.0], ", "", "start"),
        ('on = "part2.side"', 'on = "part2.outer"', "no face 'part2.outer'"),
        ('type = "cylinder", start = [0.0, 0.0, -1.0], end = [0.0, 0.0, 1.0]', 'type = "disk"', "cannot be a part"),
    ],
)
def test_bad_input(old: str, new: str, message: str) -> None:
    with pytest.raises(ProblemFileError, match=message):
        loads(FILE.replace(old, new))


def test_a_half_space_is_no_domain() -> None:
    table = '[domain]\ntype = "half_space"\npoint = [0.0, 0.0, 0.0]\nnormal = [0.0, 0.0, 1.0]\n'
    with pytest.raises(ProblemFileError, match="half_space has no end"):
        loads(
            'schema = 1\nname = "x"\n' + table + '[equation]\noperator = "laplacian(u)"\n[[conditions]]\ntype = "dirichlet"\n'
        )
