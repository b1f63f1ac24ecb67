"""Parameters that equation, conditions and data do not determine: directions in which they can change together."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from pdekan.ansatz.unknowns import Ansatz
from pdekan.residuals.least_squares import Objective, triangle

# A direction of scaled parameters that changes the rows by less than this, whatever the network does, is a null direction.
RIDGE, NULL = 1e-9, 1e-7
SMALL = 1e-3  # components of a null direction below this, relative to the largest, are none


@torch.no_grad()
def undetermined(objective: Objective) -> list[str]:
    """Sentences on the null directions of the parameters' block of the least-squares problem: (D Jᵀ J D)⁻¹ restricted to the
    parameters, with columns scaled to size one, whose large eigenvalues belong to directions that the rows do not see.
    """
    network = objective.network
    assert isinstance(network, Ansatz)
    names = list(network.problem.parameters)
    theta = objective.network.flat_parameters
    jacobian = objective.rows(theta)[1]
    scale = jacobian.norm(dim=0)
    unseen = scale[: len(names)] <= 1e-300
    scaled = jacobian / scale.clamp_min(1e-300)
    r = triangle(scaled, RIDGE)
    units = torch.eye(len(theta), len(names)).to(scaled)
    dual = torch.linalg.solve_triangular(r.T, units, upper=False)
    _, sizes, directions = torch.linalg.svd(dual, full_matrices=False)
    null = directions[sizes > 1.0 / NULL]
    if not len(null):
        return []
    changes = null / scale[: len(names)].clamp_min(1e-300)
    if bool(unseen.any()):
        return [f"nothing determines {name}" for name, alone in zip(names, unseen.tolist(), strict=True) if alone]
    return list(_words(names, _reduced(changes)))


def _reduced(changes: Tensor) -> Tensor:
    """The rows of the reduced echelon form of directions, which have as few parameters each as possible."""
    rows = changes / changes.abs().amax(dim=1, keepdim=True)
    for k in range(len(rows)):
        pivot = int(rows[k].abs().argmax())
        rows[k] /= rows[k, pivot].clone()
        others = [j for j in range(len(rows)) if j != k]
        rows[others] -= rows[others, pivot, None] * rows[k]
    return rows


def _words(names: list[str], changes: Tensor) -> Iterator[str]:
    """Null directions in words; of a single one of two parameters also the combination that it does not change."""
    support = changes.abs() > SMALL * changes.abs().amax(dim=1, keepdim=True)
    alone = support.sum(1) == 1
    yield from (f"nothing determines {names[int(row.int().argmax())]}" for row in support[alone])
    together = [k for k, some in enumerate(support[~alone].any(dim=0).tolist()) if some]
    if len(together) == 2:
        one, other = (names[k] for k in together)
        a, b = (float(changes[~alone][0, k]) for k in together)
        ratio = -a / b
        factor = "" if abs(abs(ratio) - 1.0) < SMALL else f"{abs(ratio):.3g}*"
        yield f"{one} {'-' if ratio < 0.0 else '+'} {factor}{other} is found, {one} and {other} are not"
    elif together:
        listed = ", ".join(names[k] for k in together)
        yield f"of {listed} only combinations are found: changes of several leave every residual the same"
