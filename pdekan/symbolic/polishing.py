"""Constants of templates adjusted by least squares: to samples, then to equations, conditions and data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import sympy
import torch
from scipy.optimize import least_squares
from sympy import Expr, Symbol

from pdekan.domains.quadrature import Array
from pdekan.fields.functions import stacked
from pdekan.fields.jets import Jet
from pdekan.problems.problem import Problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.terms import Term, terms, units
from pdekan.symbolic.sampling import Samples
from pdekan.symbolic.templates import ON_JETS, Template, evaluate

# Weight of equations and conditions relative to data with noise: no misfit of the data may be traded for a residual.
EQUATION_WEIGHT = 1e8
HUGE = 1e30  # replaces values that are not finite
RESIDUAL_ROUND_OFF = 1e-14  # relative, in double precision
CELLS, ORDER, COUNT, SEED = {1: 24, 2: 6, 3: 3}, 6, 800, 11  # of the points of equations and conditions, by dimension


@dataclass(frozen=True)
class Polished:
    """Templates by unknown with adjusted constants, and parameters of the problem.

    misfit: root mean square of the residuals of equations and conditions relative to the sizes of their terms, or of the
    samples. errors: standard errors of constants and parameters, by name.
    """

    templates: Mapping[str, Template]
    parameters: Mapping[Symbol, float]
    misfit: float
    errors: Mapping[Symbol, float]


def to_samples(template: Template, samples: Samples) -> tuple[Template, float]:
    """The template nearest to the samples, and its distance from them, relative to their size."""
    points = samples.scattered()
    environment = dict(zip(samples.symbols, points.T, strict=True))
    target = samples.value(points)
    size = float(np.sqrt((target**2).mean())) or 1.0
    names = list(template.values)
    slopes = [sympy.diff(template.expression, name) for name in names]

    def values(expression: Expr, numbers: Array) -> Array:
        """An expression at the samples, with the constants as numbers."""
        with np.errstate(all="ignore"):
            result = np.asarray(evaluate(expression, environment | dict(zip(names, numbers, strict=True))), dtype=float)
        return np.asarray(np.broadcast_to(_bounded(result), target.shape))

    def residual(numbers: Array) -> Array:
        return np.asarray((values(template.expression, numbers) - target) / (size * np.sqrt(len(target))))

    start = np.array([template.values[name] for name in names])
    if not names:
        return template, float(np.linalg.norm(residual(start)))

    def jacobian(numbers: Array) -> Array:
        return np.asarray(np.column_stack([values(slope, numbers) for slope in slopes]) / (size * np.sqrt(len(target))))

    fit = least_squares(residual, start, jacobian, method="lm", x_scale="jac", xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=60)
    return template.at(dict(zip(names, fit.x.tolist(), strict=True))), float(np.linalg.norm(fit.fun))


def to_problem(
    problem: Problem,
    templates: Mapping[str, Template],
    parameters: Mapping[Symbol, float],
    known: Mapping[Symbol, Expr] | None = None,
) -> Polished:
    """The templates and parameters that minimise the residuals of equations, conditions and data.

    known: parameters with fixed values.
    """
    stated = [one.weakly() for one in problem.conditions]
    rows = _Rows(replace(problem, conditions=tuple(stated)), templates, parameters, known or {})
    start = np.array([*(v for one in templates.values() for v in one.values.values()), *parameters.values()])
    if not len(start):
        return Polished(templates, parameters, rows.misfit(start), {})
    scale = rows.scales(start)
    fit = least_squares(
        lambda scaled: rows(scale * scaled), start / scale, jac="3-point", xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=40
    )
    numbers, jacobian = scale * fit.x, fit.jac / scale
    names = [*(c for one in templates.values() for c in one.values), *parameters]
    values = dict(zip(names, numbers.tolist(), strict=True))
    return Polished(
        {name: one.at(values) for name, one in templates.items()},
        {name: values[name] for name in parameters},
        rows.misfit(numbers),
        dict(zip(names, _standard_errors(jacobian, fit.fun, numbers).tolist(), strict=True)),
    )


class _Rows:
    """Weighted residuals of a problem as a function of the constants of templates."""

    def __init__(
        self,
        problem: Problem,
        templates: Mapping[str, Template],
        parameters: Mapping[Symbol, float],
        known: Mapping[Symbol, Expr],
    ) -> None:
        self.templates, self.known = templates, {name: float(value) for name, value in known.items()}
        self.sought = [name for one in problem.parameters for name in (*parameters, *known) if name.name == one]
        self.names = [*(c for one in templates.values() for c in one.values), *parameters]
        self.terms = terms(problem, Sampling(CELLS.get(problem.domain.dimension, 1), ORDER, COUNT, SEED))
        self.weight = EQUATION_WEIGHT if any(term.noise for term in self.terms) else 1.0
        self.factors = [self._factors(term, problem) for term in self.terms]

    def _factors(self, term: Term, problem: Problem) -> Array:
        """Factors of a term's residuals: quadrature weights over the size of the term, or one over the noise."""
        if term.noise:
            return np.full(len(term.target), 1.0 / term.noise)
        size = max(float(units(term, problem).norm()), float((term.share @ term.target**2).sqrt()), 1e-12)
        return np.asarray(self.weight * term.share.sqrt().numpy() / size)

    def __call__(self, numbers: Array) -> Array:
        """All rows; HUGE where a formula is not finite."""
        return np.concatenate([self._row(k, numbers) for k in range(len(self.terms))])

    def scales(self, numbers: Array) -> Array:
        """For every constant the change that changes its formula by about its size; for parameters their sizes."""
        points = self.terms[0].points.numpy()
        coordinates = {sympy.Symbol(name, real=True): points[:, k] for k, name in enumerate(self.terms[0].frame.coordinates)}
        environment = coordinates | dict(zip(self.names, numbers.tolist(), strict=True))

        def size(expression: Expr) -> float:
            return float(np.sqrt(np.mean(np.broadcast_to(evaluate(expression, environment), points.shape[:1]) ** 2)))

        scales = [
            size(one.expression) / max(size(sympy.diff(one.expression, name)), 1e-300)
            for one in self.templates.values()
            for name in one.values
        ]
        scales += [max(abs(value), 1e-3) for value in numbers[len(scales) :].tolist()]
        return np.array([min(max(scale, 1e-300), 1e6) if math.isfinite(scale) else 1.0 for scale in scales])

    def misfit(self, numbers: Array) -> float:
        """The largest root mean square of the rows of equations and conditions, or of data where there are none.

        Data with noise are left out: the verification compares their misfit with the noise.
        """
        stated = [k for k, term in enumerate(self.terms) if term.group != "data"] or range(len(self.terms))
        sizes = [float(np.linalg.norm(self._row(k, numbers))) for k in stated if not self.terms[k].noise]
        return max(sizes, default=0.0) / self.weight

    def _row(self, k: int, numbers: Array) -> Array:
        term, values = self.terms[k], self.known | dict(zip(self.names, numbers.tolist(), strict=True))
        jets = [self._jet(one.expression, term, values) for one in self.templates.values()]
        jets += [term.frame.constant(values[name], term.points) for name in self.sought]
        with torch.no_grad():
            row = term.residual(stacked(jets)).numpy() * self.factors[k]
        return _bounded(row)

    def _jet(self, expression: Expr, term: Term, values: Mapping[Symbol, float]) -> Jet:
        coordinates = {name: term.frame.coordinate(term.points, i) for i, name in enumerate(term.frame.coordinates)}
        result = evaluate(expression, coordinates | dict(values), ON_JETS)
        return result if isinstance(result, Jet) else term.frame.constant(float(result), term.points)


def _bounded(values: Array) -> Array:
    """The values with HUGE in place of those that are not finite."""
    return np.asarray(np.nan_to_num(values, nan=HUGE, posinf=HUGE, neginf=-HUGE))


def _standard_errors(jacobian: Array, residual: Array, values: Array) -> Array:
    """Standard errors from the linear model, s² (JᵀJ)⁻¹ with s² the mean squared residual a degree of freedom."""
    scale = np.linalg.norm(jacobian, axis=0)
    scale = np.where(scale > 0.0, scale, 1.0)
    _, sizes, vt = np.linalg.svd(jacobian / scale, full_matrices=False)
    freedom = max(1, len(residual) - len(values))
    rounding = RESIDUAL_ROUND_OFF * float(np.linalg.norm(jacobian * values)) / np.sqrt(freedom)
    spread = max(float(np.sqrt(residual @ residual / freedom)), rounding)
    sizes = np.maximum(sizes, 1e-15 * sizes[0])
    return np.asarray(spread * np.sqrt(((vt / sizes[:, None]) ** 2).sum(0)) / scale)
