"""The ansatz u = g + φN + Σ aψ, p = p(s): against the formula written out in torch, and against autograd."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.utils import vector_to_parameters

from pdekan.ansatz.unknowns import Ansatz, build_ansatz, inner_network, network_outputs, parameter_values, regions
from pdekan.domains.box import box
from pdekan.domains.shapes import disk
from pdekan.fields.functions import sin
from pdekan.fields.jets import Derivatives, Frame, Jet
from pdekan.fields.operators import laplacian
from pdekan.networks.base import Network
from pdekan.networks.kan import KAN
from pdekan.networks.mlp import MLP
from pdekan.problems.conditions import dirichlet
from pdekan.problems.formulas import ProblemError, as_field
from pdekan.problems.parameters import Enrichment, Parameter
from pdekan.problems.problem import Problem
from pdekan.residuals.collocation import Sampling
from pdekan.residuals.least_squares import Objective
from pdekan.residuals.terms import terms

DOMAIN = box(x=(0, 1), y=(0, 2))
HOLE, DOT = disk((0.5, 1.0), 0.3), disk((0.7, 1.1), 0.3)  # two that overlap: four regions
PLAIN = Problem(DOMAIN, (lambda u, v: laplacian(u) - v, lambda v: laplacian(v)), 0.0, unknowns=("u", "v"))
LIFTED = (dirichlet(lambda x, y: (1.0 + x) * y**2 + x, on="x-", enforce="exact"),)
ENRICHED = (Enrichment(as_field(lambda x, y: sin(x * 3.0) * y), "v"), Enrichment(as_field(lambda x: x**3), "v"))
PARAMETERS = {"k": Parameter(1.0, 0.5, 3.0), "m": Parameter(0.5, -1.0), "q": Parameter(0.5, upper=2.0), "f": Parameter(-2.0)}
CASES = {
    "lifting": replace(PLAIN, conditions=LIFTED),
    "enrichments": replace(PLAIN, enrichments=ENRICHED),
    "interfaces": replace(PLAIN, interfaces={"hole": HOLE, "dot": DOT}),
    "parameters": replace(PLAIN, parameters=PARAMETERS),
    "all": Problem(
        DOMAIN, PLAIN.equation, 0.0, LIFTED, unknowns=("u", "v"), parameters=PARAMETERS, enrichments=ENRICHED,
        interfaces={"hole": HOLE, "dot": DOT},
    ),
}  # fmt: skip
every_case = pytest.mark.parametrize("name", CASES)
every_level = pytest.mark.parametrize("level", list(Derivatives))
POINTS = torch.tensor(
    [[0.1, 0.2], [0.5, 1.1], [0.45, 0.9], [0.95, 1.2], [0.8, 1.9], [0.3, 1.6], [0.72, 1.05]], dtype=torch.float64
)


def random_(network: Network, seed: int = 0) -> Network:
    """All numbers that are trained drawn at random."""
    generator = torch.Generator().manual_seed(seed)
    for p in network.parameters():
        p.data = 0.7 * torch.randn(p.shape, generator=generator, dtype=torch.float64)
    return network


def ansatz_for(problem: Problem, mlp: bool = True) -> Ansatz:
    widths = (2, 3, network_outputs(problem))
    inner: Network = MLP(widths, DOMAIN.lower, DOMAIN.upper)
    if not mlp:
        inner = KAN(widths, (5, 4), (2, 3), "silu", DOMAIN.lower, DOMAIN.upper)
    ansatz = random_(Ansatz(problem, inner))
    assert isinstance(ansatz, Ansatz)
    return ansatz


def sheet(x: Tensor) -> tuple[bool, bool]:
    """In which of the two disks a point is."""
    return tuple(math.dist(x.tolist(), d.center) < 0.3 for d in (HOLE, DOT))  # type: ignore[return-value]


def by_hand(ansatz: Ansatz, name: str, x: Tensor) -> Tensor:
    """What is sought ``(U + S,)`` at a point ``(2,)``, written down anew."""
    raw, all_ = ansatz.network(x[None])[0], name == "all"
    if name in ("interfaces", "all"):
        place = [(False, False), (False, True), (True, False), (True, True)].index(sheet(x))
        raw = raw[2 * place : 2 * place + 2]
    u, v = raw
    if name == "lifting" or all_:
        u = x[1] ** 2 + x[0] * u  # half of the box's longer side is one
    if name == "enrichments" or all_:
        v = v + ansatz.factors[0][0] * torch.sin(3.0 * x[0]) * x[1] + ansatz.factors[0][1] * x[0] ** 3
    out = [u, v]
    if name == "parameters" or all_:
        assert ansatz.values is not None
        out += list(ansatz.values)
    return torch.stack(out)


@every_case
@every_level
def test_jets_are_those_of_the_formula(name: str, level: Derivatives) -> None:
    problem = CASES[name]
    ansatz = ansatz_for(problem)
    frame = Frame(DOMAIN.coordinates, level)
    jet = ansatz.jet(POINTS, frame)
    formula: Callable[[Tensor], Tensor] = lambda x: by_hand(ansatz, name, x)  # noqa: E731
    value = torch.stack([formula(x) for x in POINTS])
    gradient = torch.stack([torch.autograd.functional.jacobian(formula, x) for x in POINTS])  # type: ignore[no-untyped-call]
    hessian = torch.stack(
        [
            torch.stack(
                [torch.autograd.functional.hessian(lambda x, k=k: formula(x)[k], x) for k in range(len(problem.sought))]  # type: ignore[no-untyped-call,misc]
            )
            for x in POINTS
        ]
    )
    torch.testing.assert_close(jet.value, value, rtol=1e-12, atol=1e-12)
    if jet.gradient is not None:
        torch.testing.assert_close(jet.gradient, gradient, rtol=1e-11, atol=1e-11)
    if jet.second is None:
        return
    expected = hessian[:, :, *frame.packed]
    diagonal = hessian.diagonal(dim1=2, dim2=3)
    if level is not Derivatives.FULL:
        expected = diagonal if level is Derivatives.DIAGONAL else diagonal.sum(2, keepdim=True)
    torch.testing.assert_close(jet.second, expected, rtol=1e-10, atol=1e-10)


def test_the_points_lie_in_all_four_regions() -> None:
    assert regions(CASES["all"]) == [(False, False), (False, True), (True, False), (True, True)]
    assert {sheet(x) for x in POINTS} == set(regions(CASES["all"]))
    assert network_outputs(CASES["all"]) == 8
    assert network_outputs(PLAIN) == 2


@every_case
@every_level
@pytest.mark.parametrize("mlp", [True, False])
def test_rows_are_what_autograd_says(name: str, level: Derivatives, mlp: bool) -> None:
    ansatz = ansatz_for(CASES[name], mlp)
    frame = Frame(DOMAIN.coordinates, level)
    generator = torch.Generator().manual_seed(1)
    jet = ansatz.jet(POINTS, frame)
    parts = [p for p in (jet.value, jet.gradient, jet.second) if p is not None]
    weights = [torch.randn(p.shape, generator=generator, dtype=torch.float64) for p in parts]
    pairing = sum((w * p).flatten(1).sum(1) for w, p in zip(weights, parts, strict=True))
    expected = []
    for one in pairing:  # type: ignore[union-attr]
        slopes = torch.autograd.grad(
            one, list(ansatz.parameters()), retain_graph=True, allow_unused=True, materialize_grads=True
        )
        expected.append(torch.cat([slope.reshape(-1) for slope in slopes]))
    wanted = torch.stack(expected)
    cotangent = Jet(frame, *weights, *[None] * (3 - len(weights)))  # type: ignore[arg-type]
    prepared = ansatz.prepare(POINTS, frame)
    trace = ansatz.trace(prepared)
    torch.testing.assert_close(trace.jet.value, jet.value.detach(), rtol=1e-12, atol=1e-12)
    rows = trace.rows(cotangent)
    torch.testing.assert_close(rows, wanted, rtol=1e-9, atol=1e-9)
    linear = ansatz.trace(prepared, only_linear=True).rows(cotangent)
    assert ansatz.linear_parameters == linear.shape[1] > 0
    torch.testing.assert_close(linear, wanted[:, -ansatz.linear_parameters :], rtol=1e-9, atol=1e-9)


@every_case
def test_fields_are_affine_in_the_trailing_parameters_and_linear_where_homogeneous(name: str) -> None:
    ansatz = ansatz_for(CASES[name])
    assert ansatz.homogeneous == (name in ("enrichments", "interfaces"))
    theta = ansatz.flat_parameters
    count = ansatz.linear_parameters
    assert count == ansatz.network.linear_parameters + (2 if CASES[name].enrichments else 0)

    def at(scale: float) -> Tensor:
        moved = theta.clone()
        moved[-count:] *= scale
        vector_to_parameters(moved, ansatz.parameters())
        return ansatz(POINTS).detach()

    zero, one, three = at(0.0), at(1.0), at(3.0)
    torch.testing.assert_close(three - zero, 3.0 * (one - zero), rtol=1e-12, atol=1e-12)
    assert bool((zero == 0.0).all()) == ansatz.homogeneous


def test_training_begins_at_the_initial_values() -> None:
    ansatz = Ansatz(CASES["all"], MLP((2, 3, 8), DOMAIN.lower, DOMAIN.upper))
    for name, parameter in PARAMETERS.items():
        assert ansatz.parameter_values()[name] == pytest.approx(parameter.initial, rel=1e-14)
    assert not ansatz.factors[0].detach().any()


@pytest.mark.parametrize("bounds", [(1.0, 1.0, 2.0), (2.0, 1.0, 2.0), (3.0, 1.0, 2.0), (math.nan, 1.0, 2.0), (0.0, 2.0, 1.0)])
def test_an_initial_value_that_is_not_between_the_bounds_is_refused(bounds: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match=r"is not between"):
        Parameter(*bounds)


@every_case
def test_another_network_keeps_parameters_and_factors(name: str) -> None:
    problem = CASES[name]
    ansatz = ansatz_for(problem, mlp=False)
    inner = inner_network(ansatz)
    assert isinstance(inner, KAN)
    other = ansatz.with_network(inner.refined((5, 4), (4, 6)))
    assert sum(p.numel() for p in other.parameters()) > sum(p.numel() for p in ansatz.parameters())
    torch.testing.assert_close(other(POINTS), ansatz(POINTS), rtol=1e-10, atol=1e-10)
    assert other.parameter_values() == ansatz.parameter_values()
    for old, new in zip(ansatz.factors, other.factors, strict=True):
        assert torch.equal(old, new)
        new.data += 1.0  # of its own: the first keeps what it had
        assert not torch.equal(old, new)


@every_case
def test_state_goes_out_and_in(name: str) -> None:
    ansatz = ansatz_for(CASES[name])
    other = random_(ansatz_for(CASES[name]), seed=5)
    assert not torch.allclose(other(POINTS), ansatz(POINTS))
    other.load_state_dict(ansatz.state_dict())
    assert torch.equal(other(POINTS), ansatz(POINTS))


def test_a_problem_that_needs_no_ansatz_has_none() -> None:
    network = MLP((2, 3, 2), DOMAIN.lower, DOMAIN.upper)
    assert build_ansatz(PLAIN, network) is network
    assert inner_network(network) is network
    assert parameter_values(network) == {}
    for problem in CASES.values():
        inner = MLP((2, 3, network_outputs(problem)), DOMAIN.lower, DOMAIN.upper)
        outer = build_ansatz(problem, inner)
        assert isinstance(outer, Ansatz)
        assert inner_network(outer) is inner
        assert outer.outputs == len(problem.sought)


def test_a_network_with_another_number_of_outputs_is_refused() -> None:
    with pytest.raises(ValueError, match="has 3 outputs; the problem needs 2"):
        Ansatz(CASES["lifting"], MLP((2, 3, 3), DOMAIN.lower, DOMAIN.upper))


def test_what_is_enriched_cannot_be_exact() -> None:
    problem = replace(CASES["lifting"], enrichments=(Enrichment(as_field(lambda x: x), "u"),))
    with pytest.raises(ProblemError, match="u is enriched: its conditions cannot be exact"):
        build_ansatz(problem, MLP((2, 3, 2), DOMAIN.lower, DOMAIN.upper))


def test_points_in_a_region_too_small_to_be_known_have_rows_that_fit_their_values() -> None:
    """Two disks that overlap in a lens which no sample hits: its points take the first region's outputs, in both."""
    sliver = {"left": disk((0.3, 1.0), 0.2), "right": disk((0.7 - 1e-6, 1.0), 0.2)}
    problem = replace(PLAIN, interfaces=sliver)
    assert (True, True) not in regions(problem)
    ansatz = random_(Ansatz(problem, MLP((2, 3, network_outputs(problem)), DOMAIN.lower, DOMAIN.upper)))
    points = torch.tensor([[0.5 - 5e-7, 1.0]], dtype=torch.float64)
    assert all(shape.contains(points.numpy()).all() for shape in sliver.values())
    frame = Frame(DOMAIN.coordinates, Derivatives.VALUE)
    slopes = torch.autograd.grad(ansatz.jet(points, frame).value[0, 0], list(ansatz.parameters()))
    rows = ansatz.trace(ansatz.prepare(points, frame)).rows(Jet(frame, torch.tensor([[1.0, 0.0]], dtype=torch.float64)))
    torch.testing.assert_close(rows[0], torch.cat([slope.reshape(-1) for slope in slopes]), rtol=1e-12, atol=1e-12)


def test_an_equation_that_is_linear_for_the_initial_parameter_alone_is_not_taken_for_affine() -> None:
    """-u'' + k u³ = f with k sought from zero on."""
    problem = Problem(
        box(x=(0, 1)), lambda u, k: -laplacian(u) + k * u**3, 1.0, (dirichlet(0.0),), parameters={"k": Parameter(0.0)}
    )
    ansatz = random_(build_ansatz(problem, MLP((1, 3, 1), (0.0,), (1.0,))))
    assert not Objective(problem, ansatz, terms(problem, Sampling(3, 3, 0, 0))).affine
    assert np.isfinite(list(parameter_values(ansatz).values())).all()
