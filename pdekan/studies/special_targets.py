"""The fifteen special functions of the KAN paper's section 3.2, with the published errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy import special

from pdekan.domains.quadrature import Array
from pdekan.studies.regression import Target


@dataclass(frozen=True)
class Published:
    """A row of the table in section 3.2 of arXiv:2404.19756: widths, and root mean square errors on test points.

    minimal: the smallest KAN with an error below 1e-2; best: the KAN with the lowest error; mlp: the lowest error of MLPs.
    """

    minimal: str
    minimal_rmse: float
    best: str
    best_rmse: float
    mlp_rmse: float


@dataclass(frozen=True)
class SpecialFunction:
    """A function of two variables with its published errors."""

    target: Target
    paper: Published


Interval = tuple[float, float]


def _of(name: str, formula: Callable[[Array, Array], Array], x: Interval, y: Interval, paper: Published) -> SpecialFunction:
    return SpecialFunction(Target.of_coordinates(name, (x[0], y[0]), (x[1], y[1]), formula), paper)


def _legendre(order: int, paper: Published) -> SpecialFunction:
    # singular at -1 where the degree is not an integer
    return _of(f"lpmv({order},x,y)", lambda x, y: special.lpmv(order, x, y), (0.0, 4.0), (-0.9, 0.9), paper)


def _harmonic(m: int, n: int, paper: Published) -> SpecialFunction:
    """The real part by azimuth x and polar angle y."""
    return _of(
        f"sph_harm({m},{n},x,y)",
        lambda x, y: special.sph_harm_y(n, m, y, x).real,
        (0.0, 2.0 * math.pi),
        (0.0, math.pi),
        paper,
    )


# The paper does not state the intervals. These exclude singularities: of elliptic functions at y = 1, of Bessel functions at
# y = 0, where for x > 0 even J and I are not smooth.
_MODULUS, _ORDER = (0.0, 0.9), (0.0, 2.0)
_ALL = (
    _of("ellipj(x,y)", lambda x, y: special.ellipj(x, y)[0], (0.0, 3.0), _MODULUS,
        Published("[2,2,1]", 7.29e-3, "[2,3,2,1,1,1]", 1.33e-4, 6.48e-4)),
    _of("ellipkinc(x,y)", special.ellipkinc, (0.0, 1.5), _MODULUS,
        Published("[2,2,1,1]", 1.00e-3, "[2,2,1,1,1]", 1.24e-4, 5.52e-4)),
    _of("ellipeinc(x,y)", special.ellipeinc, (0.0, 1.5), _MODULUS,
        Published("[2,2,1,1]", 8.36e-5, "[2,2,1,1]", 8.26e-5, 3.04e-4)),
    _of("jv(x,y)", special.jv, _ORDER, (1.0, 10.0), Published("[2,2,1]", 4.93e-3, "[2,3,1,1,1]", 1.64e-3, 5.52e-3)),
    _of("yv(x,y)", special.yv, _ORDER, (1.0, 10.0), Published("[2,3,1]", 1.89e-3, "[2,2,2,1]", 1.49e-5, 3.45e-4)),
    _of("kv(x,y)", special.kv, _ORDER, (1.0, 5.0), Published("[2,1,1]", 4.89e-3, "[2,2,1]", 2.52e-5, 1.67e-4)),
    _of("iv(x,y)", special.iv, _ORDER, (1.0, 5.0), Published("[2,4,3,2,1,1]", 9.28e-3, "[2,4,3,2,1,1]", 9.28e-3, 1.07e-2)),
    _legendre(0, Published("[2,2,1]", 5.25e-5, "[2,2,1]", 5.25e-5, 1.74e-2)),
    _legendre(1, Published("[2,4,1]", 6.90e-4, "[2,4,1]", 6.90e-4, 1.50e-3)),
    _legendre(2, Published("[2,2,1]", 4.88e-3, "[2,3,2,1]", 2.26e-4, 9.43e-4)),
    _harmonic(0, 1, Published("[2,1,1]", 2.21e-7, "[2,1,1]", 2.21e-7, 1.25e-6)),
    _harmonic(1, 1, Published("[2,2,1]", 7.86e-4, "[2,3,2,1]", 1.22e-4, 6.70e-4)),
    _harmonic(0, 2, Published("[2,1,1]", 1.95e-7, "[2,1,1]", 1.95e-7, 2.85e-6)),
    _harmonic(1, 2, Published("[2,2,1]", 4.70e-4, "[2,2,1,1]", 1.50e-5, 1.84e-3)),
    _harmonic(2, 2, Published("[2,2,1]", 1.12e-3, "[2,2,3,2,1]", 9.45e-5, 6.21e-4)),
)  # fmt: skip
FUNCTIONS: dict[str, SpecialFunction] = {one.target.name: one for one in _ALL}
