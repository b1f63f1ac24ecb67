"""jaxKAN as its tutorial on PDEs trains it: Chebyshev layers in float64 on 4096 Sobol points, Adam at 1e-3, then its L-BFGS.

The network is [2, 10, 1] of degree 12. Adam takes 5000 steps, or a quarter of the budget. Inputs are mapped to [-1, 1]².
Compilation is counted.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
from flax import nnx
from jax import numpy as jnp
from jaxkan.models.KAN import KAN
from jaxkan.models.utils import get_adam, get_lbfgs
from jaxkan.pikan.sampling import get_collocs_sobol
from measure import Clock, Solution, main
from statements import Array, Problem

WIDTHS, DEGREE = [2, 10, 1], 12
INSIDE, FACE = 4096, 64
ADAM_STEPS, ADAM_PART = 5000, 0.25
SEED = 42
Loss = Callable[[KAN], jax.Array]


def network() -> KAN:
    """The tutorial's layer, with parameters in float64."""
    options = {"D": DEGREE, "flavor": "exact", "init_scheme": {"type": "glorot_fine"}, "add_bias": True}
    model = KAN(layer_dims=WIDTHS, layer_type="chebyshev", required_parameters=options, seed=SEED)
    nnx.update(model, jax.tree.map(lambda p: p.astype(jnp.float64), nnx.state(model, nnx.Param)))
    return model


def points(problem: Problem) -> tuple[Array, Array]:
    """Sobol points inside and on the four faces."""
    (x0, y0), (x1, y1) = problem.lower, problem.upper
    faces = [((x0, x0), (y0, y1)), ((x1, x1), (y0, y1)), ((x0, x1), (y0, y0)), ((x0, x1), (y1, y1))]
    inside = get_collocs_sobol([(x0, x1), (y0, y1)], INSIDE, seed=SEED)
    outside = [get_collocs_sobol(list(face), FACE, seed=SEED) for face in faces]
    return np.asarray(inside, dtype=float), np.concatenate([np.asarray(face, dtype=float) for face in outside])


def on_box(problem: Problem, model: KAN) -> Callable[[jax.Array], jax.Array]:
    """The network as a function of points ``(n, 2)`` of the problem's box, with values ``(n,)``."""
    lower = jnp.array(problem.lower)
    scale = (jnp.array(problem.upper) - lower) / 2
    return lambda x: model((x - lower) / scale - 1)[:, 0]


def along(u: Callable[[jax.Array], jax.Array], axis: int) -> Callable[[jax.Array], tuple[jax.Array, jax.Array]]:
    """u and its derivative along an axis, carried forward: points do not mix, so that one direction serves them all."""
    return lambda x: jax.jvp(u, (x,), (jnp.zeros_like(x).at[:, axis].set(1.0),))


def loss_of(problem: Problem) -> Loss:
    """Mean squares of the residuals inside and on the boundary."""
    inside, faces = points(problem)
    p, q, r, s, f = jnp.asarray(problem.coefficients(inside)).T
    boundary = jnp.asarray(problem.boundary(faces))
    inside, faces = jnp.asarray(inside), jnp.asarray(faces)

    def loss(model: KAN) -> jax.Array:
        u = on_box(problem, model)
        (value, ux), (_, uxx) = along(along(u, 0), 0)(inside)
        (_, uy), (_, uyy) = along(along(u, 1), 1)(inside)
        residual = p * (uxx + uyy) + q * ux + r * uy + s * value - f
        return problem.interior_weight * jnp.mean(residual**2) + jnp.mean((u(faces) - boundary) ** 2)

    return loss


def evaluator(problem: Problem) -> Callable[[KAN], Solution]:
    """From a network to its values and gradients; compiled once."""

    @nnx.jit
    def compiled(model: KAN, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        u = on_box(problem, model)
        (value, ux), (_, uy) = along(u, 0)(x), along(u, 1)(x)
        return value, jnp.stack([ux, uy], axis=1)

    def of(model: KAN) -> Solution:
        def at(x: Array) -> tuple[Array, Array]:
            value, slope = compiled(model, jnp.asarray(x))
            return np.asarray(value), np.asarray(slope)

        return at

    return of


def solve(problem: Problem, clock: Clock) -> None:
    model, loss, solution = network(), loss_of(problem), evaluator(problem)
    unknowns = sum(p.size for p in jax.tree.leaves(nnx.state(model, nnx.Param)))

    @nnx.jit
    def adam_step(model: KAN, optimizer: nnx.Optimizer) -> jax.Array:
        value, slope = nnx.value_and_grad(loss)(model)
        optimizer.update(model, slope)
        return value

    @nnx.jit
    def lbfgs_step(model: KAN, optimizer: nnx.Optimizer) -> jax.Array:
        value, slope = nnx.value_and_grad(loss)(model)
        optimizer.update(model, slope, value=value, value_fn=loss)
        return value

    def train(step: Callable[[KAN, nnx.Optimizer], jax.Array], optimizer: nnx.Optimizer, steps: float, part: float) -> None:
        taken = 0
        while taken < steps and not clock.expired(part):
            jax.block_until_ready(step(model, optimizer))
            taken += 1
            if clock.due():
                clock.observe(solution(model), unknowns)

    train(adam_step, nnx.Optimizer(model, get_adam(learning_rate=1e-3), wrt=nnx.Param), ADAM_STEPS, ADAM_PART)
    train(lbfgs_step, nnx.Optimizer(model, get_lbfgs(), wrt=nnx.Param), float("inf"), 1.0)
    clock.observe(solution(model), unknowns)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(solve, "jaxkan", "jax", "flax", "optax")
