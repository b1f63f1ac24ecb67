"""A solution's values and derivatives at points; nan outside of the domain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from pdekan.fields.jets import Derivatives, Frame
from pdekan.networks.base import Network
from pdekan.networks.evaluation import evaluate
from pdekan.networks.family import FamilyNetwork
from pdekan.solutions import families
from pdekan.solutions.solved import Solved

Array = NDArray[np.float64]


def evaluated(
    solution: Solved, points: ArrayLike, level: Derivatives, parameters: Mapping[str, ArrayLike], by: str | None = None
) -> Array:
    """The highest derivatives of a level at points, nan outside of the domain; by: a parameter of the family."""
    family = families.family_of(solution.network) if parameters or isinstance(solution.network, FamilyNetwork) else None
    d, more = solution.domain.dimension, 0 if family is None or parameters else len(family.ranges)
    x, outside = checked(solution, points, more)
    if solution.outside == "raise":
        refuse_outside(x, outside)
    if family is None:
        values = jet(solution, x, level)[-1]
        values[outside] = np.nan
        return values[:, 0] if len(solution.unknowns) == 1 else values
    jets = np.stack([jet(solution, x[:, :d], level, one)[-1] for one in family.parts])
    jets[:, outside] = np.nan
    jets = jets[:, :, 0] if len(solution.unknowns) == 1 else jets
    if not parameters:
        weights = family.weights(families.checked(family, dict(zip(family.ranges, x[:, d:].T, strict=True))), by)
        return np.asarray(np.einsum("nj,jn...->n...", weights, jets))
    given = families.checked(family, parameters)
    found = np.tensordot(family.weights(given, by), jets, 1)
    return np.asarray(found[0] if all(np.ndim(value) == 0 for value in parameters.values()) else found)


def joined(solution: Solved, values: Array, axis: int) -> Array:
    """Values with the parts of complex unknowns, which lie along an axis, made one."""
    parts = {} if solution.problem is None else dict(solution.problem.complex.values())
    if not parts:
        return values
    columns: list[Any] = []
    for k, name in enumerate(solution.unknowns):
        if name in parts:
            columns.append(values.take(k, axis) + 1j * values.take(solution.unknowns.index(parts[name]), axis))
        elif name not in parts.values():
            columns.append(values.take(k, axis))
    return np.asarray(columns[0] if len(columns) == 1 else np.stack(columns, axis))


def checked(solution: Solved, points: ArrayLike, more: int = 0) -> tuple[Array, NDArray[np.bool_]]:
    """Points ``(n, d + more)``, and which are outside of the domain. Raises ValueError for another shape."""
    d = solution.domain.dimension
    try:
        x = np.atleast_2d(np.array(points, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise ValueError(f"points are no array of real numbers ({error}); needed is (n, {d + more})") from None
    if x.ndim != 2 or x.shape[1] != d + more:
        names = (*solution.domain.coordinates, *(families.family_of(solution.network).ranges if more else ()))
        hint = f"; or points of {', '.join(solution.domain.coordinates)}, and the parameters by name" if more else ""
        raise ValueError(f"points have shape {np.shape(points)}; needed is (n, {d + more}), columns {', '.join(names)}{hint}")
    return x, ~solution.domain.contains(x[:, :d])


def jet(solution: Solved, points: Array, level: Derivatives, network: Network | None = None) -> list[Array]:
    """Values ``(n, unknowns)`` and, as the level has them, gradients ``(…, d)`` and second derivatives ``(…, d, d)``."""
    frame, count = Frame(solution.domain.coordinates, level), len(solution.unknowns)
    u = evaluate(network or solution.network, on_device(network or solution.network, points), frame)
    found = [u.value[:, :count].cpu().numpy()]
    if u.gradient is not None:
        found.append(u.gradient[:, :count].cpu().numpy())
    if u.second is not None:
        found.append(_unpacked(u.second[:, :count].cpu().numpy(), u.frame))
    return found


def on_device(network: Network, points: Array) -> torch.Tensor:
    """Points on the device of the network."""
    return torch.as_tensor(points, dtype=torch.float64, device=network.device)


def refuse_outside(x: Array, outside: NDArray[np.bool_]) -> None:
    """Raise ValueError where any point is outside of the domain."""
    if outside.any():
        raise ValueError(f"{outside.sum()} of {len(x)} points are outside of the domain, the first is {x[outside][0]}")


def tensor_values(solution: Solved, points: torch.Tensor) -> torch.Tensor:
    """Values ``(n,)``, of several unknowns ``(n, unknowns)``, at points ``(n, d)``, which autograd differentiates by them.

    nan outside of the domain; ValueError there where the solution is to raise it, and for points of another shape.
    """
    dimension = solution.domain.dimension
    if points.ndim != 2 or points.shape[1] != dimension:
        wanted = f"(n, {dimension}), columns {', '.join(solution.domain.coordinates)}"
        raise ValueError(f"points have shape {tuple(points.shape)}; needed is {wanted}")
    x = points.to(solution.network.device, torch.float64)
    inside = torch.as_tensor(solution.domain.contains(x.detach().cpu().numpy()), device=x.device)
    if solution.outside == "raise" and not bool(inside.all()):
        raise ValueError(f"{int((~inside).sum())} of {len(x)} points are outside of the domain")
    found = solution.network(x)[:, : len(solution.unknowns)]
    found = torch.where(inside[:, None], found, torch.nan)
    return found[:, 0] if len(solution.unknowns) == 1 else found


def _unpacked(second: Array, frame: Frame) -> Array:
    """Symmetric matrices ``(…, d, d)`` from their packed upper triangles ``(…, s)``."""
    rows, columns = frame.packed
    full = np.empty((*second.shape[:-1], frame.dimension, frame.dimension))
    full[..., rows, columns] = full[..., columns, rows] = second
    return full
