"""Write the measurements of the library's inverse problems, and its tables, to problems/data.

    python tests/benchmarks/make_data.py

Values are those of a closed form at random points, with normally distributed errors; seeds are fixed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.image import imsave
from numpy.typing import NDArray

FOLDER = Path(__file__).parents[2] / "problems" / "data"
Array = NDArray[np.float64]


def diffusivity() -> dict[str, Array]:
    """exp(-π²kt) sin πx + exp(-9π²kt) sin(3πx)/2 with k = 0.1, at 200 points, errors of 0.01."""
    generator, k = np.random.default_rng(1), 0.1
    x, t = generator.random(200), generator.random(200)
    decay = np.exp(-(np.pi**2) * k * t)
    u = decay * np.sin(np.pi * x) + decay**9 * np.sin(3 * np.pi * x) / 2
    return {"x": x, "t": t, "u": u + 0.01 * generator.standard_normal(200)}


def transport() -> dict[str, Array]:
    """A Gaussian that drifts with speed 0.8 and spreads with diffusivity 0.05, at 300 points, errors of 0.005."""
    generator, speed, spread = np.random.default_rng(2), 0.8, 0.05
    x, t = generator.uniform(-1.5, 2.5, 300), generator.random(300)
    width = 0.4 + 4 * spread * t
    u = np.sqrt(0.4 / width) * np.exp(-((x - speed * t) ** 2) / width)
    return {"x": x, "t": t, "u": u + 0.005 * generator.standard_normal(300)}


def conductivity() -> dict[str, Array]:
    """x + sin x at 200 points, errors of 0.001."""
    generator = np.random.default_rng(3)
    x = generator.random(200)
    return {"x": x, "u": x + np.sin(x) + 0.001 * generator.standard_normal(200)}


def regression() -> dict[str, Array]:
    """exp(sin πx + y²) at 1000 points, without errors."""
    generator = np.random.default_rng(4)
    x, y = generator.uniform(-1.0, 1.0, (2, 1000))
    return {"x": x, "y": y, "u": np.exp(np.sin(np.pi * x) + y**2)}


def soil_profile() -> dict[str, Array]:
    """A conductivity at 21 depths."""
    y = np.linspace(0.0, 1.0, 21)
    return {"y": y, "k": 1.0 + 3.0 * y * np.exp(-3.0 * y) + 0.5 * y**2}


def image_conductivity() -> Array:
    """A picture of two bright spots, 24 x 24 pixels, from 0 to 1."""
    x = np.linspace(0.0, 1.0, 24)
    y = x[::-1, None]
    return np.exp(-8 * ((x - 0.3) ** 2 + (y - 0.6) ** 2)) + 0.6 * np.exp(-12 * ((x - 0.75) ** 2 + (y - 0.3) ** 2))


def main() -> None:
    """Write a file for every function above."""
    FOLDER.mkdir(exist_ok=True)
    pixels = np.clip(image_conductivity(), 0.0, 1.0)
    imsave(FOLDER / "image_conductivity.png", np.stack([pixels] * 3, axis=2))
    for make in (diffusivity, transport, conductivity, regression, soil_profile):
        columns = make()
        digits = "%.15g" if make is regression else "%.6g"
        table = np.stack(list(columns.values()), axis=1)
        np.savetxt(FOLDER / f"{make.__name__}.csv", table, digits, ",", header=",".join(columns), comments="")


if __name__ == "__main__":
    main()
