"""Functions r^λ cos μθ and r^λ sin μθ about a point of the plane, with exact derivatives: how solutions behave at a corner.

With z = x + iy they are the real and imaginary parts of f = z^a z̄^b, a = (λ + μ)/2, b = (λ - μ)/2, so that

    ∂f = a/z f, ∂̄f = b/z̄ f, and along a vector v, with the complex number c = v₁ + i v₂, ∂_v = c ∂ + c̄ ∂̄.

The Laplacian is 4 a b |z|^-2 f, zero for μ = λ without any cancellation. Where λ is an integer, and r^λ cos λθ a polynomial,
solutions have the parts of f log z instead. λ and μ may have the same imaginary part, as in elasticity.

f jumps on the ray opposite to the corner. Where that would meet the domain, f is one of w = z / (1 + z/q), which is cut from 0
to -q alone: a conformal map, so that harmonic functions remain so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from pdekan.fields.jets import Derivatives, Frame, Jet, MissingDerivative

CLOSEST = 1e-12  # r is at least this: derivatives may be infinite at r = 0


class Power(NamedTuple):
    """λ, μ, whether it is the sine, whether it has a logarithm, and the imaginary part of λ and μ."""

    order: float
    frequency: float
    sine: bool
    logarithm: bool = False
    imaginary: float = 0.0


@dataclass(frozen=True)
class CornerFunctions:
    """r^λ cos μθ or r^λ sin μθ for every power.

    With a logarithm they are the parts of f (log r + iθ), as r^λ (log r sin μθ + θ cos μθ). r and θ are those of the image
    M (x - point); the matrix M = (m₁₁, m₁₂, m₂₁, m₂₂) turns the bisector of the corner to the first axis. θ is measured from
    the corner's first side: it is 0 there and `opening` on the second side, and jumps on the ray opposite to the bisector.
    outputs: of a network, which the functions are added to; all of them where none is named. far: q; 0 for a whole ray.
    """

    point: tuple[float, float]
    matrix: tuple[float, float, float, float]
    opening: float
    powers: tuple[Power, ...]
    outputs: tuple[int, ...] = ()
    far: float = 0.0

    @property
    def count(self) -> int:
        """The number of functions."""
        return len(self.powers)

    def jet(self, points: Tensor, frame: Frame) -> Jet:
        """The functions at points ``(n, 2)``, one component each. Raises MissingDerivative for derivatives above the second."""
        if frame.higher:
            raise MissingDerivative("functions of corners have first and second derivatives only")
        a, b, c = self._exponents(points)
        z = (points - points.new_tensor(self.point)) @ torch.stack([c.real, c.imag], dim=1)
        z = torch.complex(z[:, 0], z[:, 1])
        z, slope, bend = self._mapped(torch.where(z.abs() < CLOSEST, CLOSEST, z)[:, None])
        f = torch.exp((a + b) * z.abs().log() + 1j * (a - b) * (z.angle() + 0.5 * self.opening))
        logarithmic = torch.tensor([power.logarithm for power in self.powers], device=f.device)
        less = torch.where(logarithmic, f, 0.0)  # z ∂f of a logarithm
        f = torch.where(logarithmic, f * (z.log() + 0.5j * self.opening), f)
        first, conjugate = (a * f + less) / z, b / z.conj() * f
        gradient = second = None
        if frame.level >= Derivatives.GRADIENT:
            gradient = self._parts(c * (slope * first)[..., None] + (c * slope[..., None]).conj() * conjugate[..., None])
        if frame.level >= Derivatives.SUMMED:
            zz = (a * (a - 1.0) * f + (2.0 * a - 1.0) * less) / z**2
            zc, cc = b / z.conj() * first, (b - 1.0) / z.conj() * conjugate
            zz, zc = slope**2 * zz + bend * first, (slope * slope.conj()).real * zc
            cc = slope.conj() ** 2 * cc + bend.conj() * conjugate
            i, j = ([0, 0, 1], [0, 1, 1]) if frame.is_full else ([0, 1], [0, 1])
            both, mixed = c[i] * c[j], (c[i] * c[j].conj()).real
            if frame.level is Derivatives.SUMMED:
                both, mixed = both.sum(0, keepdim=True), mixed.sum(0, keepdim=True)
                both = torch.where(both.abs() < 1e-14 * mixed, 0.0, both)  # the Laplacian of an image that keeps angles
            second = self._parts(both * zz[..., None] + 2.0 * mixed * zc[..., None] + both.conj() * cc[..., None])
        return Jet(frame, self._parts(f[..., None])[..., 0], gradient, second)

    def _mapped(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """w and its first and second derivative."""
        if not self.far:
            return z, torch.ones_like(z), torch.zeros_like(z)
        s = 1.0 + z / self.far
        return z / s, s**-2, -2.0 / self.far * s**-3

    def _exponents(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """a and b ``(T,)``, and the images ``(2,)`` of the axes as complex numbers."""
        order, frequency, imaginary = (like.new_tensor([power[k] for power in self.powers]) for k in (0, 1, 4))
        m = like.new_tensor(self.matrix).reshape(2, 2)
        return torch.complex(0.5 * (order + frequency), imaginary), 0.5 * (order - frequency), torch.complex(m[0], m[1])

    def _parts(self, f: Tensor) -> Tensor:
        """Cosines as real, sines as imaginary parts ``(n, T, k)``."""
        sine = torch.tensor([power.sine for power in self.powers], device=f.device)[:, None]
        return torch.where(sine, f.imag, f.real)
