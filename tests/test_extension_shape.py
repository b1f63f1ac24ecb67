"""Shapes from outside of the package: a class, a function and one entry of the registry are all that a new one needs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pytest
from annotated_types import Gt
from numpy.typing import NDArray
from scipy.integrate import quad

from pdekan.domains.arcs import Arc, EllipseArc, Segment
from pdekan.domains.cylinder import Cylinder
from pdekan.domains.planar import PLANE, Planar
from pdekan.domains.quadrature import Array
from pdekan.domains.registry import DOMAINS, restored, stored
from pdekan.domains.validation import STATED, Pair, Point, Radius, point, positive
from pdekan.problem_files.loader import ProblemFileError, json_schema, loads


@dataclass(frozen=True)
class Stadium(Planar):
    """The points within `radius` of a segment of a length along x; faces "bottom", "right", "top" and "left"."""

    center: Point
    length: float
    radius: float

    def __post_init__(self) -> None:
        positive("length", self.length)
        super().__post_init__()

    def _ends(self) -> tuple[float, float, float]:
        x, y = self.center
        return x - 0.5 * self.length, x + 0.5 * self.length, y

    def _outline(self) -> Iterator[Arc]:
        (left, right, y), r, quarter = self._ends(), self.radius, 0.5 * math.pi
        yield Segment("bottom", (left, y - r), (right, y - r))
        yield EllipseArc("right", (right, y), (r, 0.0), (0.0, r), -quarter, quarter)
        yield Segment("top", (right, y + r), (left, y + r))
        yield EllipseArc("left", (left, y), (r, 0.0), (0.0, r), quarter, 3.0 * quarter)

    def _inside(self, points: Array) -> NDArray[np.bool_]:
        left, right, y = self._ends()
        return np.asarray(np.hypot(points[:, 0] - np.clip(points[:, 0], left, right), points[:, 1] - y) < self.radius)


def stadium(
    center: Pair = (0.0, 0.0),
    length: Annotated[float, Gt(0), STATED, "of the straight sides"] = 1.0,
    radius: Radius = 1.0,
    coordinates: tuple[str, ...] = PLANE,
) -> Stadium:
    """A rectangle between two half-disks.

    Only the first paragraph describes the table.
    """
    return Stadium(point("center", center), float(length), float(radius), coordinates=coordinates)


@dataclass(frozen=True)
class Square(Planar):
    """A square in the first quadrant."""

    side: Annotated[float, Gt(0)] = 1.0

    def _outline(self) -> Iterator[Arc]:
        corners = [(0.0, 0.0), (self.side, 0.0), (self.side, self.side), (0.0, self.side)]
        return (Segment(f"edge{k + 1}", corners[k], corners[(k + 1) % 4]) for k in range(4))

    def _inside(self, points: Array) -> NDArray[np.bool_]:
        return np.asarray(((points > 0.0) & (points < self.side)).all(axis=1))


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DOMAINS, "stadium", stadium)
    monkeypatch.setitem(DOMAINS, "square", Square)


def text(table: str) -> str:
    return f"""
schema = 1
name = "shape"
[equation]
operator = "laplacian(u)"
source = "1"
[[conditions]]
type = "dirichlet"
[domain]
{table}
"""


def test_a_file_has_the_shape_alone_in_time_as_a_part_and_as_an_interface() -> None:
    here = 'type = "stadium"\ncenter = [1, 2]\nlength = 3\nradius = 0.5'
    assert loads(text(here)).domain == stadium((1, 2), 3, 0.5)
    assert loads(text('type = "stadium"\nlength = 3\nradius = 1')).domain == Stadium((0.0, 0.0), 3.0, 1.0)
    assert loads(text(f"{here}\nt = [0, 2]")).domain == Cylinder(stadium((1, 2), 3, 0.5), 0, 2)
    parts = '[{type = "stadium", length = 2, radius = 1}, {type = "square", side = 0.5}]'
    cut = loads(text(f'type = "difference"\nparts = {parts}')).domain
    assert cut.measure == pytest.approx(math.pi + 4.0 - 0.25, rel=1e-13)
    assert "part2.edge2" in cut.faces
    inner = '[domain.interfaces]\ninner = {type = "square"}'
    assert loads(text(f'type = "disk"\nradius = 2\n{inner}')).interfaces == {"inner": Square(1.0)}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("length = 1", "domain.radius: is missing"),
        ("radius = 1", "domain.length: is missing"),
        ("length = 1\nradius = 0", "domain.radius: found 0; it must be above 0"),
        ("length = -1\nradius = 1", "domain.length: found -1; it must be above 0"),
        ("length = 1\nradius = 1\ncenter = [0]", r"domain.center: found \[0\]; it must be at least 2 long"),
        (
            "length = 1\nradius = 1\nwidth = 1",
            "domain.width: unknown key; .* t, interfaces, motion, type, center, length, radius",
        ),
        ('length = "1"\nradius = 1', 'domain.length: found "1", expected a finite number'),
    ],
)
def test_what_is_wrong_with_its_table_is_refused(table: str, message: str) -> None:
    with pytest.raises(ProblemFileError, match=message):
        loads(text(f'type = "stadium"\n{table}'))


def test_the_json_schema_describes_it() -> None:
    described = json_schema()["$defs"]["Stadium"]
    assert described["description"] == "A rectangle between two half-disks."
    assert described["properties"]["length"]["description"] == "of the straight sides"
    assert described["properties"]["radius"]["exclusiveMinimum"] == 0
    assert described["properties"]["center"]["default"] == [0.0, 0.0]
    assert described["required"] == ["type", "length", "radius"]


def test_a_shape_that_is_registered_no_longer_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    loads(text('type = "square"'))
    monkeypatch.delitem(DOMAINS, "square")
    with pytest.raises(ProblemFileError, match=r"domain: type 'square' is unknown; the types are box, .*stadium"):
        loads(text('type = "square"'))


@pytest.mark.parametrize("domain", [stadium((1, 2), 3, 0.5), Square(2.0), Cylinder(stadium(), 0.0, 1.0)])
def test_it_comes_back_from_json(domain: object) -> None:
    assert restored(json.loads(json.dumps(stored(domain)))) == domain  # type: ignore[arg-type]


def test_its_quadrature() -> None:
    domain, (length, r) = stadium((1.0, 0.5), 3.0, 0.5), (3.0, 0.5)
    assert domain.measure == pytest.approx(math.pi * r**2 + 2.0 * r * length, rel=1e-14)
    rule = domain.interior(4, 16, 0, 0)
    assert rule.weights.sum() == pytest.approx(domain.measure, rel=1e-10)

    def column(x: float) -> float:
        """The integral of exp(x) (y - 0.5)² along a vertical."""
        beside = max(abs(x - 1.0) - 0.5 * length, 0.0)
        return math.exp(x) * 2.0 / 3.0 * (r * r - beside * beside) ** 1.5

    exact, _ = quad(column, -1.0, 3.0, points=[-0.5, 2.5], epsabs=1e-13)
    assert rule.weights @ (np.exp(rule.points[:, 0]) * (rule.points[:, 1] - 0.5) ** 2) == pytest.approx(exact, rel=1e-9)
    flux = 0.0  # of the position, whose divergence is 2
    for name in domain.faces:
        side = domain.face(name, 4, 16, 0, 0)
        assert side.normals is not None
        flux += side.weights @ (side.points * side.normals).sum(axis=1)
    assert flux == pytest.approx(2.0 * domain.measure, rel=1e-12)
