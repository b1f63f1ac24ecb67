"""Inner functions to begin a search with: polynomials of four kinds, which lead to different minima.

Each is Σ_i α_i x_i + β_i x_i² + γ_i x_i³ in coordinates of [-1, 1]; hidden nodes are normalised afterwards. On sin πx sin πy²
with five nodes a search ends at the least residual from 4 of 100 starts with directions, from 12 of 100 with curved functions
and 20 of 100 with pairs; with a variable coefficient from half of the starts with directions, and from few others.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pdekan.fields.jets import Jet
from pdekan.networks.kan import directions

POWERS = 3
# Sizes of the coefficients of x, x², x³, relative to each other.
NEARLY_LINEAR, CURVED, OF_PAIRS = (1.0, 0.1, 0.05), (1.0, 0.5, 0.1), (1.0, 1.0, 0.3)


def starts(count: int, width: int, solution: Jet, position: Tensor, generator: torch.Generator) -> Tensor:
    """Coefficients ``(count, d, width, 3)`` of x, x², x³ along every axis, the kinds in turn.

    solution: about that of the problem, with its gradient and pure second derivatives, at positions ``(n, d)`` of [-1, 1]^d; in
    these coordinates.
    """
    d = position.shape[1]
    sizes = [len(range(k, count, 4)) for k in range(4)]
    return torch.cat(
        [
            spread(sizes[0], d, width, generator),
            _random((sizes[1], d, width), CURVED, generator),
            _pairs(sizes[2], d, width, generator),
            _taylor(sizes[3], width, solution, position, generator),
        ]
    )


def spread(count: int, d: int, width: int, generator: torch.Generator) -> Tensor:
    """Plane waves of well-spread directions with little curvature."""
    drawn = torch.randn(count, d, width, POWERS, generator=generator, dtype=torch.float64)
    for one in drawn:
        one[..., 0] = directions(d, width, None, generator)
    return drawn * torch.tensor(NEARLY_LINEAR, dtype=torch.float64)


def _random(shape: tuple[int, int, int], sizes: tuple[float, ...], generator: torch.Generator) -> Tensor:
    """Random directions with curvature of their own along every axis."""
    drawn = torch.randn(*shape, POWERS, generator=generator, dtype=torch.float64)
    drawn[..., 0] /= drawn[..., 0].norm(dim=1, keepdim=True).clamp_min(1e-12)
    return drawn * torch.tensor(sizes, dtype=torch.float64)


def _pairs(count: int, d: int, width: int, generator: torch.Generator) -> Tensor:
    """Pairs f + g and f - g, from which products follow: (f + g)² - (f - g)² = 4 f g; g is a function of one coordinate."""
    drawn = _random((count, d, -(-width // 2)), OF_PAIRS, generator)
    signs = torch.ones(2, count, d, drawn.shape[2], 1, dtype=torch.float64)
    axis = torch.randint(d, (count, 1, drawn.shape[2], 1), generator=generator)
    signs[1].scatter_(1, axis, -1.0)
    return (drawn * signs).permute(1, 2, 3, 0, 4).flatten(2, 3)[:, :, :width]


def _taylor(count: int, width: int, solution: Jet, position: Tensor, generator: torch.Generator) -> Tensor:
    """Taylor polynomials of a solution about points, without its mixed derivatives; points where it is steep are likelier."""
    gradient, second = solution.gradient, solution.second
    assert gradient is not None
    assert second is not None
    steep = gradient.norm(dim=1).clamp_min(1e-300)
    chosen = torch.multinomial(steep, max(1, count * width), replacement=True, generator=generator)[: count * width]
    linear, square = gradient[chosen] - second[chosen] * position[chosen], 0.5 * second[chosen]
    size = (linear.square() + square.square()).sum(1, keepdim=True).sqrt().clamp_min(1e-300)
    noise = NEARLY_LINEAR[2] * torch.randn(linear.shape, generator=generator, dtype=torch.float64)
    polynomials = torch.stack([linear / size, square / size, noise], dim=-1)
    return polynomials.reshape(count, width, -1, POWERS).transpose(1, 2)
