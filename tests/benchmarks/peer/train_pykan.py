"""pykan as its own example of a PDE trains it: a cubic KAN in float64 on 51 × 51 points, its L-BFGS, 5 then 10 intervals.

The network is [2, 10, 1]. As in the example a step is up to 20 iterations, the grid follows the samples every fifth of the
first twenty steps, and the finer grid comes after 50 steps; here after half of the budget at the latest. Inputs are mapped to
[-1, 1]².
"""

from __future__ import annotations

import math

import torch
from kan import KAN
from kan.LBFGS import LBFGS
from measure import Clock, Solution, main
from statements import Array, Problem

GRIDS = (5, 10)
STEPS = 50  # of each grid but the last
POINTS = 51  # an axis, inside and on each face
CHUNK = 10_000
Tensor = torch.Tensor


class OutOfTimeError(Exception):
    """Ends an L-BFGS step in its middle, at the best of the points that it has tried."""


class Model:
    """A network on the problem's box."""

    def __init__(self, problem: Problem, network: KAN) -> None:
        self.network = network
        self.lower = torch.tensor(problem.lower)
        self.scale = (torch.tensor(problem.upper) - self.lower) / 2

    def inputs(self, x: Tensor) -> Tensor:
        return (x - self.lower) / self.scale - 1

    def __call__(self, x: Tensor) -> Tensor:
        return self.network(self.inputs(x))[:, 0]

    def unknowns(self) -> int:
        """Spline coefficients and the two scales of every edge."""
        return sum(p.numel() for layer in self.network.act_fun for p in layer.parameters() if p.requires_grad)


def derivatives(model: Model, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Value ``(n,)``, gradient ``(n, 2)`` and Laplacian ``(n,)``."""
    x = x.requires_grad_()
    u = model(x)
    (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    laplacian = sum(torch.autograd.grad(slope[:, i].sum(), x, create_graph=True)[0][:, i] for i in range(2))
    return u, slope, laplacian


class Loss:
    """Mean squares of the residuals inside and on the boundary."""

    def __init__(self, problem: Problem) -> None:
        inside, faces = problem.grid(POINTS), problem.faces(POINTS)
        self.inside, self.faces = torch.tensor(inside), torch.tensor(faces)
        self.coefficients = torch.tensor(problem.coefficients(inside)).T
        self.boundary = torch.tensor(problem.boundary(faces))
        self.weight = problem.interior_weight

    def __call__(self, model: Model) -> Tensor:
        p, q, r, s, f = self.coefficients
        u, slope, laplacian = derivatives(model, self.inside)
        residual = p * laplacian + q * slope[:, 0] + r * slope[:, 1] + s * u - f
        return self.weight * residual.square().mean() + (model(self.faces) - self.boundary).square().mean()


def evaluated(model: Model) -> Solution:
    def at(points: Array) -> tuple[Array, Array]:
        values, slopes = [], []
        for x in torch.tensor(points).split(CHUNK):
            x.requires_grad_()
            u = model(x)
            slopes.append(torch.autograd.grad(u.sum(), x)[0])
            values.append(u.detach())
        return torch.cat(values).numpy(), torch.cat(slopes).numpy()

    return at


def train(model: Model, loss: Loss, clock: Clock, last: bool) -> None:
    """One grid."""
    part = 1.0 if last else 0.5
    optimizer = LBFGS(
        model.network.parameters(),
        lr=1,
        history_size=10,
        line_search_fn="strong_wolfe",
        tolerance_grad=1e-32,
        tolerance_change=1e-32,
        tolerance_ys=1e-32,
    )

    best: tuple[float, dict[str, Tensor]] = (math.inf, {})

    def closure() -> Tensor:
        nonlocal best
        if clock.expired():
            model.network.load_state_dict(best[1])
            raise OutOfTimeError
        optimizer.zero_grad()
        value = loss(model)
        value.backward()
        if float(value) < best[0]:
            best = (float(value), {name: p.clone() for name, p in model.network.state_dict().items()})
        return value

    step = 0
    while not clock.expired(part) and (last or step < STEPS):
        if step % 5 == 0 and step < 20:
            model.network.update_grid_from_samples(model.inputs(loss.inside.detach()))
        best = (math.inf, model.network.state_dict())
        optimizer.step(closure)
        step += 1
        if clock.due():
            clock.observe(evaluated(model), model.unknowns())


def solve(problem: Problem, clock: Clock) -> None:
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    loss = Loss(problem)
    network = KAN(width=[2, 10, 1], grid=GRIDS[0], k=3, seed=1, auto_save=False)
    model = Model(problem, network.speed())
    try:
        for grid in GRIDS:
            if grid != GRIDS[0]:
                model.network.save_act = True
                model.network.get_act(model.inputs(loss.inside.detach()))
                model = Model(problem, model.network.refine(grid).speed())
            train(model, loss, clock, last=grid == GRIDS[-1])
    except OutOfTimeError:
        pass
    clock.observe(evaluated(model), model.unknowns())


if __name__ == "__main__":
    main(solve, "pykan", "torch")
