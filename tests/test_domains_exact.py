"""Domains whose area, length and integrals are known in closed form or from another integrator; and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import dblquad
from scipy.special import ellipe

from pdekan.domains.arcs import EllipseArc, Segment
from pdekan.domains.ball import ball
from pdekan.domains.base import Domain, DomainError
from pdekan.domains.box import box, hypercube
from pdekan.domains.combinations import difference, intersection, union
from pdekan.domains.cylinder import Cylinder
from pdekan.domains.registry import DOMAINS, restored, stored
from pdekan.domains.shapes import annulus, disk, ellipse, polygon
from pdekan.domains.triangulation import triangulation
from pdekan.fields.jets import Frame

LENS = 2.0 * math.pi / 3.0 - math.sqrt(3.0) / 2.0  # of two unit disks with centers one apart
ELL = [(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)]
TRIANGLE = [(0.2, 0.2), (0.4, 0.2), (0.2, 0.5)]
NEAR, FAR = disk(), disk((1, 0))

EXACT: dict[str, tuple[Domain, float, float]] = {
    "disk": (disk((3, -2), 2), 4.0 * math.pi, 4.0 * math.pi),
    "annulus": (annulus((1, 2), 0.5, 1), 0.75 * math.pi, 3.0 * math.pi),
    "ellipse": (ellipse((1, 2), (2, 1), 0.3), 2.0 * math.pi, 8.0 * ellipe(0.75)),
    "polygon": (polygon(ELL, [TRIANGLE]), 3.0 - 0.03, 8.0 + 0.5 + math.hypot(0.2, 0.3)),
    "polygon, clockwise": (polygon(ELL[::-1]), 3.0, 8.0),
    "lens": (intersection(NEAR, FAR), LENS, 4.0 * math.pi / 3.0),
    "two disks": (union(NEAR, FAR), 2.0 * math.pi - LENS, 8.0 * math.pi / 3.0),
    "moon": (difference(NEAR, FAR), math.pi - LENS, 2.0 * math.pi),
    "plate with a hole of two disks": (
        difference(box(x=(-3, 3), y=(-3, 3)), union(NEAR, FAR)), 36.0 - 2.0 * math.pi + LENS, 24.0 + 8.0 * math.pi / 3.0,
    ),
    "boxes side by side": (union(box(x=(0, 1), y=(0, 1)), box(x=(1, 2), y=(0, 1))), 2.0, 6.0),
    "boxes that share half a side": (union(box(x=(0, 1), y=(0, 1)), box(x=(1, 2), y=(0.5, 1.5))), 2.0, 7.0),
    "the same box twice": (union(box(x=(0, 1), y=(0, 1)), box(x=(0, 1), y=(0, 1))), 1.0, 4.0),
    "the same disk twice": (intersection(disk(), disk()), math.pi, 2.0 * math.pi),
    "a box cut off flush": (difference(box(x=(0, 3), y=(0, 1)), box(x=(2, 3), y=(0, 1))), 2.0, 6.0),
    "a disk that touches from inside": (difference(disk(), disk((0.5, 0), 0.5)), 0.75 * math.pi, 3.0 * math.pi),
    "disks that touch from outside": (union(disk(), disk((0, 2))), 2.0 * math.pi, 4.0 * math.pi),
    "disks apart": (union(disk(), disk((5, 0))), 2.0 * math.pi, 4.0 * math.pi),
    "half disk": (intersection(disk(), box(x=(0, 2), y=(-2, 2))), 0.5 * math.pi, math.pi + 2.0),
}  # fmt: skip
every_exact = pytest.mark.parametrize(("domain", "area", "length"), EXACT.values(), ids=EXACT.keys())


@every_exact
def test_areas_and_lengths_in_closed_form(domain: Domain, area: float, length: float) -> None:
    assert domain.measure == pytest.approx(area, rel=1e-13)
    assert domain.interior(4, 16, 0, 0).weights.sum() == pytest.approx(area, rel=1e-11)
    assert sum(domain.face(name, 4, 16, 0, 0).weights.sum() for name in domain.faces) == pytest.approx(length, rel=1e-12)


@pytest.mark.parametrize("name", ["disk", "annulus", "ellipse", "lens", "two disks", "moon", "half disk"])
def test_the_rule_converges_exponentially(name: str) -> None:
    domain = EXACT[name][0]

    def integral(count: int) -> float:
        rule = domain.interior(1, count, 0, 0)
        return float(rule.weights @ (np.exp(rule.points[:, 0]) * np.cos(rule.points[:, 1])))

    fine = integral(96)
    errors = np.abs([integral(count) / fine - 1.0 for count in (6, 12, 24, 48)])
    assert errors[3] < 1e-10
    # an algebraic rate, such as that of Gauss points for a square root, would be a factor of at most 8 a doubling
    assert errors[2] < 1e-6
    assert errors[1] < 1e-3


def test_integrals_against_other_integrators() -> None:
    def f(x: float, y: float) -> float:
        return math.exp(x * y) / (1.0 + x * x + y * y)

    def ours(domain: Domain) -> float:
        rule = domain.interior(4, 16, 0, 0)
        return float(sum(w * f(x, y) for w, (x, y) in zip(rule.weights, rule.points, strict=True)))

    def arch(y: float) -> float:
        return math.sqrt(1.0 - y * y)

    half = math.sqrt(3.0) / 2.0
    lens, _ = dblquad(lambda x, y: f(x, y), -half, half, lambda y: 1.0 - arch(y), arch, epsabs=1e-13, epsrel=1e-13)
    assert ours(EXACT["lens"][0]) == pytest.approx(lens, rel=1e-11)
    moon, _ = dblquad(lambda x, y: f(x, y), -half, half, lambda y: -arch(y), lambda y: 1.0 - arch(y), epsabs=1e-13)
    caps = [dblquad(lambda x, y: f(x, y), a, b, lambda y: -arch(y), arch, epsabs=1e-13)[0] for a, b in ((-1, -half), (half, 1))]
    assert ours(EXACT["moon"][0]) == pytest.approx(moon + sum(caps), rel=1e-10)
    rule = disk().interior(2, 16, 0, 0)
    # harmonic: the mean over the disk is the value at its center
    assert rule.weights @ (np.cosh(rule.points[:, 0]) * np.cos(rule.points[:, 1])) == pytest.approx(math.pi, rel=1e-13)
    # ∫ e^x = 2π I_1(1)
    assert rule.weights @ np.exp(rule.points[:, 0]) == pytest.approx(float(2 * mpmath.pi * mpmath.besseli(1, 1)), rel=1e-13)


def test_a_near_touch_does_not_spoil_the_rule() -> None:
    """Two vertical tangents 1e-3 apart: the strip between them and those beside it need grading, at no great cost."""
    domain = difference(disk(), disk((0.499, 0), 0.5))
    assert domain.measure == pytest.approx(0.75 * math.pi, rel=1e-13)
    rule = domain.interior(2, 16, 0, 0)
    assert rule.weights.sum() == pytest.approx(0.75 * math.pi, rel=1e-10)
    assert len(rule.points) < 2.5 * 32**2 * domain.measure / 4.0


@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_units_do_not_matter(scale: float, offset: float) -> None:
    """The same plate, in other units and elsewhere, has the same faces and, but for the scale, the same rule."""

    def plate(unit: float, x: float) -> Domain:
        return difference(box(x=(x, x + 2 * unit), y=(0, unit)), ellipse((x + unit, 0), (unit / 2, unit / 3), 0.3))

    here, there = plate(1.0, 0.0), plate(scale, offset * scale)
    assert there.faces == here.faces
    assert there.measure == pytest.approx(here.measure * scale**2, rel=1e-9)
    ours, theirs = here.interior(1, 16, 0, 0), there.interior(1, 16, 0, 0)
    np.testing.assert_allclose(theirs.points / scale - (offset, 0), ours.points, atol=1e-9)
    np.testing.assert_allclose(theirs.weights / scale**2, ours.weights, atol=1e-9)


def test_many_short_edges_do_not_ask_for_many_more_points() -> None:
    angle = 2.0 * np.pi * np.arange(200) / 200
    radius = 1.0 + 0.2 * np.cos(9.0 * angle)
    flower = polygon(np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).tolist())
    rule = flower.interior(4, 16, 0, 0)
    assert rule.weights.sum() == pytest.approx(flower.measure, rel=1e-13)
    assert len(rule.points) < 3 * 64**2 * flower.measure / np.prod(np.subtract(flower.upper, flower.lower))


@settings(deadline=None, max_examples=100)
@given(st.floats(0.05, 2.0), st.floats(0.05, 2.0), st.floats(-3, 3), st.floats(-3, 3), st.floats(0.1, 6.2), st.booleans())
def test_the_nearest_point_of_an_arc(a: float, b: float, angle: float, first: float, length: float, back: bool) -> None:
    """Against the smallest of many samples."""
    c, s = math.cos(angle), math.sin(angle)
    ends = (first + length, first) if back else (first, first + length)
    arc = EllipseArc("", (0.3, -0.2), (a * c, a * s), (-b * s, b * c), *ends)
    points = np.random.default_rng(0).uniform(-3, 3, (20, 2))
    samples = arc.at(np.linspace(*ends, 20001))
    apart = np.linalg.norm(points[:, None] - samples, axis=2).min(axis=1)
    assert (arc.distance(points) <= apart + 1e-12).all()
    np.testing.assert_allclose(arc.distance(points), apart, atol=2e-4)
    t = arc.nearest(points)
    assert ((t >= first - 1e-12) & (t <= first + length + 1e-12)).all()


@settings(deadline=None, max_examples=100)
@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4), st.floats(0.2, 1.0), st.floats(0.2, 1.0), st.floats(-3, 3))
def test_arcs_meet_where_the_other_curves_function_vanishes(ends: list[float], a: float, b: float, angle: float) -> None:
    """All sign changes of one arc's function along the other are found, and nothing else, in both directions."""
    c, s = math.cos(angle), math.sin(angle)
    curve = EllipseArc("", (0.1, 0.0), (a * c, a * s), (-b * s, b * c))
    others = [EllipseArc("", (ends[0], ends[1]), (0.7, 0.0), (0.0, 0.5))]
    if math.hypot(ends[0] - ends[2], ends[1] - ends[3]) > 1e-3:
        others.append(Segment("", (ends[0], ends[1]), (ends[2], ends[3])))
    for other in others:
        for one, two in ((curve, other), (other, curve)):
            t = one.roots(two.conic)
            np.testing.assert_allclose(two.conic(*one.at(t).T), 0.0, atol=1e-6)
            low, high = one.span[0] + 1e-6, one.span[1] - 1e-6  # an end is found as an end
            changes = int(np.diff(two.conic(*one.at(np.linspace(low, high, 4001)).T) > 0.0).sum())
            assert len(t) >= changes
            assert len(t) <= 4


LEVELS: dict[str, Domain] = {
    "disk": disk((1, 2), 3),
    "annulus": annulus((1, 2), 0.5, 1),
    "ellipse": ellipse((0, 1), (2, 1), 0.4),
    "triangle": polygon([(0, 0), (2, 0.5), (0.5, 2)]),
    "moon": difference(disk(), disk((1, 0))),
    "lens": intersection(disk(), disk((1, 0))),
    "ball": ball((1, 2, 3), 2),
    "cylinder": Cylinder(annulus((1, 2), 0.5, 1), 0.5, 2),
}


@pytest.mark.parametrize("domain", LEVELS.values(), ids=LEVELS.keys())
def test_levels_vanish_on_their_face_and_rise_inwards(domain: Domain) -> None:
    frame = Frame(domain.coordinates)

    def level(name: str, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        position = frame.position(torch.tensor(points))
        found = domain.level(name, [position[k] for k in range(domain.dimension)])
        assert found.gradient is not None
        return found.value.numpy(), found.gradient.numpy()

    inside = domain.interior(1, 8, 0, 0).points
    for name in domain.faces:
        rule = domain.face(name, 1, 8, 0, 0)
        value, gradient = level(name, rule.points)
        np.testing.assert_allclose(value, 0.0, atol=1e-13)
        slope = np.linalg.norm(gradient, axis=1)
        np.testing.assert_allclose(gradient, -slope[:, None] * rule.normals, atol=1e-13)
        low, high = (math.sqrt(0.5), math.sqrt(2.0)) if domain is LEVELS["ellipse"] else (1.0, 1.0)
        assert (slope > low - 1e-12).all()
        assert (slope < high + 1e-12).all()
        assert (level(name, inside)[0] > 0.0).all()
        step = 1e-6  # the gradient is that of the values
        changed = level(name, inside + step * np.eye(domain.dimension)[0])[0] - level(name, inside)[0]
        np.testing.assert_allclose(changed / step, level(name, inside)[1][:, 0], atol=1e-5)


@pytest.mark.parametrize(
    ("domain", "name"),
    [(polygon(ELL), "edge3"), (union(NEAR, FAR), "part1.outer"), (polygon(ELL, [TRIANGLE]), "hole1.edge1")],
    ids=["an edge whose line runs inside", "a circle that does", "a hole's edge"],
)
def test_no_level_where_the_curve_runs_through_the_domain(domain: Domain, name: str) -> None:
    position = Frame(domain.coordinates).position(torch.zeros((1, 2), dtype=torch.float64))
    with pytest.raises(DomainError, match="enforce its condition weakly"):
        domain.level(name, [position[0], position[1]])


def test_names_of_faces() -> None:
    assert disk().faces == ("outer",)
    assert annulus().faces == ("inner", "outer")
    holed = polygon(ELL, [TRIANGLE])
    assert holed.faces == tuple(f"edge{k}" for k in range(1, 7)) + tuple(f"hole1.edge{k}" for k in range(1, 4))
    assert holed.resolve("hole1") == ("hole1.edge1", "hole1.edge2", "hole1.edge3")
    # edges go by the order of the vertices, whatever their sense
    for vertices in (ELL, ELL[::-1]):
        for k in range(6):
            ends = np.array([vertices[k], vertices[(k + 1) % 6]], dtype=float)
            rule = polygon(vertices).face(f"edge{k + 1}", 1, 4, 0, 0)
            np.testing.assert_allclose(rule.weights @ rule.points / rule.weights.sum(), ends.mean(axis=0), atol=1e-14)
    nested = difference(box(x=(-2, 2), y=(-2, 0)), union(disk(), disk((1, 0))))
    assert set(nested.faces) == {"part1.x-", "part1.x+", "part1.y-", "part1.y+", "part2.part1.outer", "part2.part2.outer"}
    assert nested.resolve("part2") == ("part2.part1.outer", "part2.part2.outer")
    assert set(nested.resolve("boundary")) == set(nested.faces)
    # what is cut away is no face, and has no points
    assert union(box(x=(0, 1), y=(0, 1)), box(x=(-1, 2), y=(0.5, 2))).resolve("part1") == ("part1.y-", "part1.x+", "part1.x-")
    for refused in ("part1.outer", "edge7", "part3"):
        with pytest.raises(DomainError, match="no face"):
            nested.face(refused, 1, 4, 0, 0)
    with pytest.raises(DomainError, match=r"2 faces: part2.part1.outer, part2.part2.outer; one is needed"):
        nested.face("part2", 1, 4, 0, 0)


def test_normals_of_what_is_cut_away_point_into_the_hole() -> None:
    rule = difference(box(x=(-2, 2), y=(-2, 2)), disk()).face("part2.outer", 1, 16, 0, 0)
    np.testing.assert_allclose(rule.normals, -rule.points, atol=1e-14)


def test_inside_on_a_line_that_two_parts_share() -> None:
    """On the common side of two boxes nothing tells the inside but what is beside it; both ways round."""
    boxes = box(x=(0, 1), y=(0, 1)), box(x=(1, 2), y=(0, 1))
    line = np.array([[1.0, 0.25], [1.0, 0.5]])
    np.testing.assert_allclose(union(*boxes).distance(line), [0.25, 0.5], atol=1e-15)
    plate = box(x=(-1, 3), y=(-1, 2))
    np.testing.assert_allclose(difference(plate, *boxes).distance(line), [-0.25, -0.5], atol=1e-15)


@pytest.mark.parametrize("seed", range(3))
def test_ball_integrates_polynomials_and_meets_the_divergence_theorem(seed: int) -> None:
    domain = ball((1, 2, -1), 2)
    inside, outside = domain.interior(1, 12, 0, 0), domain.face("outer", 1, 12, 0, 0)
    assert inside.weights.sum() == pytest.approx(domain.measure, rel=1e-13)
    assert outside.weights.sum() == pytest.approx(16.0 * math.pi, rel=1e-13)
    assert outside.normals is not None
    np.testing.assert_allclose(outside.points, (1, 2, -1) + 2.0 * outside.normals, atol=1e-14)
    assert 0.5 * 12**3 * math.pi / 6.0 < len(inside.points) < 2.0 * 12**3 * math.pi / 6.0
    # ∫ (x - 1)² = 4π r⁵ / 15, whatever the axis
    np.testing.assert_allclose(inside.weights @ (inside.points - (1, 2, -1)) ** 2, 4.0 * math.pi * 2.0**5 / 15.0, rtol=1e-13)
    a, b = np.random.default_rng(seed).standard_normal((2, 3))
    divergence = inside.weights @ ((inside.points @ a) ** 3 * (a @ b) * 4.0)
    flux = outside.weights @ ((outside.points @ a) ** 4 * (outside.normals @ b))
    assert divergence == pytest.approx(flux, rel=1e-12)
    points = np.random.default_rng(seed).uniform(-3, 4, (50, 3))
    np.testing.assert_allclose(domain.distance(points), 2.0 - np.linalg.norm(points - (1, 2, -1), axis=1), atol=1e-14)
    assert domain.lower == (-1, 0, -3)
    assert domain.upper == (3, 4, 1)


def test_a_cylinder_is_its_base_at_all_times() -> None:
    base = difference(disk(), disk((1, 0)))
    domain = Cylinder(base, 0.5, 2)
    assert domain.coordinates == ("x", "y", "t")
    assert domain.faces == ("part1.outer", "part2.outer", "t-", "t+")
    assert domain.resolve("boundary") == ("part1.outer", "part2.outer")
    inside = domain.interior(2, 10, 0, 0)
    assert inside.weights.sum() == pytest.approx(domain.measure, rel=1e-9)
    assert domain.measure == pytest.approx(1.5 * base.measure, rel=1e-14)
    divergence, flux = inside.weights @ (3.0 * inside.points**2).sum(axis=1), 0.0
    for name in domain.faces:
        rule = domain.face(name, 2, 10, 0, 0)
        assert rule.normals is not None
        np.testing.assert_allclose(domain.distance(rule.points), 0.0, atol=1e-12)
        flux += rule.weights @ (rule.points**3 * rule.normals).sum(axis=1)
    assert divergence == pytest.approx(flux, rel=1e-8)
    # a product's distance: of a box made as a cylinder it is the box's
    tall = Cylinder(polygon([(0, 0), (1, 0), (1, 2), (0, 2)]), 0, 1)
    points = np.random.default_rng(0).uniform(-1, 3, (500, 3))
    np.testing.assert_allclose(tall.distance(points), box(x=(0, 1), y=(0, 2), t=(0, 1)).distance(points), atol=1e-14)
    assert restored(stored(domain)) == domain


def test_a_ball_in_time_has_points_by_their_number() -> None:
    """Above three dimensions rules are asked for by number; that inside is random, those on faces are Gauss rules."""
    domain = Cylinder(ball((1.0, 0.0, 0.0), 2.0), 0.5, 2.0)
    inside = domain.interior(0, 0, 20000, 1)
    assert len(inside.points) >= 20000
    assert domain.contains(inside.points).all()
    assert inside.weights.sum() == pytest.approx(domain.measure, rel=1e-14)
    # ∫ (x - 1)² t = (4π/15) 2⁵ (2² - 0.5²) / 2
    square = (inside.points[:, 0] - 1.0) ** 2 * inside.points[:, 3]
    assert inside.weights @ square == pytest.approx(4.0 * math.pi / 15.0 * 32.0 * 1.875, rel=5e-3)
    areas = {"outer": 16.0 * math.pi * 1.5, "t-": 32.0 * math.pi / 3.0, "t+": 32.0 * math.pi / 3.0}
    for name, area in areas.items():
        rule = domain.face(name, 0, 0, 500, 0)
        assert len(rule.points) >= 500
        assert rule.weights.sum() == pytest.approx(area, rel=1e-12)
        np.testing.assert_allclose(domain.distance(rule.points), 0.0, atol=1e-12)


def test_the_stored_form_is_that_of_files_written_before() -> None:
    here = {"center": [0.0, 1.0], "radii": [2.0, 2.0], "angle": 0.0, "coordinates": ["x", "y"], "type": "ellipse"}
    square = {"corner": [0.0, 0.0], "opposite": [1.0, 1.0], "coordinates": ["x", "y"], "type": "rectangle"}
    whole = {"kind": "union", "parts": [here, square], "coordinates": ["x", "y"], "type": "combination"}
    in_time = {"base": whole, "start": 0.0, "end": 1.0, "type": "cylinder"}
    domain = Cylinder(union(disk((0, 1), 2), box(x=(0, 1), y=(0, 1))), 0.0, 1.0)
    assert stored(domain) == in_time
    assert restored(in_time) == domain


@pytest.mark.parametrize("name", ["disk", "annulus", "ball", "union", "intersection", "difference", "box", "ellipse"])
def test_messages_name_the_type_that_a_problem_file_has(name: str) -> None:
    made: dict[str, Domain] = {
        "ball": ball(),
        "box": box(x=(0, 1)),
        "union": union(NEAR, FAR),
        "disk": disk(),
        "annulus": annulus(),
    }
    made |= {"intersection": intersection(NEAR, FAR), "difference": difference(NEAR, FAR), "ellipse": ellipse((0, 0), (1, 2))}
    assert name in DOMAINS
    assert made[name].type_name == name


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "no radius": (lambda: disk(radius=0), "radius is 0.0; it needs to be positive"),
    "negative radius": (lambda: ellipse((0, 0), (1, -2)), "radius is -2.0; it needs to be positive"),
    "not a number": (lambda: disk((math.nan, 0)), "center is nan, 0; it needs finite numbers"),
    "infinite": (lambda: disk(radius=math.inf), "radius is inf; it needs finite"),
    "angle": (lambda: ellipse((0, 0), (1, 2), math.nan), "angle is nan"),
    "center in space": (lambda: disk((0, 0, 0)), "center has 3 coordinates; it needs two"),
    "three radii": (lambda: ellipse((0, 0), (1, 2, 3)), "radii has 3"),
    "inside out": (lambda: annulus((0, 0), 1, 1), "inner_radius is 1.0 and outer_radius 1.0; the first needs"),
    "two points": (lambda: polygon([(0, 0), (1, 0)]), "2 points; a polygon needs at least three"),
    "bow tie": (lambda: polygon([(0, 0), (1, 1), (1, 0), (0, 1)]), r"self-intersection.*0\.5"),
    "flat": (lambda: polygon([(0, 0), (1, 0), (2, 0)]), "vertices"),
    "point twice": (lambda: polygon([(0, 0), (1, 0), (1, 0), (0, 1)]), "point 3 repeats the one before it"),
    "closed twice": (lambda: polygon([(0, 0), (1, 0), (0, 1), (0, 0)]), "the last point repeats the first"),
    "nan corner": (lambda: polygon([(0, 0), (1, math.nan), (0, 1)]), "vertices, point 2 is 1.0, nan"),
    "hole outside": (lambda: polygon(ELL, [[(5, 5), (6, 5), (5, 6)]]), "hole 1 is not strictly inside"),
    "hole that touches": (lambda: polygon(ELL, [[(0, 0.5), (0.5, 0.2), (0.5, 0.7)]]), "hole 1 is not strictly inside"),
    "holes that meet": (lambda: polygon(ELL, [TRIANGLE, TRIANGLE]), "hole 2 meets hole 1"),
    "empty": (lambda: intersection(disk(), disk((5, 0))), "the intersection of 2 parts is empty"),
    "nothing left": (lambda: difference(disk(), disk(radius=2)), "the difference of 2 parts is empty"),
    "nothing left of itself": (lambda: difference(disk(), disk()), "empty"),
    "touching outside": (lambda: intersection(box(x=(0, 1), y=(0, 1)), box(x=(1, 2), y=(0, 1))), "empty"),
    "one part": (lambda: union(disk()), "union of 1 parts; at least two"),
    "no part": (lambda: union(), "union of 0 parts"),
    "other names": (lambda: union(disk(), disk(coordinates=("r", "z"))), "coordinates r, z and x, y; they need the same"),
    "time": (lambda: union(disk(), box(x=(0, 1), t=(0, 1))), "t not among them"),
    "names": (lambda: disk(coordinates=("x", "x")), "2 different names are needed"),
    "a cube": (lambda: union(disk(), hypercube(3, 0, 1)), "a box of dimension 3 cannot be a part"),
    "no ball": (lambda: ball(radius=-1), "radius is -1.0"),
    "corner in space": (lambda: polygon([(0, 0, 0), (1, 0, 0), (0, 1, 0)]), r"found \(0, 0, 0\); a vertex is \[x, y\]"),
    "flat ball": (lambda: ball((0, 0)), "center has 2 coordinates; it needs three"),
    "box in time": (lambda: Cylinder(box(x=(0, 1)), 0, 1), "a box in time is a box"),
    "twice in time": (lambda: Cylinder(Cylinder(disk(), 0, 1), 0, 1), "the base has time already"),
    "no time": (lambda: Cylinder(disk(), 1, 1), r"interval of t is \[1, 1\]"),
    "endless": (lambda: Cylinder(disk(), 0, math.inf), "interval of t is 0, inf"),
    "no such type": (lambda: restored({"type": "knot"}), "no domain is of type 'knot'; known are box, ellipse"),
    "a key missing": (lambda: restored({"type": "ball", "radius": 1.0}), "a ball has center, coordinates, radius; found"),
    "a ball's triangles in time": (lambda: triangulation(Cylinder(disk(), 0, 1), 0.1), "no triangulation of a cylinder"),
    "no size": (lambda: triangulation(disk(), 0.0), "size is 0.0; it needs to be positive"),
}  # fmt: skip


@pytest.mark.parametrize(("build", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused(build: Callable[[], object], message: str) -> None:
    with pytest.raises(DomainError, match=message):
        build()
