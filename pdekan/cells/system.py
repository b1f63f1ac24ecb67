"""The least-squares problem of a partition: its rows as fronts of a binary tree, and its solution as a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pdekan.cells.balance import Balance, balance_of
from pdekan.cells.elimination import Child, Front, Memory, solve
from pdekan.cells.energy import EnergyRows, energy_rows
from pdekan.cells.interfaces import CellSizes, joint_rows
from pdekan.cells.means import chained, integrals
from pdekan.cells.mesh import Mesh
from pdekan.cells.rows import CellRows, cell_rows
from pdekan.cells.traces import traces, values_count
from pdekan.domains.cell_rules import on_boxes, reference_rule
from pdekan.domains.partition import LEAF, Integers, Partition
from pdekan.domains.quadrature import Array
from pdekan.fields.jets import Derivatives, Frame
from pdekan.networks import legendre
from pdekan.networks.base import Network
from pdekan.networks.cells import CellNetwork
from pdekan.networks.evaluation import evaluate
from pdekan.problems.problem import Problem
from pdekan.residuals import terms as terms_module
from pdekan.residuals.collocation import Sampling


@dataclass(frozen=True, eq=False)
class Solved:
    """A least-squares solution. lead: ``(m,)`` the factors of the cells' rows, see `rows`. unmatched: ``(m,)`` the squares of
    the weighted residuals of the conditions and of half the jumps of every cell. balance: see there; None without interfaces.

    metric: ``(m, d)``, see `energy.EnergyRows`, where rows are in the dual norm of the energy: then `unmatched` has the squares
    of the errors of slopes; None elsewhere.
    """

    network: CellNetwork
    lead: Tensor
    unmatched: Tensor
    balance: Balance | None = None
    metric: Array | None = None


@torch.no_grad()
def solved(
    problem: Problem,
    mesh: Mesh,
    network: Network | None = None,
    device: torch.device | None = None,
    check_time: Callable[[], None] = lambda: None,
    memory: Memory | None = None,
) -> Solved:
    """The least-squares solution on a mesh of the problem, linearised about a network's function or about zero.

    check_time: called before every block of work; what it raises ends a long step. memory:
    of solutions on other meshes, whose unchanged cells are not reduced again. Raises UndeterminedError where the conditions
    do not determine it.
    """
    device = device or torch.device("cpu")
    partition, unknowns = mesh.partition, len(problem.unknowns)
    energy = energy_rows(problem, mesh, network, device, check_time)
    if energy is not None:
        return _by_energy(problem, mesh, energy, device, check_time, memory)
    balance = balance_of(problem, mesh.geometry, mesh.degrees, network)
    factors, groups = None if balance is None else balance.means.to(device), []
    for cells in mesh.geometry.groups(mesh.degrees):
        check_time()
        group = cell_rows(problem, mesh.geometry, cells, int(mesh.degrees[cells[0]]), network, device, factors)
        groups.append(compressed(group))
    couplings, face_sizes = _coupled(problem, mesh, groups, network, balance)
    fronts = fronts_of(mesh, groups, couplings, face_sizes)
    cell_sizes = [unknowns * legendre.count(partition.dimension, int(p)) for p in mesh.degrees]
    means = integrals(problem, mesh.geometry, groups, mesh.degrees, network)
    order = [(cell, int(partition.leaves[cell])) for cell in np.argsort(partition.leaves).tolist()]
    fronts = chained(fronts, order, means, len(cell_sizes) + len(face_sizes))
    sums = [1] * (len(means) * partition.count)
    found = solve(children_of(partition), fronts, [*cell_sizes, *face_sizes, *sums], check_time, memory)
    solution = _network(mesh, unknowns, found.values, device)
    lead = torch.ones(partition.count, dtype=torch.float64)
    for group in groups:
        lead[group.cells] = group.lead.cpu()
    return Solved(solution, lead, _unmatched(mesh, groups, couplings, found.values), balance)


def _by_energy(
    problem: Problem,
    mesh: Mesh,
    energy: EnergyRows,
    device: torch.device,
    check_time: Callable[[], None],
    memory: Memory | None,
) -> Solved:
    """The solution by rows in the dual norm of the energy; errors are those of rows linearised about the solution itself."""
    partition, ones = mesh.partition, torch.ones(mesh.partition.count, dtype=torch.float64)
    sizes = [legendre.count(partition.dimension, int(p)) for p in mesh.degrees]
    fronts = {int(partition.leaves[cell]): front for cell, front in energy.fronts.items()} | _empty(mesh, 1)
    found = solve(children_of(partition), fronts, [*sizes, *energy.sizes], check_time, memory)
    network = _network(mesh, 1, found.values, device)
    about = energy if is_affine(problem) else energy_rows(problem, mesh, network, device, check_time)
    squares = ones * torch.inf if about is None else torch.as_tensor(about.squares(found.values))
    return Solved(network, ones, squares, metric=energy.metric)


def children_of(partition: Partition) -> list[Child]:
    """The children of every node."""
    axes = enumerate(partition.axis.tolist())
    return [None if axis == LEAF else (node + 1, int(partition.upper_child[node])) for node, axis in axes]


def _network(mesh: Mesh, unknowns: int, values: dict[int, Tensor], device: torch.device) -> CellNetwork:
    """The network of the cells with the coefficients found."""
    out = mesh.network(unknowns).to(device)
    out.coefficients.copy_(torch.cat([values[cell] for cell in range(mesh.partition.count)]))
    return out


def _empty(mesh: Mesh, unknowns: int) -> dict[int, Front]:
    """Rows by node of cells in which there is nothing of the domain: all coefficients are zero."""
    out = {}
    for cell in np.flatnonzero(~mesh.geometry.active).tolist():
        size = unknowns * legendre.count(mesh.partition.dimension, int(mesh.degrees[cell]))
        out[int(mesh.partition.leaves[cell])] = Front((cell,), torch.eye(size, size + 1, dtype=torch.float64))
    return out


@torch.no_grad()
def projected(network: Network, mesh: Mesh, outputs: int) -> CellNetwork:
    """The L2 projection of a network's function onto the polynomials of a mesh."""
    boxes = mesh.geometry.low, mesh.geometry.high
    out = mesh.network(outputs).to(next(network.parameters()).device)
    frame = Frame(tuple(f"x{k}" for k in range(out.inputs)), Derivatives.VALUE)
    blocks = out.blocks()
    for p, region in sorted({*zip(mesh.degrees.tolist(), mesh.regions.tolist(), strict=True)}):
        cells = np.flatnonzero((mesh.degrees == p) & (mesh.regions == region))
        own = network.continued(region) if isinstance(network, CellNetwork) else network
        nodes, weights = reference_rule(out.inputs, p + 1)
        at = torch.as_tensor(nodes).to(out.coefficients)
        basis = legendre.products(at, torch.ones_like(at), p, frame).value * torch.as_tensor(weights).to(at)[:, None]
        points = torch.as_tensor(on_boxes(boxes[0][cells], boxes[1][cells], None, p + 1)[0]).to(at)
        values = evaluate(own, points.reshape(-1, out.inputs), frame).value[:, :outputs].reshape(len(cells), len(at), outputs)
        for cell, block in zip(cells.tolist(), torch.einsum("mgu,gn->mun", values, basis), strict=True):
            blocks[cell].copy_(block)
    return out


def is_affine(problem: Problem) -> bool:
    """Whether the equations and conditions are affine in the unknowns: one solution of least squares is enough."""
    points = Sampling(1, 4, 16, 0)
    return all(terms_module.is_affine(term, problem) for term in terms_module.terms(problem, points))


@dataclass(frozen=True, eq=False)
class Coupling:
    """The rows of a cell that couple it to the unknowns λ of a face: rows · u - λ = right."""

    face: int
    rows: Tensor
    right: Tensor


Couplings = list[list[Coupling]]


def matched(problem: Problem, coordinates: Sequence[str], second: Tensor) -> Integers:
    """``(U, d)``: the highest normal derivative of an unknown that is continuous across faces orthogonal to an axis.

    second: where there are second derivatives.
    """
    out = second.numpy().astype(int)
    for k, unknown in enumerate(problem.unknowns):
        orders = [problem.order_along(unknown, name) for name in coordinates]
        out[k] = [order - 1 if order > 2 else one for order, one in zip(orders, out[k], strict=True)]
    return out


def _unmatched(mesh: Mesh, groups: list[CellRows], couplings: Couplings, values: dict[int, Tensor]) -> Tensor:
    out = torch.zeros(mesh.partition.count, dtype=torch.float64)
    for group in groups:
        for cell, blocks in group.boundary.items():
            for rows in blocks:
                out[cell] += float((rows[:, :-1] @ values[cell] - rows[:, -1]).square().sum())
    for cell, own in enumerate(couplings):
        for one in own:
            residual = one.rows @ values[cell] - values[mesh.partition.count + one.face] - one.right
            out[cell] += float(residual.square().sum())
    return out


def sizes_of_faces(mesh: Mesh, matched: Integers) -> list[int]:
    """The sizes of the faces' blocks."""
    return [
        sum(values_count(mesh.partition.dimension, int(p) - j) for m in matched[:, axis] for j in range(m + 1))
        for p, axis in zip(mesh.face_degrees, mesh.faces.axis, strict=True)
    ]


def _coupled(
    problem: Problem, mesh: Mesh, groups: list[CellRows], network: Network | None, balance: Balance | None
) -> tuple[Couplings, list[int]]:
    """The rows that couple cells across faces and interfaces, and the sizes of the blocks of these."""
    orders = matched(problem, problem.domain.coordinates, torch.stack([group.second for group in groups]).any(0))
    couplings, face_sizes = couplings_of(mesh, groups, orders, balance), sizes_of_faces(mesh, orders)
    if mesh.joints is None or balance is None:
        return couplings, face_sizes
    partition, device = mesh.partition, groups[0].rows.device
    size = torch.ones(partition.count, len(problem.unknowns), dtype=torch.float64, device=device)
    lead = torch.ones(partition.count, dtype=torch.float64, device=device)
    for group in groups:
        size[group.cells], lead[group.cells] = group.sizes, group.lead
    low, high = (torch.as_tensor(corner).to(device) for corner in (mesh.geometry.low, mesh.geometry.high))
    every = CellSizes(mesh.degrees, low, high, size, lead, balance.means.to(device))
    for one in joint_rows(problem, mesh.joints, every, network):
        for cell, rows, right in zip(one.cells, one.rows, one.right, strict=True):
            couplings[cell].append(Coupling(len(face_sizes), rows, right))
        face_sizes.append(len(one.right[0]))
    return couplings, face_sizes


def fronts_of(mesh: Mesh, groups: list[CellRows], couplings: Couplings, face_sizes: list[int]) -> dict[int, Front]:
    """The rows of every cell by its node, with those that couple it to its faces."""
    partition = mesh.partition
    fronts: dict[int, Front] = {}
    for group in groups:
        for cell, inside in zip(group.cells.tolist(), group.rows, strict=True):
            own = couplings[cell]
            width, outer = inside.shape[1] - 1, [face_sizes[one.face] for one in own]
            tall = [inside, *group.boundary[cell]]
            top = sum(len(part) for part in tall)
            rows = inside.new_zeros(top + sum(outer), width + sum(outer) + 1)
            block = torch.cat(tall)
            rows[:top, :width], rows[:top, -1] = block[:, :-1], block[:, -1]
            first = 0
            for one, size in zip(own, outer, strict=True):
                part = rows[top + first : top + first + size]
                part[:, :width], part[:, -1] = one.rows, one.right
                first += size
            rows[top:, width:-1] = -torch.eye(first).to(rows)
            blocks = (cell, *(partition.count + one.face for one in own))
            fronts[int(partition.leaves[cell])] = Front(blocks, rows)
    return fronts | _empty(mesh, groups[0].sizes.shape[1])


def compressed(group: CellRows) -> CellRows:
    """Rows ``(m, r, c)`` of cells as the triangles of their QR factorisations, where there are more rows than columns."""
    rows = group.rows
    return group if rows.shape[1] <= rows.shape[2] else replace(group, rows=torch.linalg.qr(rows, mode="r").R)


def couplings_of(mesh: Mesh, groups: list[CellRows], matched: Integers, balance: Balance | None) -> Couplings:
    """For every cell its faces, with the weighted rows of its traces there, values before derivatives of every unknown."""
    partition, faces, unknowns = mesh.partition, mesh.faces, len(matched)
    scale = torch.zeros(partition.count, unknowns, dtype=torch.float64)
    for group in groups:
        scale[group.cells] = (group.sizes * group.lead[:, None]).cpu()
    low, high = mesh.geometry.low, mesh.geometry.high
    sides, face_degrees = high - low, mesh.face_degrees
    out: Couplings = [[] for _ in range(partition.count)]
    depth = np.stack([sides[one, faces.axis] for one in (faces.first, faces.second)]) if len(faces) else np.zeros((2, 0))
    values = torch.stack([scale[one] for one in (faces.first, faces.second)]) * torch.as_tensor(depth).sqrt()[..., None]
    powers = [(values * torch.as_tensor(depth)[..., None] ** j).amin(0) for j in range(1, int(matched.max()) + 1)]
    weights = [values.amax(0), *powers]
    extent = np.where(np.arange(partition.dimension) == faces.axis[:, None], 1.0, faces.upper - faces.lower)
    area = torch.as_tensor(extent.prod(1)).sqrt()
    means = None if balance is None else torch.maximum(balance.means[faces.first], balance.means[faces.second])
    for is_second, cells in ((False, faces.first), (True, faces.second)):
        keys = np.stack([mesh.degrees[cells], face_degrees], axis=1) if len(faces) else np.zeros((0, 2), dtype=int)
        for degree, face_degree in np.unique(keys, axis=0).tolist():
            which = np.flatnonzero((keys == (degree, face_degree)).all(1))
            order = int(matched[:, faces.axis[which]].max())
            own = traces(faces, which, low[cells[which]], high[cells[which]], is_second, degree, face_degree, order)
            n = own[0].shape[2]
            for i, face in enumerate(which.tolist()):
                blocks = []
                for k in range(unknowns):
                    orders = range(matched[k, faces.axis[face]] + 1)
                    parts = [own[j][i] * (weights[j][face, k] * area[face]) for j in orders]
                    if means is not None and len(parts) == 2:
                        parts[1][:1] *= means[face]
                    rows = torch.cat(parts)
                    wide = rows.new_zeros(len(rows), unknowns * n)
                    wide[:, k * n : (k + 1) * n] = rows
                    blocks.append(wide)
                both = torch.cat(blocks)
                out[int(cells[face])].append(Coupling(face, both, both.new_zeros(len(both))))
    return out
