"""Where a time begins and values on a face contradict the equation: the solution is less smooth there."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from pdekan.domains.box import TENSOR_DIMENSIONS, Box
from pdekan.fields.jets import TIME, Frame, Jet
from pdekan.problems.formulas import Field
from pdekan.problems.problem import Problem

SAME = 1e-6  # relative to the sizes of values
HARMLESS = 1e-3  # relative to the sizes of the equation's terms: smaller jumps of derivatives are not felt
POINTS = (0.31, 0.62)  # along an edge, as a share of its length
Face = tuple[int, float]  # its axis and where on it


def contradictions_at_corners(problem: Problem, values: Mapping[str, Field]) -> Iterator[str]:
    """Sentences on where initial values and values on a face leave the equation unsatisfied. values: by face.

    Where u = g on t = a and u = h on x = b, and g = h where they meet, every smooth u has the derivatives by t and by x there
    of w = g + h - g(corner). Where L(w) ≠ f derivatives of the equation's order are not continuous (Ladyzhenskaya, Solonnikov
    and Uraltseva, Linear and Quasi-linear Equations of Parabolic Type, 1968, section IV.5). Mixed derivatives are not known by
    g and h: equations with them are left out. (Corners of space have functions of their own, see `cells.corners`.)
    """
    domain = problem.domain
    if not isinstance(domain, Box) or not 2 <= domain.dimension <= TENSOR_DIMENSIONS:
        return
    known = len(problem.unknowns) == len(problem.equations) == 1 and not problem.parameters and not problem.interfaces
    if not known or TIME not in domain.coordinates or problem.ranges:
        return
    time = domain.coordinates.index(TIME)
    found = []
    for (one, g), (other, h) in itertools.combinations(((_place(domain, face), value) for face, value in values.items()), 2):
        if (one[0] == time) != (other[0] == time) and (at := _contradiction(problem, one, other, g, h)) is not None:
            found.append(at)
    if found:
        where = "; ".join(dict.fromkeys(found[:2])) + (f" and {len(found) - 2} more" if len(found) > 2 else "")
        yield (
            f"initial and boundary values contradict the equation where they meet ({where}): its highest derivatives jump "
            "there, and errors fall slowly unless `pdekan check` says that functions are added for it"
        )


def _place(domain: Box, face: str) -> Face:
    axis = domain.coordinates.index(face[:-1])
    return axis, float((domain.lower if face[-1] == "-" else domain.upper)[axis])


def _coordinates(problem: Problem, frame: Frame, points: Tensor, held: Mapping[int, float]) -> dict[str, Jet]:
    """The jets of the coordinates, those of some axes held constant."""
    names = problem.domain.coordinates
    jets = {name: frame.coordinate(points, k) for k, name in enumerate(names)}
    return jets | {names[k]: frame.constant(value, points) for k, value in held.items()}


def _contradiction(problem: Problem, one: Face, other: Face, g: Field, h: Field) -> str | None:
    """Where two faces meet and the equation does not hold, None where it does."""
    domain, (equation,) = problem.domain, problem.equations
    ends = zip(domain.lower, domain.upper, strict=True)
    inside = torch.tensor([[a + share * (b - a) for share in POINTS] for a, b in ends], dtype=torch.float64).T
    points = inside.clone()
    for axis, value in (one, other):
        points[:, axis] = value
    level = problem.level_of(equation.operator, points)
    frame = Frame(domain.coordinates, level)

    def extended(formula: Field, *faces: Face, at: Tensor = points) -> Jet:
        return formula(_coordinates(problem, frame, at, dict(faces)))

    corner = extended(g, one, other)
    gap = (corner.value - extended(h, one, other).value).abs().max()
    if gap > SAME * max(1.0, float(corner.value.abs().max())):
        return None  # there the values disagree, which is said elsewhere
    w = extended(g, one) + extended(h, other) - corner
    bubble = (frame.coordinate(points, one[0]) - one[1]) * (frame.coordinate(points, other[0]) - other[1])

    def left(u: Jet) -> Tensor:
        return equation.operator(problem.environment(points, level, None, {problem.unknowns[0]: u})).value

    def right(at: Tensor) -> Tensor:
        return problem.right_hand_side(equation.source, equation.operator, at, level, None)

    known, stated = left(w), right(points)
    jets = (w, extended(g, one, at=inside), extended(h, other, at=inside))
    parts = (known, stated, right(inside), *(part for u in jets for part in (u.value, u.gradient, u.second)))
    size = max(float(part.abs().max()) for part in parts if part is not None)
    if not bool(torch.equal(left(w + bubble), known)) or not float((known - stated).abs().max()) > HARMLESS * size:
        return None
    names = domain.coordinates
    k = int((known - stated).abs().argmax())
    where = f"{names[one[0]]} = {one[1]:g}, {names[other[0]]} = {other[1]:g}"
    return f"{where}: {known[k]:.3g} by the conditions, {stated[k]:.3g} by the source"
