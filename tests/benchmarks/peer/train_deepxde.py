"""DeepXDE as its examples train it: a tanh network with three layers of 50 in float64, Adam at 1e-3, then L-BFGS.

2500 points inside, 400 on the boundary. Adam takes 15 000 steps, or a quarter of the budget. Inputs are mapped to [-1, 1]².
"""

from __future__ import annotations

import os

os.environ["DDE_BACKEND"] = "pytorch"  # read when the package is imported

import deepxde as dde
import torch
from deepxde.optimizers.config import LBFGS_options
from measure import Clock, Solution, main
from statements import Array, Problem

LAYERS = [2, 50, 50, 50, 1]
INSIDE, BOUNDARY = 2500, 400
ADAM_STEPS, ADAM_PART = 15_000, 0.25
# Iterations between two looks at the clock. They are the same iterations in whatever portions, but each portion takes three
# evaluations of the loss more.
PORTION = 25


class Watch(dde.callbacks.Callback):
    """Observes along training and stops it when its part of the budget is used up."""

    def __init__(self, clock: Clock, part: float) -> None:
        super().__init__()
        self.clock, self.part = clock, part

    def on_epoch_end(self) -> None:
        if self.clock.due():
            observe(self.model, self.clock)
        if self.clock.expired(self.part):
            self.model.stop_training = True


def observe(model: dde.Model, clock: Clock) -> None:
    clock.observe(evaluated(model.net), sum(p.numel() for p in model.net.parameters()))


def evaluated(network: torch.nn.Module) -> Solution:
    def at(points: Array) -> tuple[Array, Array]:
        x = torch.tensor(points, requires_grad=True)
        u = network(x)
        (slope,) = torch.autograd.grad(u.sum(), x)
        return u.detach().numpy()[:, 0], slope.numpy()

    return at


def equation(x: torch.Tensor, u: torch.Tensor, coefficients: torch.Tensor) -> torch.Tensor:
    p, q, r, s, f = coefficients.split(1, dim=1)
    ux, uy = (dde.grad.jacobian(u, x, i=0, j=j) for j in range(2))
    laplacian = sum(dde.grad.hessian(u, x, i=j, j=j) for j in range(2))
    return p * laplacian + q * ux + r * uy + s * u - f


def model_of(problem: Problem) -> dde.Model:
    box = dde.geometry.Rectangle(list(problem.lower), list(problem.upper))
    condition = dde.icbc.DirichletBC(box, lambda x: problem.boundary(x)[:, None], lambda _, on_boundary: on_boundary)
    data = dde.data.PDE(
        box, equation, condition, num_domain=INSIDE, num_boundary=BOUNDARY, auxiliary_var_function=problem.coefficients
    )
    network = dde.nn.FNN(LAYERS, "tanh", "Glorot uniform")
    lower = torch.tensor(problem.lower)
    scale = (torch.tensor(problem.upper) - lower) / 2
    network.apply_feature_transform(lambda x: (x - lower) / scale - 1)
    return dde.Model(data, network)


def solve(problem: Problem, clock: Clock) -> None:
    torch.set_num_threads(1)
    dde.config.set_default_float("float64")
    dde.config.set_random_seed(0)
    model = model_of(problem)
    weights = [problem.interior_weight, 1.0]
    model.compile("adam", lr=1e-3, loss_weights=weights)
    model.train(iterations=ADAM_STEPS, display_every=10**9, callbacks=[Watch(clock, ADAM_PART)], verbose=0)
    # its own stopping rules would end at a gradient of 1e-8; here only the budget does
    dde.optimizers.set_LBFGS_options(ftol=0, gtol=0, maxiter=10**7)
    LBFGS_options["iter_per_step"], LBFGS_options["fun_per_step"] = PORTION, PORTION * 5 // 4
    model.compile("L-BFGS", loss_weights=weights)
    model.train(display_every=10**9, callbacks=[Watch(clock, 1.0)], verbose=0)
    observe(model, clock)


if __name__ == "__main__":
    main(solve, "deepxde", "torch")
