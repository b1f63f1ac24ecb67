"""Families of solutions: members, and the parameters at which a member is nearest to given values."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pdekan.networks.base import Network
from pdekan.networks.family import FamilyNetwork, MemberNetwork
from pdekan.problems.formulas import ProblemError
from pdekan.problems.problem import Problem
from pdekan.solutions.outputs import outputs

Array = NDArray[np.float64]
STARTS = 5  # values of each parameter, of which those with the least misfit are where a fit starts
MOST_STARTS = 625


def family_of(network: Network, parameter: str | None = None) -> FamilyNetwork:
    """The network of a family. Raises ProblemError for that of a single problem, and for a parameter that it has not."""
    if not isinstance(network, FamilyNetwork):
        raise ProblemError("there is no parameter with a range: this is the solution of a single problem")
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


def member(network: Network, problem: Problem | None, parameters: Mapping[str, float]) -> dict[str, Any]:
    """The fields of a family's solution that differ in one of its members."""
    family = family_of(network)
    values = {name: float(array[0]) for name, array in checked(family, parameters).items()}
    own = None if problem is None else problem.member(**values)
    reason, one = "of a member: the estimate of the family is in its run", MemberNetwork(family, values).requires_grad_(False)
    return {
        "network": one, "problem": own, "errors": None, "estimate": None, "estimate_reason": reason, "family": None,
        "outputs": {} if own is None else outputs(own, one),
    }  # fmt: skip


def fit(network: FamilyNetwork, parts: Array, values: Array) -> dict[str, tuple[float, float | None, bool]]:
    """Parameters by name: value, standard error and whether it is on a bound; see `Solution.fit`.

    parts: the values ``(nodes, n)`` of the networks at the points. Trust-region least squares with bounds, from the best of
    several starts; ∂u/∂μ comes from the polynomials. Raises ProblemError for values of another shape.
    """
    if values.shape != parts.shape[1:]:
        raise ProblemError(f"values have shape {values.shape}; needed is {parts.shape[1:]}, one for each point")
    names, (lower, upper) = list(network.ranges), np.array(list(network.ranges.values())).T

    def model(x: Array, by: str | None = None) -> Array:
        return np.asarray(network.weights(dict(zip(names, x.T, strict=True)), by) @ parts)

    axes = [np.linspace(a, b, STARTS) for a, b in zip(lower, upper, strict=True)]
    starts = np.array(list(itertools.islice(itertools.product(*axes), MOST_STARTS)))
    best = starts[int(np.argmin(((model(starts) - values) ** 2).sum(1)))]
    aside = 1e-9 * (upper - lower)
    from scipy.optimize import least_squares  # a tenth of a second, for families only

    found = least_squares(
        lambda x: model(x[None])[0] - values,
        np.clip(best, lower + aside, upper - aside),
        jac=lambda x: np.stack([model(x[None], name)[0] for name in names], axis=1),
        bounds=(lower, upper),
        x_scale=upper - lower,
        xtol=1e-15,
        ftol=1e-15,
        gtol=1e-15,
    )
    spread: list[float | None] = [None] * len(names)
    if (free := len(values) - len(names)) > 0:
        covariance = np.linalg.pinv(found.jac.T @ found.jac) * (2.0 * found.cost / free)
        spread = [float(one) for one in np.sqrt(np.diag(covariance))]
    rows = zip(names, found.x, spread, found.active_mask, strict=True)
    return {name: (float(value), error, bool(active)) for name, value, error, active in rows}
