"""Random problems with an energy, whose solution, network and error are known; what bounds of the error are checked against."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from perturbed import Perturbed
from torch import Tensor

import pdekan as pk
from pdekan import EXACT, Problem
from pdekan.fields.functions import stacked
from pdekan.fields.jets import Derivatives, Frame, Jet
from pdekan.networks.base import Network
from pdekan.problems.conditions import Robin

DOMAINS = {
    "line": lambda draw: pk.box(x=(0.0, draw(0.5, 3.0))),
    "box": lambda draw: pk.box(x=(-1.0, draw(-0.5, 1.0)), y=(0.0, draw(0.5, 2.0))),
    "disk": lambda draw: pk.disk((draw(-1.0, 1.0), 0.0), draw(0.5, 2.0)),
    "polygon": lambda draw: pk.polygon([(0, 0), (1, draw(-0.3, 0.3)), (draw(1.0, 1.5), 1), (0, draw(0.7, 1.2))]),
    "ring": lambda draw: pk.annulus((0.0, 0.0), draw(0.3, 0.7), 1.0),
}  # fmt: skip


class Off(Perturbed):
    """The exact solution and an error, a function of the coordinates."""

    def __init__(self, problem: Problem, error: Callable[..., Any]) -> None:
        super().__init__(problem, 0.0)
        self.off = error

    def jet(self, points: Tensor, frame: Frame) -> Jet:
        exact = self.problem.exact_jets(points, frame.level, frame.normal)["u"]
        return stacked([exact + self.off(*(frame.coordinate(points, k) for k in range(self.inputs)))])


@dataclass(frozen=True)
class Energy:
    """A problem -div(k∇u) + c u = f, k = a e^(b x), c a number; faces with n · k∇u + α u given by α."""

    problem: Problem
    a: float
    b: float
    c: float
    robin: dict[str, float]

    def norm(self, network: Network) -> float:
        """|||u - v||| by fine Gauss rules."""
        domain, cells = self.problem.domain, 40 if self.problem.domain.dimension < 3 else 12
        rule, square = domain.interior(cells, 6, 0, 0), 0.0
        value, gradient = self._difference(network, rule.points)
        k = self.a * np.exp(self.b * rule.points[:, 0])
        square = rule.weights @ (k * (gradient**2).sum(axis=1) + self.c * value**2)
        for face, alpha in self.robin.items():
            rule = domain.face(face, cells, 6, 0, 0)
            square += alpha * rule.weights @ self._difference(network, rule.points)[0] ** 2
        return math.sqrt(square)

    def _difference(self, network: Network, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = torch.as_tensor(points)
        with torch.no_grad():
            v = network.jet(x, Frame(self.problem.domain.coordinates, Derivatives.GRADIENT))
        u = self.problem.exact_jets(x, Derivatives.GRADIENT)["u"]
        assert v.gradient is not None
        assert u.gradient is not None
        return (u.value - v.value[:, 0]).numpy(), (u.gradient - v.gradient[:, 0]).numpy()


def random_energy(seed: int) -> Energy:
    """A problem by its number: domains, coefficients, kinds of conditions and solutions are drawn."""
    generator = np.random.default_rng(seed)

    def draw(low: float, high: float) -> float:
        return float(generator.uniform(low, high))

    domain = DOMAINS[str(generator.choice(list(DOMAINS)))](draw)
    a, b = draw(0.5, 3.0), draw(-1.0, 1.0) * generator.integers(2)
    c = draw(0.0, 10.0) * generator.integers(2)
    faces = list(domain.faces)
    kinds = ["dirichlet", *generator.choice(["dirichlet", "neumann", "robin"], len(faces) - 1)]
    robin, conditions = {}, []
    for face, kind in zip(faces, kinds, strict=True):
        if kind == "dirichlet":
            conditions.append(pk.dirichlet(EXACT, face))
        elif kind == "neumann":
            conditions.append(pk.neumann(EXACT, face))
        else:
            robin[face] = draw(0.1, 3.0)
            conditions.append(_robin(a, b, robin[face], face))
    p, q, r = draw(0.5, 3.0), draw(0.5, 3.0), draw(0.0, 3.0)
    exact = (lambda x: pk.sin(p * x + r)) if domain.dimension == 1 else (lambda x, y: pk.sin(p * x + r) * pk.exp(-q * y))
    problem = Problem(
        domain, lambda u, x: -pk.div(a * pk.exp(b * x) * pk.grad(u)) + c * u, EXACT, tuple(conditions), exact=exact
    )
    return Energy(problem, a, b, c, robin)


def _robin(a: float, b: float, alpha: float, face: str) -> Robin:
    """n · k∇u + α u as the exact solution has it."""
    return pk.robin(lambda u, x: a * pk.exp(b * x) * pk.normal(u) + alpha * u, EXACT, face)


def random_error(seed: int, dimension: int) -> Callable[..., Any]:
    """A sum of waves of several frequencies, of a size between 1e-9 and 1."""
    generator = np.random.default_rng(seed + 10**6)
    size, count = 10.0 ** generator.uniform(-9.0, 0.0), int(generator.integers(1, 4))
    waves = generator.uniform(-10.0, 10.0, (count, dimension))
    shifts = generator.uniform(0.0, 2.0 * math.pi, count)

    def error(*position: Any) -> Any:
        phases = (sum(w * x for w, x in zip(wave, position, strict=True)) for wave in waves.tolist())
        return sum(pk.sin(phase + shift) for phase, shift in zip(phases, shifts.tolist(), strict=True)) * size

    return error


def trained(energy: Energy, steps: int) -> Network:
    """A network after some steps: few make a bad one."""
    return pk.solve(energy.problem, estimate=False, training=pk.TrainingOptions(steps=steps, seconds=5.0)).network
