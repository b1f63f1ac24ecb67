"""Whether a formula solves a problem: every equation and condition, symbolically where that is possible, and at points.

Numbers come from the terms that training uses, on points of their own. A residual is measured against the size of its terms at
the same point: Σ |∂r/∂u · u| over the unknowns and their derivatives, plus the right-hand side, plus the size that the residual
has for functions as high as the unknowns and as long as the domain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import sympy
import torch
from torch import Tensor

from pdekan.domains.quadrature import Array
from pdekan.fields.functions import stacked
from pdekan.fields.jets import Jet
from pdekan.problem_files.parser import Scope, parse
from pdekan.problems.formulas import ProblemError
from pdekan.problems.places import Requirement
from pdekan.problems.problem import Equation, Problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.terms import Term, terms, units
from pdekan.symbolic.expressions import NotSymbolic, number, symbol
from pdekan.symbolic.regularity import kink, singular
from pdekan.symbolic.residuals import Piece, SymbolicResiduals
from pdekan.symbolic.vanishing import MAX_ZERO, cased, values, vanishes
from pdekan.symbolic.writing import rewritten, text

TINY = 1e-150  # added to sizes, which may be zero
LIMIT = 1e-12  # of relative residuals
TOUCHING = 1e4  # the same for jumps without a closed form, relative to the gap between their two sides
MISFIT = 1e-3  # of data without stated noise beside equations, relative to their root mean square
DEVIATIONS = 6.0  # standard deviations by which χ² may exceed its expectation
CELLS = {1: 48, 2: 14, 3: 6}
ORDER, COUNT, SEED = 6, 2048, 104729
PRECISE_POINTS = 48  # points of each piece that are evaluated to many digits


@dataclass(frozen=True)
class Line:
    """The result for one equation, one condition on a face, or one series of data.

    zero: whether the residual is zero symbolically. relative: the largest residual relative to the size of its terms, for data
    the misfit relative to them. at: where that is. accepted: whether it is small enough. note: a remark for the reader.
    """

    name: str
    group: str
    zero: bool
    relative: float
    at: Mapping[str, float]
    accepted: bool
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """Whether a formula solves a problem, line by line; reason says in a sentence why it does not.

    "exact": every equation and condition is satisfied symbolically. "numerical": to a relative 1e-12 at all points.
    Data are fitted to within their noise; without stated noise to 1e-12 in a regression, to 1e-3 beside equations.
    """

    kind: Literal["exact", "numerical", "rejected"]
    lines: tuple[Line, ...]
    reason: str = ""


def verify(problem: Problem, formula: Mapping[str, sympy.Expr], parameters: Mapping[str, sympy.Expr] | None = None) -> Verdict:
    """The verdict on expressions for every unknown, and for every parameter that is sought.

    Raises ProblemError for names that are missing or not known, and NotSymbolic for a formula outside of the grammar.
    """
    found = _named(problem, {**formula, **(parameters or {})})
    weak = replace(problem, conditions=tuple(one.weakly() for one in problem.conditions))
    sampling = Sampling(CELLS.get(problem.domain.dimension, 1), ORDER, COUNT, SEED)
    reason = _irregular(problem, found, sampling)
    if reason:
        return Verdict("rejected", (), reason)
    lines = tuple(_TermChecker(weak, found, terms(weak, sampling)).lines())
    failed = next((line for line in lines if not line.accepted), None)
    if failed is not None:
        return Verdict("rejected", lines, f"{failed.name}: {failed.note or f'off by {failed.relative:.1e}'}{_where(failed.at)}")
    exact = bool(problem.equations) and all(line.zero for line in lines if line.group != "data")
    return Verdict("exact" if exact else "numerical", lines)


def _named(problem: Problem, given: Mapping[str, sympy.Expr]) -> dict[str, sympy.Expr]:
    """The formulas with our own symbols, and numbers as the fractions that they are written as."""
    missing, unknown = set(problem.sought) - set(given), set(given) - set(problem.sought)
    if missing or unknown:
        raise ProblemError(
            f"formulas for {', '.join(sorted(given)) or 'nothing'}; needed are those for {', '.join(problem.sought)}"
        )
    found = {}
    for name, expression in given.items():
        allowed = problem.domain.coordinates if name in problem.unknowns else ()
        foreign = sorted(s.name for s in expression.free_symbols if s.name not in allowed)
        if foreign:
            raise ProblemError(
                f"the formula of {name} depends on {', '.join(foreign)}; allowed are {', '.join(allowed) or 'numbers'}"
            )
        own = {s: symbol(s.name) for s in expression.free_symbols} | {
            f: number(float(f)) for f in expression.atoms(sympy.Float)
        }
        found[name] = rewritten(expression.xreplace(own))
    return found


def _irregular(problem: Problem, found: Mapping[str, sympy.Expr], sampling: Sampling) -> str:
    """Why the formulas are not finite or not smooth on the domain; empty where they are."""
    domain = problem.domain
    symbols = [symbol(name) for name in domain.coordinates]
    points = domain.interior(sampling.cells, sampling.order, sampling.count, sampling.seed).points
    edge = [domain.face(face, 2, ORDER, 64, SEED).points for face in domain.faces[:12]]
    for name in problem.unknowns:
        at = singular(found[name], symbols, domain, np.concatenate([points, *edge]))
        if at is not None:
            return f"{name} is not finite and real{_where(_coordinates(problem, at))}"
        at = None if problem.interfaces or not problem.equations else kink(found[name], symbols, domain, points)
        if at is not None:
            return f"{name} or its slope jumps{_where(_coordinates(problem, at))}, where the problem has no interface"
    return ""


def _coordinates(problem: Problem, point: Array) -> dict[str, float]:
    return dict(zip(problem.domain.coordinates, point.tolist(), strict=True))


def _where(at: Mapping[str, float]) -> str:
    return " at " + ", ".join(f"{name} = {value:.6g}" for name, value in list(at.items())[:4]) if at else ""


class _TermChecker:
    """Checks the terms of a problem with formulas, one after the other."""

    def __init__(self, problem: Problem, found: Mapping[str, sympy.Expr], terms: list[Term]) -> None:
        self.problem, self.terms = problem, iter(terms)
        self.residuals = SymbolicResiduals(problem, {name: cased(one) for name, one in found.items()})
        scope = Scope(problem.domain.coordinates, problem.domain.vector)
        self.fields = [parse(text(found[name]), scope) for name in problem.sought]
        self.heights = self._jet(terms[0]).value.abs().amax(dim=0)[: len(problem.unknowns)]

    def lines(self) -> Iterator[Line]:
        """The results for equations, conditions and data, in the order of their terms."""
        yield from map(self.equation, self.problem.equations)
        for condition in self.problem.conditions:
            yield from map(self.condition, condition.requirements(self.problem))
        yield from map(self.misfit, self.terms)

    def equation(self, one: Equation) -> Line:
        return self.line(lambda points: self.residuals.equation(one, points[0]))

    def condition(self, one: Requirement) -> Line:
        limit = max(LIMIT, TOUCHING * one.place.gap)
        return self.line(lambda points: self.residuals.condition(one, points), limit)

    def line(self, pieces: Callable[[list[Array]], list[Piece]], limit: float = LIMIT) -> Line:
        """The result for the next term.

        pieces: its expressions, given points ``(n, d)`` of each of the faces that share it. limit: where there are none.
        """
        term = next(self.terms)
        residual, size = self.measured(term)
        ratio = (residual.abs() / size).numpy()
        if not np.isfinite(ratio).all():
            return self.found(term, False, math.inf, term.points[int((~np.isfinite(ratio)).argmax())], 0.0, "not finite")
        worst, at = float(ratio.max()), term.points[int(ratio.argmax())]
        try:
            expressions = pieces(self.chosen(term, ratio))
        except NotSymbolic as error:
            return self.found(term, False, worst, at, limit, str(error))
        many, where = self.to_many_digits(expressions, float(size.square().mean().sqrt()))
        zero = many <= MAX_ZERO and all(vanishes(piece.expression) for piece in expressions)
        if worst > LIMIT or many > worst:  # round-off is all that many digits may take away
            worst, at = many, at if where is None else torch.as_tensor(where)
        return self.found(term, zero, worst, at, LIMIT)

    def found(self, term: Term, zero: bool, relative: float, at: Tensor, limit: float, note: str = "") -> Line:
        return Line(term.name, term.group, zero, relative, _coordinates(self.problem, at.numpy()), relative <= limit, note)

    def to_many_digits(self, pieces: list[Piece], size: float) -> tuple[float, Array | None]:
        """The largest of expressions relative to a size, and where it is."""
        worst, where = 0.0, None
        for piece in pieces:
            some = np.unique(np.linspace(0, len(piece.points) - 1, PRECISE_POINTS, dtype=int))
            found = np.nan_to_num(
                np.abs(values(piece.expression, piece.symbols, piece.points[some].tolist())) / size, nan=np.inf
            )
            if found.max() > worst:
                worst, where = float(found.max()), piece.places[some][found.argmax()]
        return worst, where

    def chosen(self, term: Term, ratio: Array) -> list[Array]:
        """Points of each face of a term, or of the only part that it has: the worst, and others all over."""
        faces = term.faces
        few = 4 * PRECISE_POINTS if faces == 1 else 4
        found = []
        for points, ratios in zip(np.split(term.points[: len(ratio)].numpy(), faces), np.split(ratio, faces), strict=True):
            rows = np.concatenate([np.argsort(ratios)[-4:], np.linspace(0, len(ratios) - 1, few, dtype=int)])
            found.append(points[np.unique(rows)])
        return found

    @torch.no_grad()
    def _jet(self, term: Term) -> Jet:
        """The formulas' jets at a term's points, one component each."""
        environment = self.problem.environment(term.points, term.frame.level, term.frame.normal)
        return stacked([field(environment) for field in self.fields])

    def measured(self, term: Term) -> tuple[Tensor, Tensor]:
        """The residual of a term ``(n,)`` and the size of its summands."""
        jet = self._jet(term)
        residual, slope = term.linearised(jet)
        size = (slope.value * jet.value).abs().sum(1)
        for a, b in zip(slope.derivatives, jet.derivatives, strict=True):
            if a is not None and b is not None:
                size = size + (a * b).abs().sum((1, 2))
        whole = float((units(term, self.problem) * self.heights).norm())
        return residual, term.folded(size) + term.target.abs() + whole + TINY

    def misfit(self, term: Term) -> Line:
        """The misfit of measured values, compared with their noise, or with a small part of their size without noise."""
        residual = term.residual(self._jet(term))
        n, rms = len(residual), float(residual.square().mean().sqrt())
        at = _coordinates(self.problem, term.points[int(residual.abs().argmax())].numpy())
        relative = rms / (float(term.target.square().mean().sqrt()) or 1.0)
        if not term.noise:
            limit = MISFIT if self.problem.equations else LIMIT
            return Line(term.name, term.group, False, relative, at, relative <= limit, f"rms misfit {rms:.3g}")
        chi = (rms / term.noise) ** 2
        fits = chi <= 1.0 + DEVIATIONS * math.sqrt(2.0 / n)
        note = f"rms misfit {rms:.3g}, noise {term.noise:g}: χ² is {chi:.3g} for each of {n} values"
        return Line(term.name, term.group, False, relative, at, fits, note)
