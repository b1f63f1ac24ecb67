"""Jumps of the formulas of a problem, found by looking: values along lines, and bisection where they differ.

At points beside a jump of k the derivatives of k*grad(u) are those of either side: that the flux is continuous is lost, unless
the jump is declared as an interface. Sources and coefficients outside of derivatives may jump; the solution is less smooth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from pdekan.fields.jets import Derivatives, Frame, Jet
from pdekan.problems.formulas import EXACT, Field, ProblemError, RightHandSide
from pdekan.problems.jump_surfaces import Jumps, Surface, at, declaration, surfaces
from pdekan.problems.narrow_regions import NARROW, Differences, Region, narrow_regions
from pdekan.problems.problem import Equation, Problem

# Values ``(n, c)`` at points ``(n, d)``; column j is looked at along the coordinates in row j of a mask ``(c, d)``.
Values = Callable[[Tensor], tuple[Tensor, Tensor]]
SHOWN = 4  # surfaces in a message
# Trial functions of unknowns: their size in the middle; they vary by about a fifth of it.
TRIALS = ((0.7, 1.9), (-0.7, -1.9))
GOLDEN = 0.5 * (math.sqrt(5.0) - 1.0)
POLE = {12: 1.5, 59: 20.0}  # after so many golden sections values are so many times larger, at a pole of an order above 0.1
LINES, POINTS = (1, 24, 24, 12, 8, 4), (193, 65, 33, 25, 17, 13)  # lines along each axis by dimension, points on each
HALVINGS, FINE = 28, 40  # of an interval; where values without a limit count too
EARLY = 14  # halvings, after which the difference is compared with that at the end: at a jump they are equal
LEAST = 1e-4  # of a jump, relative to the values beside it
NEAR = 1e-7  # points so near to each other, or to an interface, are the same, relative to the domain's size
MOST = 10  # dimensions above which nothing is looked at: a hundred would take 14 seconds


@dataclass(frozen=True)
class _Watching(Frame):
    """Notes what operators differentiate, and what comparisons ask the sign of."""

    differentiated: list[tuple[Tensor, list[int]]] = field(default_factory=list, compare=False)
    compared: list[Tensor] = field(default_factory=list, compare=False)

    def differentiates(self, values: Tensor, columns: list[int]) -> None:
        """Note values, and the columns of the coordinates by which they are differentiated."""
        self.differentiated.append((values, columns))

    def compares(self, difference: Tensor) -> None:
        """Note a difference whose sign is asked for."""
        self.compared.append(difference)


def coefficient_jumps(problem: Problem, equation: Equation) -> Jumps:
    """Points away from interfaces at which what an equation differentiates jumps, whatever the unknowns are."""
    if equation.operator.is_entire:
        return _none(problem)
    return _same_for_both(problem, lambda trial: _differentiated(problem, equation.operator, trial))


def data_jumps(problem: Problem, equation: Equation) -> Jumps:
    """Points away from interfaces at which an equation's source, or its operator at smooth unknowns, jumps."""
    if _is_entire(equation, ()):
        return _none(problem)
    return _same_for_both(problem, lambda trial: _residual(problem, equation, trial))


def data_singularities(problem: Problem, equation: Equation) -> Jumps:
    """Points as those of `data_jumps`, and those at which values have no limit."""
    if _is_entire(equation, problem.exact_fields.values()):
        return _none(problem)
    return _same_for_both(problem, lambda trial: _residual(problem, equation, trial, True), unbounded=True)


def _is_entire(equation: Equation, exact: Iterable[Field]) -> bool:
    """Whether the operator is entire, and the source or the exact fields that it is computed from."""
    source = exact if isinstance(equation.source, RightHandSide) else (equation.source,)
    return equation.operator.is_entire and all(one.is_entire for one in source)


def _none(problem: Problem) -> Jumps:
    return Jumps(torch.empty(0, problem.domain.dimension, dtype=torch.float64), torch.empty(0, dtype=torch.int64))


def _same_for_both(problem: Problem, values: Callable[[float], Values], unbounded: bool = False) -> Jumps:
    """The jumps that two trial functions have in common: others are jumps of functions of the unknowns."""
    for sizes in TRIALS if problem.domain.dimension <= MOST else ():
        try:
            first = _jumps(problem, values(sizes[0]), unbounded)
            second = _jumps(problem, values(sizes[1]), unbounded) if len(first) else first
        except _NotFiniteError:
            continue
        if not len(second):
            return second
        size = first.points.new_tensor(problem.domain.upper) - first.points.new_tensor(problem.domain.lower)
        apart = torch.cdist(first.points / size, second.points / size).min(dim=1).values
        return _undeclared(problem, first[apart < NEAR])
    return _none(problem)


class _NotFiniteError(ProblemError):
    """A formula that has no finite value at a trial function."""


def _undeclared(problem: Problem, jumps: Jumps) -> Jumps:
    """The points that lie on no declared interface."""
    for shape in problem.interfaces.values():
        if len(jumps):
            apart = torch.as_tensor(shape.distance(jumps.points.numpy())).abs()
            jumps = jumps[apart > NEAR * problem.domain.size]
    return jumps


def _environment(problem: Problem, points: Tensor, frame: Frame, trial: float) -> dict[str, Any]:
    """Coordinates, quadratic unknowns with slopes of their own, and parameters at their initial values."""
    domain = problem.domain
    position = [frame.coordinate(points, k) for k in range(domain.dimension)]
    sought = {}
    for j, name in enumerate(problem.unknowns):
        u = frame.constant(trial * (1.0 + 0.1 * j), points)
        for k, (x, a, b) in enumerate(zip(position, domain.lower, domain.upper, strict=True)):
            slope = trial * (1.0 + 0.3 * ((3 * j + 2 * k) % 5)) / (5.0 * domain.dimension)
            place = (x - 0.5 * (a + b)) * (2.0 / (b - a))
            u = u + (place + place * place * 0.3) * slope
        sought[name] = u
    sought |= {name: frame.constant(one.initial, points) for name, one in problem.parameters.items()}
    known = problem.environment(points, frame.level, None, sought)
    return {name: replace(one, frame=frame) if isinstance(one, Jet) else one for name, one in known.items()}


def _differentiated(problem: Problem, operator: Field, trial: float) -> Values:
    """The values that an operator differentiates at trial functions."""
    level = problem.level_of(operator, middle(problem))

    def at(points: Tensor) -> tuple[Tensor, Tensor]:
        """Values that are differentiated ``(n, c)``, and by which coordinates ``(c, d)``."""
        frame = _Watching(problem.domain.coordinates, level)
        operator(_environment(problem, points, frame, trial))
        columns, masks = [], []
        for values, by in frame.differentiated:
            wide = values if values.ndim > 1 else values[:, None].expand(-1, len(by))
            columns.append(wide)
            masks.append(torch.eye(problem.domain.dimension, dtype=torch.bool)[by])
        if not columns:
            return points[:, :0], torch.zeros(0, problem.domain.dimension, dtype=torch.bool)
        return torch.cat(columns, dim=1), torch.cat(masks)

    return at


def _residual(problem: Problem, equation: Equation, trial: float, manufactured: bool = False) -> Values:
    """The values of an operator at trial functions, and of its source where it is a formula, or that of the exact solution."""
    everywhere = torch.ones(1, problem.domain.dimension, dtype=torch.bool)
    level = problem.level_of(equation.operator, middle(problem))

    def at(points: Tensor) -> tuple[Tensor, Tensor]:
        """Values of the operator and the source ``(n, c)``, of interest along all axes ``(c, d)``."""
        frame = Frame(problem.domain.coordinates, level)
        columns = [equation.operator(_environment(problem, points, frame, trial)).value]
        if manufactured or equation.source is not EXACT:
            order = level if equation.source is EXACT else Derivatives.VALUE
            columns.append(problem.right_hand_side(equation.source, equation.operator, points, order, None))
        return torch.stack(columns, dim=1), everywhere.expand(len(columns), -1)

    return at


def middle(problem: Problem) -> Tensor:
    """The middle of the domain's box ``(1, d)``."""
    return torch.tensor([problem.domain.lower, problem.domain.upper], dtype=torch.float64).mean(0, keepdim=True)


@torch.no_grad()
def _jumps(problem: Problem, values: Values, unbounded: bool) -> Jumps:
    """Points at which values jump along lines parallel to the axes."""
    found = [_jumps_along(problem, k, values, unbounded) for k in range(problem.domain.dimension)]
    return Jumps(torch.cat(found), torch.repeat_interleave(torch.tensor([len(points) for points in found])))


def _jumps_along(problem: Problem, k: int, values: Values, unbounded: bool) -> Tensor:
    """The jumps along lines parallel to axis k."""
    lines = _lines(problem, k)
    count, n, d = lines.shape
    inside = torch.as_tensor(problem.domain.contains(lines.reshape(-1, d).numpy())).reshape(count, n)
    at_points, mask = values(lines.reshape(-1, d)[inside.flatten()])
    wanted = torch.nonzero(mask[:, k]).flatten()
    if not len(wanted):
        return lines.new_empty(0, d)
    heights = lines.new_full((count * n, len(wanted)), torch.nan)
    heights[inside.flatten()] = at_points[:, wanted]
    if not bool(at_points.isfinite().any(dim=0).all()):
        raise _NotFiniteError("no finite value")
    steps = heights.reshape(count, n, -1).diff(dim=1)
    largest = at_points[:, wanted].abs().nan_to_num(0.0, 0.0, 0.0).max(dim=0).values
    line, place, column = torch.nonzero(steps.abs() > 1e-9 * largest, as_tuple=True)
    found = _bisected(torch.stack([lines[line, place], lines[line, place + 1]]), wanted[column], values, unbounded)
    if not unbounded:
        return found
    sizes = heights.reshape(count, n, -1).abs()
    line, place, column = torch.nonzero((sizes[:, 1:-1] >= sizes[:, :-2]) & (sizes[:, 1:-1] >= sizes[:, 2:]), as_tuple=True)
    return torch.cat([found, _poles(torch.stack([lines[line, place], lines[line, place + 2]]), wanted[column], values)])


def _lines(problem: Problem, k: int) -> Tensor:
    """Points ``(lines, n, d)`` on lines parallel to axis k, one through each stratum of every other coordinate."""
    domain = problem.domain
    place = min(domain.dimension, len(LINES)) - 1
    count, n = LINES[place], POINTS[place]
    base = stratified(domain.dimension, count, k)
    lower, upper = base.new_tensor(domain.lower), base.new_tensor(domain.upper)
    points = base[:, None, :].repeat(1, n, 1)
    points[:, :, k] = torch.linspace(1e-6, 1.0 - 1e-6, n, dtype=torch.float64)
    return lower + points * (upper - lower)


def stratified(dimension: int, count: int, seed: int) -> Tensor:
    """Random points ``(count, d)`` of the unit cube, one in each stratum of every coordinate."""
    generator = torch.Generator().manual_seed(seed)
    strata = torch.stack([torch.randperm(count, generator=generator) for _ in range(dimension)], dim=1)
    return (strata + torch.rand(count, dimension, generator=generator, dtype=torch.float64)) / count


def _bisected(ends: Tensor, column: Tensor, values: Values, unbounded: bool) -> Tensor:
    """The points at which a column of values jumps between the ends ``(2, n, d)`` of intervals."""

    def at(points: Tensor) -> Tensor:
        return values(points)[0].gather(1, column[:, None])[:, 0]

    if not len(column):
        return ends[0]
    a, b = ends
    low, high = at(a), at(b)
    early = (high - low).abs()
    for step in range(FINE if unbounded else HALVINGS):
        middle = 0.5 * (a + b)
        height = at(middle)
        left = (height - low).abs() >= (high - height).abs()
        a, b = torch.where(left[:, None], a, middle), torch.where(left[:, None], middle, b)
        low, high = torch.where(left, low, height), torch.where(left, height, high)
        difference, size = (high - low).abs(), torch.maximum(low.abs(), high.abs())
        early = difference if step == EARLY else early
        kept = difference > LEAST * size  # also without what is not finite
        if not bool(kept.all()):
            a, b, low, high, column, early = (one[kept] for one in (a, b, low, high, column, early))
        if not len(column):
            break
    growth = (high - low).abs() / early
    same = (growth > 0.5) & (unbounded | (growth < 2.0))
    found: Tensor = (0.5 * (a + b))[same]
    return found


def _poles(ends: Tensor, column: Tensor, values: Values) -> Tensor:
    """The points between the ends ``(2, n, d)`` of intervals at which a column of values goes to infinity on both sides.

    The largest value is found by golden sections.
    """

    def at(points: Tensor) -> Tensor:
        return values(points)[0].gather(1, column[:, None])[:, 0].abs().nan_to_num(math.inf)

    a, b = ends
    early = a[:, 0]
    for step in range(max(POLE) + 1):
        if not len(column):
            break
        p, q = b - GOLDEN * (b - a), a + GOLDEN * (b - a)
        low, high = at(p), at(q)
        left = low > high
        a, b = torch.where(left[:, None], a, p), torch.where(left[:, None], q, b)
        largest = torch.maximum(low, high)
        early = largest if step == 0 else early
        if step in POLE:
            kept = largest > POLE[step] * early
            a, b, column, early = (one[kept] for one in (a, b, column, early))
    found: Tensor = 0.5 * (a + b)
    return found


def narrow(problem: Problem, equation: Equation) -> Region | None:
    """A region in which an equation has other values at smooth unknowns than beside it, too narrow to be seen in training."""
    if problem.domain.dimension > MOST:
        return None
    values = _residual(problem, equation, TRIALS[0][0])
    for region in narrow_regions(problem, _differences(problem, equation), lambda k: _lines(problem, k)):
        inside, before, behind = values(region.beside())[0]
        apart = torch.minimum((inside - before).abs(), (inside - behind).abs())
        if bool((apart > NARROW * torch.maximum(before.abs(), behind.abs())).any()):
            return region
    return None


def _differences(problem: Problem, equation: Equation) -> Differences:
    """What the comparisons in an equation, without those of unknowns, ask the sign of."""
    formulas = [equation.operator, *([] if isinstance(equation.source, RightHandSide) else [equation.source])]
    inside = middle(problem)
    level = problem.level_of(equation.operator, inside)

    def compared(points: Tensor, trial: float) -> list[Tensor]:
        """What the formulas compare at points, with zero, as columns."""
        frame = _Watching(problem.domain.coordinates, level)
        for formula in formulas:
            formula(_environment(problem, points, frame, trial))
        return [one.reshape(len(points), -1) for one in frame.compared]

    pairs = zip(*(compared(inside, trial) for trial in TRIALS[0]), strict=True)
    kept = [k for k, (first, second) in enumerate(pairs) if torch.equal(first, second)]
    if not kept:
        return lambda points: points[:, :0]

    def at_points(points: Tensor) -> Tensor:
        found = compared(points, TRIALS[0][0])
        return torch.cat([found[k] for k in kept], dim=1)

    return at_points


def refuse_undeclared(problem: Problem) -> None:
    """Raise ProblemError where what an equation differentiates jumps at no interface, with the interface to declare, and where
    the equation has other values in a region that is too narrow to be seen.
    """
    for equation in problem.equations:
        region = narrow(problem, equation)
        if region is not None:
            raise ProblemError(
                f"{_shown(equation.operator)} or its source has other values in a region of width {region.width:.1e} near "
                f"{at(problem.domain, region.point)}, which no point of training would see; make it wider, or state what its "
                "integral does as the jump of the flux across an interface, or as a condition"
            )
        jumps = coefficient_jumps(problem, equation)
        if len(jumps):
            found = list(surfaces(problem.domain, jumps))[:SHOWN]
            raise ProblemError(
                f"what {_shown(equation.operator)} differentiates jumps at {'; '.join(one.words for one in found)}, where no "
                "interface is declared: the equation would hold on either side, and the flux would not be continuous. Declare "
                f"an interface with what is continuous across it:\n\n{_declared(problem, equation, found[0])}"
            )


def warnings_of_jumps(problem: Problem) -> list[str]:
    """Sentences on sources, and coefficients outside of derivatives, that jump at no interface."""
    sentences = []
    for k, equation in enumerate(problem.equations):
        jumps = data_jumps(problem, equation)
        if len(jumps) and not len(coefficient_jumps(problem, equation)):
            found = list(surfaces(problem.domain, jumps))[:SHOWN]
            which = f"equation {k + 1}" if len(problem.equations) > 1 else "the equation"
            sentences.append(
                f"the source or a coefficient of {which} jumps at {'; '.join(one.words for one in found)}: errors fall slowly "
                "there, unless it is declared as an interface across which the unknown and its normal derivative are continuous"
            )
    return sentences


def _shown(operator: Field) -> str:
    """An operator's text, where it has one."""
    return repr(text) if (text := getattr(operator, "text", "")) else "an equation"


def _declared(problem: Problem, equation: Equation, surface: Surface) -> str:
    """The lines that declare a surface as an interface of an equation."""
    operator = equation.operator
    names = [name for name in problem.unknowns if name in getattr(operator, "names", problem.unknowns)]
    first_order = problem.level_of(operator, middle(problem)) is Derivatives.GRADIENT
    unknown = names[0] if len(problem.unknowns) > 1 else None
    return declaration(surface, getattr(operator, "text", ""), unknown, first_order, tuple(problem.interfaces))
