"""Families of solutions: members, and the parameters at which a member is nearest to given values."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares

from pdekan.fields.jets import Derivatives
from pdekan.networks.family import FamilyNetwork, MemberNetwork
from pdekan.problems.formulas import ProblemError

if TYPE_CHECKING:
    from pdekan.solutions.solution import Solution

Array = NDArray[np.float64]
STARTS = 5  # values of each parameter, of which those with the least misfit are where a fit starts
MOST_STARTS = 625


def network_of(solution: Solution, parameter: str | None = None) -> FamilyNetwork:
    """The network of a family. Raises ValueError for the solution of a single problem, and for a parameter that it has not."""
    network = solution.network
    if not isinstance(network, FamilyNetwork):
        raise ProblemError(f"{solution.name} has no parameter with a range; it is the solution of a single problem")
    if parameter is not None and parameter not in network.ranges:
        raise ProblemError(f"{parameter!r} is no parameter of the family; its parameters are {', '.join(network.ranges)}")
    return network


def checked(family: FamilyNetwork, values: Mapping[str, ArrayLike]) -> dict[str, Array]:
    """Values ``(m,)`` of every parameter. Raises ValueError for names that are missing or unknown, and outside of a range."""
    for name in values:
        if name not in family.ranges:
            raise ProblemError(f"{name!r} is no parameter of the family; its parameters are {', '.join(family.ranges)}")
    missing = [name for name in family.ranges if name not in values]
    if missing:
        raise ProblemError(f"a value of {', '.join(missing)} is missing: the family has {', '.join(family.ranges)}")
    arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(values[name], dtype=np.float64)) for name in family.ranges))
    if arrays[0].ndim > 1:
        raise ProblemError(f"values of parameters have shape {arrays[0].shape}; one number, or a list of numbers is needed")
    for (name, (a, b)), array in zip(family.ranges.items(), arrays, strict=True):
        slack = 1e-12 * (b - a)
        wrong = array[~((array >= a - slack) & (array <= b + slack))]
        if wrong.size:
            raise ProblemError(f"{name} = {wrong[0]:g} is not in its range [{a:g}, {b:g}]")
    return dict(zip(family.ranges, arrays, strict=True))


def member(solution: Solution, parameters: Mapping[str, float]) -> dict[str, Any]:
    """The fields of a family's solution that differ in one of its members."""
    network = network_of(solution)
    values = {name: float(array[0]) for name, array in checked(network, parameters).items()}
    problem = None if solution.problem is None else solution.problem.member(**values)
    reason = "of a member: the estimate of the family is in its run"
    return {
        "network": MemberNetwork(network, values).requires_grad_(False), "problem": problem, "errors": None, "estimate": None,
        "estimate_reason": reason, "family": None,
    }  # fmt: skip


def fit(solution: Solution, points: Array, values: Array, place: int) -> dict[str, tuple[float, float | None, bool]]:
    """Parameters by name: value, standard error and whether it is on a bound; see `Solution.fit`.

    Levenberg-Marquardt's method with bounds, from the best of several starts; ∂u/∂μ comes from the polynomials.
    """
    network = network_of(solution)
    if values.shape != (len(points),):
        raise ProblemError(f"values have shape {values.shape}; needed is ({len(points)},), one for each point")
    outside = ~solution.domain.contains(points)
    if outside.any():
        raise ProblemError(
            f"{outside.sum()} of {len(points)} points are outside of the domain, the first is {points[outside][0]}"
        )
    parts = np.stack([solution._jet(points, Derivatives.VALUE, one)[0][:, place] for one in network.parts])
    names, (lower, upper) = list(network.ranges), zip(*network.ranges.values(), strict=True)

    def weights(x: Array, by: str | None = None) -> Array:
        return network.weights({name: x[:, k] for k, name in enumerate(names)}, by)

    axes = [np.linspace(a, b, STARTS) for a, b in zip(lower, upper, strict=True)]
    starts = np.array(list(itertools.islice(itertools.product(*axes), MOST_STARTS)))
    best = starts[int(np.argmin(((weights(starts) @ parts - values) ** 2).sum(1)))]
    inner = np.clip(
        best, np.array(lower) + 1e-9 * np.ptp([lower, upper], axis=0), upper - 1e-9 * np.ptp([lower, upper], axis=0)
    )
    found = least_squares(
        lambda x: (weights(x[None]) @ parts)[0] - values,
        inner,
        jac=lambda x: np.stack([(weights(x[None], name) @ parts)[0] for name in names], axis=1),
        bounds=(lower, upper),
        x_scale=np.subtract(upper, lower),
        xtol=1e-15,
        ftol=1e-15,
        gtol=1e-15,
    )
    free = len(values) - len(names)
    spread: list[float | None] = [None] * len(names)
    if free > 0:
        covariance = np.linalg.pinv(found.jac.T @ found.jac) * (2.0 * found.cost / free)
        spread = [float(one) for one in np.sqrt(np.diag(covariance))]
    return {
        name: (float(value), error, bool(active))
        for name, value, error, active in zip(names, found.x, spread, found.active_mask, strict=True)
    }
