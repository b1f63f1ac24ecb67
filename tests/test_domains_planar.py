"""Planar domains drawn at random, against shapely's polygons of many corners, the divergence theorem, and each other."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import pdekan as pk
from pdekan.domains.base import DomainError
from pdekan.domains.box import Box, box
from pdekan.domains.combinations import Combination, difference, intersection, planar, union
from pdekan.domains.cylinder import Cylinder
from pdekan.domains.planar import Planar
from pdekan.domains.quadrature import Quadrature
from pdekan.domains.registry import restored, stored
from pdekan.domains.shapes import Annulus, Ellipse, Polygon, annulus, disk, ellipse, polygon
from pdekan.domains.triangulation import triangulation

CORNERS = 2000
few = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)

# tenths make parts touch, share edges and pass through each other's corners; other numbers make them meet anyhow
tenths = st.integers(-10, 10).map(lambda k: k / 10)
places = st.one_of(tenths, st.floats(-1.0, 1.0))
lengths = st.one_of(st.integers(2, 12).map(lambda k: k / 10), st.floats(0.2, 1.2))
points = st.tuples(places, places)


@st.composite
def polygons(draw: st.DrawFn) -> Polygon:
    """Star-shaped about a point, in either sense, perhaps with a hole."""
    (x, y), n, rounds = draw(points), draw(st.integers(3, 7)), draw(st.sampled_from([1.0, -1.0]))
    angles = rounds * 2.0 * np.pi * (np.arange(n) + np.array(draw(st.lists(st.floats(0.0, 0.4), min_size=n, max_size=n)))) / n
    radii = np.array(draw(st.lists(st.floats(0.4, 1.0), min_size=n, max_size=n)))
    corners = np.stack([x + radii * np.cos(angles), y + radii * np.sin(angles)], axis=1)
    hole = 0.25 * (corners - (x, y)) + (x, y)
    return polygon(corners.tolist(), [hole.tolist()] if draw(st.booleans()) else [])


shapes = st.one_of(
    st.builds(disk, points, lengths),
    st.builds(ellipse, points, st.tuples(lengths, lengths), st.sampled_from([0.0, 0.5, 1.0, math.pi / 2])),
    st.builds(lambda center, r, more: annulus(center, r, r + more), points, lengths, lengths),
    st.builds(lambda p, a, b: box(x=(p[0], p[0] + a), y=(p[1], p[1] + b)), points, lengths, lengths),
    polygons(),
)


@st.composite
def combined(draw: st.DrawFn, parts: st.SearchStrategy[Planar | Box]) -> Planar:
    combine: Callable[..., Combination] = draw(st.sampled_from([union, intersection, difference]))
    try:
        return combine(*draw(st.lists(parts, min_size=2, max_size=3)))
    except DomainError as error:
        assume("empty" not in str(error) and "almost touch" not in str(error))
        raise


def trees() -> st.SearchStrategy[Planar]:
    return st.one_of(shapes.map(planar), combined(shapes), combined(st.one_of(shapes, combined(shapes))))


def outline(domain: Planar) -> shapely.Geometry:
    """The domain as shapely has it, with curves of many corners, from its definition alone."""
    turn = np.linspace(0.0, 2.0 * np.pi, CORNERS, endpoint=False)
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    if isinstance(domain, Ellipse):
        c, s = math.cos(domain.angle), math.sin(domain.angle)
        return shapely.Polygon(circle * domain.radii @ [[c, s], [-s, c]] + domain.center)
    if isinstance(domain, Annulus):
        return shapely.Polygon(domain.center + domain.outer_radius * circle, [domain.center + domain.inner_radius * circle])
    if isinstance(domain, Polygon):
        return shapely.Polygon(domain.vertices, domain.holes)
    if not isinstance(domain, Combination):
        return shapely.box(*domain.lower, *domain.upper)
    first, *rest = map(outline, domain.parts)
    for other in rest:  # on a grid, where lines that agree but for round-off are one
        first = getattr(shapely, domain.kind)(first, other, grid_size=1e-9)
    return first


def faces(domain: Planar, count: int) -> Quadrature:
    rules = [domain.face(name, 1, count, 0, 0) for name in domain.faces]
    return Quadrature(*(np.concatenate([getattr(rule, part) for rule in rules]) for part in ("points", "weights", "normals")))


@few
@given(trees())
def test_area_perimeter_and_inside_are_shapelys(domain: Planar) -> None:
    shape, size = outline(domain), domain.size
    assert domain.measure == pytest.approx(shape.area, abs=1e-4)
    regions = shapely.MultiPolygon([part for part in shapely.get_parts(shape) if isinstance(part, shapely.Polygon)])
    rule = faces(domain, 96)
    assert rule.weights.sum() == pytest.approx(regions.length, abs=1e-4)
    np.testing.assert_allclose(shapely.distance(regions.boundary, shapely.points(rule.points)), 0.0, atol=1e-5)
    sample = np.random.default_rng(0).uniform(np.subtract(domain.lower, 0.3 * size), np.add(domain.upper, 0.3 * size), (200, 2))
    distance = shapely.distance(regions.boundary, shapely.points(sample))
    inside = shapely.contains_xy(regions, sample)
    np.testing.assert_allclose(domain.distance(sample), np.where(inside, distance, -distance), atol=1e-5)
    clear = distance > 1e-5
    np.testing.assert_array_equal(domain.contains(sample)[clear], inside[clear])


@few
@given(trees(), st.integers(0, 2**20))
def test_divergence_theorem(domain: Planar, seed: int) -> None:
    """∫ div F = ∮ F · n for F = (p, q), random cubics: it fails for a wrong weight, a turned normal, a forgotten arc."""
    coefficients = np.random.default_rng(seed).uniform(-1.0, 1.0, (2, 4, 4))

    def value(rule: Quadrature, k: int, c: np.ndarray) -> np.ndarray:
        return np.asarray(np.polynomial.polynomial.polyval2d(*rule.points.T, c))

    inside, around = domain.interior(4, 16, 0, 0), faces(domain, 64)
    assert around.normals is not None
    slopes = [np.polynomial.polynomial.polyder(coefficients[k], axis=k) for k in range(2)]
    divergence = inside.weights @ sum(value(inside, k, slopes[k]) for k in range(2))
    flux = around.weights @ sum(value(around, k, coefficients[k]) * around.normals[:, k] for k in range(2))
    assert divergence == pytest.approx(flux, abs=1e-4)
    assert inside.weights.sum() == pytest.approx(domain.measure, abs=1e-5)


@few
@given(trees())
def test_points_are_inside_weights_positive_normals_outward_and_their_number_is_asked_for(domain: Planar) -> None:
    inside, around = domain.interior(3, 16, 0, 0), faces(domain, 16)
    assert around.normals is not None
    assert (inside.weights > 0.0).all()
    assert (around.weights > 0.0).all()
    assert domain.distance(inside.points).min() > -1e-9 * domain.size
    assert (inside.points > domain.lower).all()
    assert (inside.points < domain.upper).all()
    share = domain.measure / np.prod(np.subtract(domain.upper, domain.lower))
    assert len(inside.points) < 48**2 * share * 3 + 2000
    assert np.abs(domain.distance(around.points)).max() < 1e-9
    np.testing.assert_allclose(np.linalg.norm(around.normals, axis=1), 1.0, atol=1e-14)
    # against the gradient of the distance, where the nearest point of the boundary is the one stepped away from
    step = 1e-4
    change = domain.distance(around.points + step * around.normals) - domain.distance(around.points - step * around.normals)
    near = np.abs(change + 2.0 * step) < 1e-9
    assert near.mean() > 0.9
    assert (change[~near] > -2.0 * step).all()


@few
@given(trees())
def test_a_domain_comes_back_from_json(domain: Planar) -> None:
    again = restored(json.loads(json.dumps(stored(domain))))
    assert again == domain
    assert again.faces == domain.faces
    np.testing.assert_array_equal(again.interior(1, 4, 0, 0).points, domain.interior(1, 4, 0, 0).points)


@few
@given(trees())
def test_triangulations_fill_the_domain_and_their_edges_are_as_long_as_asked(domain: Planar) -> None:
    size = 0.1 * domain.size
    corners, cells = triangulation(domain, size)
    edges = corners[cells][:, [1, 2, 0]] - corners[cells]
    areas = 0.5 * (edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0])
    assert (areas > 0.0).all()
    assert np.linalg.norm(edges, axis=2).max() < 2.5 * size
    perimeter = faces(domain, 16).weights.sum()
    straight = all(arc.branches is None for arc in domain.arcs)
    # a chord of length h on a circle of radius r cuts off h³ / 12 r, and edges span no more than 30 degrees
    assert areas.sum() == pytest.approx(domain.measure, abs=1e-12 if straight else perimeter * size * 0.05)
    assert np.abs(domain.distance(corners)[np.abs(domain.distance(corners)) < 0.3 * size]).max() < 1e-6


def test_corners_are_where_faces_meet() -> None:
    triangle, hole = [(0.0, 0.0), (4.0, 0.0), (0.0, 4.0)], [(1.0, 1.0), (1.0, 2.0), (2.0, 1.0)]
    shape = polygon(triangle, holes=[hole])
    assert {tuple(point) for point in shape.corners.tolist()} == {*triangle, *hole}
    in_time = Cylinder(shape, 1.0, 2.0).corners
    assert {tuple(point) for point in in_time.tolist()} == {(*point, t) for point in (*triangle, *hole) for t in (1.0, 2.0)}
    assert box(x=(0.0, 1.0), t=(2.0, 3.0)).corners.tolist() == [[0.0, 2.0], [0.0, 3.0], [1.0, 2.0], [1.0, 3.0]]
    assert pk.ball(center=(0.0, 0.0, 0.0), radius=1.0).corners.shape == (0, 3)


def test_curves_that_almost_touch_are_refused() -> None:
    """Which side is which there is decided by round-off: the area would be 0.14 instead of 0.23."""
    with pytest.raises(DomainError, match="almost touch"):
        intersection(annulus((0, 0.5), 0.2, 0.7), annulus((0, 1e-12), 0.2, 0.4))


def coast(count: int) -> Polygon:
    """A wavy closed line of many corners about the origin."""
    angles = 2.0 * np.pi * np.arange(count) / count
    radii = 1.0 + 0.1 * np.cos(10.0 * angles)
    return polygon([(r * math.cos(a), r * math.sin(a)) for r, a in zip(radii, angles, strict=True)])


def test_a_polygon_of_many_edges_has_as_many_points_as_one_of_few() -> None:
    """Columns across many narrow strips: the area is exact, and integrals of smooth functions converge with the spacing."""
    fine = coast(2000)
    errors = []
    for cells in (4, 16):
        rule = fine.interior(cells, 5, 0, 0)
        assert len(rule.points) < 8 * (cells * 5) ** 2  # each strip alone would have up to thirty times more
        assert rule.weights.sum() == pytest.approx(fine.measure, rel=1e-13)
        assert (rule.weights > 0.0).all()
        assert shapely.contains_xy(fine._shape, rule.points).all()
        # ∫ |x|² = ∮ |x|² x·n / 4 by the divergence theorem
        boundary = [fine.face(face, 1, 2, 0, 0) for face in fine.faces]
        x, w, n = (np.concatenate([getattr(one, part) for one in boundary]) for part in ("points", "weights", "normals"))
        known = w @ ((x * n).sum(axis=1) * (x**2).sum(axis=1)) / 4.0
        errors.append(abs(rule.weights @ (rule.points**2).sum(axis=1) - known) / known)
    assert errors[0] < 1e-2
    assert errors[1] < 1e-4


def test_the_nearest_of_many_edges() -> None:
    """Against each of them alone, the first of several at the same distance; far away, and for points that are not finite."""
    shape = polygon([(0, 0), (2, 0), (2, 1), (1, 0.5), (0, 1), (0, 0.5), (0.7, 0.5), (0, 0.5)])  # with a slit
    around = np.random.default_rng(0).uniform(-1.0, 3.0, (300, 2))
    around = np.concatenate([around, [[2.0, 1.0], [0.3, 0.5], [1e6, 0.0], [np.nan, 0.0], [np.inf, 1.0]]])
    distance, normals = shape.nearest(around)
    each = np.stack([arc.distance(around[:-2]) for arc in shape.arcs])
    np.testing.assert_allclose(distance[:-2], each.min(axis=0), rtol=1e-12, atol=1e-15)
    assert np.isinf(distance[-2:]).all()
    clear = np.sort(each, axis=0)[1] > each.min(axis=0) + 1e-9
    expected = np.stack([arc.normal(0.0)[0] for arc in shape.arcs])[each.argmin(axis=0)]
    np.testing.assert_allclose(normals[:-2][clear], expected[clear], atol=1e-12)


def test_conditions_on_many_faces_are_one_term() -> None:
    shape = coast(200)
    problem = pk.Problem(shape, lambda u: pk.laplacian(u), 1.0, [pk.dirichlet(0.0)])
    (one,) = problem.conditions[0].requirements(problem)
    assert one.faces == shape.faces
