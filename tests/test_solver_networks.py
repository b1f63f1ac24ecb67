"""solve() with given networks, torch modules, and every optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from solved_problems import LINE, MLP_8, SMALL, TINY, assert_sound, error, given_mlp, loss_of
from torch import nn

from pdekan.networks.base import Network
from pdekan.networks.kan import KAN
from pdekan.networks.mlp import MLP
from pdekan.optimizers.adam import Adam
from pdekan.optimizers.base import Outcome
from pdekan.optimizers.gauss_newton import GaussNewton
from pdekan.optimizers.lbfgs import LBFGS
from pdekan.optimizers.matrix_free import MatrixFree
from pdekan.optimizers.ssbroyden import SSBroyden
from pdekan.problem_files.loader import load_problem
from pdekan.problems.formulas import ProblemError
from pdekan.problems.options import NetworkOptions, TrainingOptions
from pdekan.training.optimizer_choice import SizedGaussNewton
from pdekan.training.solver import solve


def module() -> nn.Module:
    state = torch.get_rng_state()
    torch.manual_seed(0)
    built = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    torch.set_rng_state(state)
    return built


def given_kan() -> Network:
    network = KAN((1, 3, 1), 5, 4)
    network.initialise(torch.Generator().manual_seed(0))
    return network


GIVEN: dict[str, Callable[[], nn.Module]] = {"kan": given_kan, "mlp": given_mlp, "module": module}


@pytest.mark.parametrize(
    ("optimizer", "steps", "factor"),
    [("matrix-free", 20, 1e-3), ("ssbroyden", 100, 1e-2), ("lbfgs", 100, 1e-2), ("adam", 300, 0.6), ("gauss-newton", 10, 1e-3)],
)
@pytest.mark.parametrize("kind", GIVEN)
def test_every_optimizer_trains_every_network_it_can(optimizer: Any, steps: int, factor: float, kind: str) -> None:
    network, training = GIVEN[kind](), TrainingOptions(optimizer=optimizer, steps=steps, points=60)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    solution = solve(LINE, network=network, training=training, estimate=False)
    assert_sound(solution)
    assert solution.history["loss"][-1] < factor * loss_of(network)
    assert 0 < solution.iterations <= steps
    # the caller's network is what it was, and still its own
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(p.requires_grad for p in network.parameters())
    assert solution.network is not network


def test_gauss_newton_works_without_the_jacobian_where_parameters_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    training = TrainingOptions(steps=3, points=40, refine=(4,))
    monkeypatch.setattr(GaussNewton, "minimise", None)  # whoever asks it fails
    solution = solve(LINE, network=SMALL, training=training, optimizer=SizedGaussNewton(dense=10), estimate=False)
    assert_sound(solution)
    assert solution.history["loss"][-1] < 1e-5 * loss_of(given_kan())


def test_ssbroyden_refuses_networks_of_which_its_matrix_would_be_too_large() -> None:
    with pytest.raises(ProblemError, match="matrix-free or lbfgs"):
        solve(LINE, network=MLP((1, 4000, 1)), training=TrainingOptions(optimizer="ssbroyden", steps=1, points=40))


class Fourier(nn.Module):
    """Sines and cosines of trained wave vectors, then a tanh layer; not an `nn.Sequential`, hence nothing in it is linear."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.waves = nn.Parameter(2.0 * torch.randn(2, 8, generator=generator))
        self.hidden, self.last = nn.Linear(16, 24), nn.Linear(24, 1)
        with torch.no_grad():
            for parameter in (*self.hidden.parameters(), *self.last.parameters()):
                parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        phase = x @ self.waves
        return self.last(torch.tanh(self.hidden(torch.cat([torch.sin(phase), torch.cos(phase)], dim=1))))


@pytest.mark.nightly
def test_gauss_newton_trains_any_module() -> None:
    solution = solve(load_problem("poisson_sine"), network=Fourier(), training=TrainingOptions(points=900, steps=60))
    assert_sound(solution)
    assert error(solution) < 1e-4


def test_gauss_newton_refuses_a_module_that_it_cannot_differentiate_point_by_point() -> None:
    network = nn.Sequential(nn.Linear(1, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    with pytest.raises(ProblemError, match="lbfgs or adam"):
        solve(LINE, network=network, training=TrainingOptions(steps=2, points=40))


def test_a_network_in_single_precision_is_not_changed_either() -> None:
    single = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1))
    solve(LINE, network=single, training=TrainingOptions(optimizer="lbfgs", steps=5, points=40))
    assert single[0].weight.dtype == torch.float32


@pytest.mark.parametrize("optimizer", ["gauss-newton", "matrix-free", "ssbroyden", "lbfgs", "adam"])
@pytest.mark.parametrize("options", [TINY, MLP_8], ids=["kan", "mlp"])
def test_steps_are_a_budget_for_all_stages_and_starts_together(
    optimizer: Any, options: NetworkOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    method = {"gauss-newton": GaussNewton, "matrix-free": MatrixFree, "ssbroyden": SSBroyden, "lbfgs": LBFGS, "adam": Adam}[
        optimizer
    ]
    plain = method.minimise

    def counted(*arguments: Any) -> Outcome:
        outcome = plain(*arguments)
        taken.append(outcome.steps)
        return outcome

    monkeypatch.setattr(method, "minimise", counted)
    training = TrainingOptions(optimizer=optimizer, steps=12, starts=2, refine=(2, 4), points=40, tolerance=1e-13)
    solution = solve(LINE, network=options, training=training, estimate=False)
    assert_sound(solution)
    assert solution.iterations <= 30
    assert 0 < sum(taken) <= 30
