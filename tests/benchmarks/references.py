"""Write reference solutions of problems without a closed form to problems/data.

    python tests/benchmarks/references.py

Each file has the datasets x, t and u, u of shape (len(x), len(t)), and says in its attributes where they come from. Every
solution is computed twice, the second time on a finer scale, and refused where the two differ by more than ACCURACY.
"""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.integrate import cumulative_trapezoid
from scipy.ndimage import maximum_filter1d

FOLDER = Path(__file__).parents[2] / "problems" / "data"
ACCURACY = 1e-9
Array = NDArray[np.float64]


def burgers(x: Array, t: Array, nodes: int, nu: float = 0.01 / np.pi) -> Array:
    """Burgers' equation from -sin πx: the formula of Cole and Hopf, integrated by Gauss and Hermite.

    Basdevant et al., Computers & Fluids 14 (1986) 23-41, eq. 2.6: u = -∫ sin π(x-η) f(x-η) w dη / ∫ f(x-η) w dη, with
    f(y) = exp(-cos(πy)/2πν) and w = exp(-η²/4νt).
    """
    z, weights = np.polynomial.hermite.hermgauss(nodes)
    u = np.empty((len(x), len(t)))
    for j, time in enumerate(t):
        y = np.pi * (x[:, None] - np.sqrt(4.0 * nu * time) * z)
        exponent = -np.cos(y) / (2.0 * np.pi * nu)
        f = weights * np.exp(exponent - exponent.max(axis=1, keepdims=True))
        u[:, j] = -(np.sin(y) * f).sum(1) / f.sum(1)
    return u


def allen_cahn(x: Array, t: Array, modes: int, h: float, diffusivity: float = 1e-4) -> Array:
    """u_t = diffusivity u_xx + 5u - 5u³ from x² cos πx, periodic on [-1, 1] and even: cosines, and ETDRK4 in time.

    Kassam, Trefethen, SIAM J. Sci. Comput. 26 (2005) 1214-1233, eqs. 2.5 and 3.1 (means over a circle instead of cancelling
    differences). The periodic continuation of u at t = 0 has a kink at x = ±1, so its coefficients are those of the integral,
    not of an interpolant, whose error would fall with modes⁻² only. h: the step, of which all of `t` are multiples.
    """
    k = np.arange(modes)
    linear = 5.0 - diffusivity * (np.pi * k) ** 2
    circle = np.exp(1j * np.pi * (np.arange(1, 65) - 0.5) / 64)
    z = h * linear[:, None] + circle
    half, whole = np.exp(h * linear / 2), np.exp(h * linear)
    q = h * ((np.exp(z / 2) - 1) / z).mean(1).real
    f1 = h * ((-4 - z + np.exp(z) * (4 - 3 * z + z**2)) / z**3).mean(1).real
    f2 = h * ((2 + z + np.exp(z) * (z - 2)) / z**3).mean(1).real
    f3 = h * ((-4 - 3 * z - z**2 + np.exp(z) * (4 - z)) / z**3).mean(1).real

    def cubic(v: Array) -> Array:
        """Coefficients of -5u³, on twice as many points as modes need: no product aliases to a mode that is kept."""
        return -5.0 * _coefficients(_values(v, 4 * modes) ** 3)[:modes]

    v = _initial(modes)
    out = [v]
    for steps in np.round(np.diff(t) / h).astype(int):
        for _ in range(steps):
            n0 = cubic(v)
            a = half * v + q * n0
            n1 = cubic(a)
            b = half * v + q * n1
            n2 = cubic(b)
            c = half * a + q * (2 * n2 - n0)
            v = whole * v + f1 * n0 + 2 * f2 * (n1 + n2) + f3 * cubic(c)
        out.append(v)
    u = np.cos(np.pi * x[:, None] * k) @ np.array(out).T
    u[:, 0] = x**2 * np.cos(np.pi * x)  # the series of a kink converges slowly
    return u


def graded(x: Array, u: Array, count: int) -> Array:
    """So many points between -1 and 1, evenly laid about 0, dense where u ``(len(x), n)`` is curved.

    In proportion to 1 + 2 √b, b being the largest |u_xx| of all columns near a point, scaled so that √b is 1 in the mean.
    """
    curved = np.sqrt(np.abs(np.gradient(np.gradient(u, x, axis=0), x, axis=0)).max(axis=1))
    near = maximum_filter1d(curved, len(x) // 100)
    total = cumulative_trapezoid(1.0 + 2.0 * near / near.mean(), x, initial=0.0)
    points = np.interp(np.linspace(0.0, total[-1], count), total, x)
    return np.asarray(0.5 * (points - points[::-1]))


def _values(v: Array, points: int) -> Array:
    """Σ v_k cos πkx at the points x = 2j/points."""
    spectrum = np.zeros(points // 2 + 1)
    spectrum[: len(v)] = v * points / 2
    spectrum[0] *= 2
    return np.fft.irfft(spectrum, points)


def _coefficients(u: Array) -> Array:
    """The inverse of `_values`."""
    v: Array = np.fft.rfft(u).real * 2 / len(u)
    v[0] /= 2
    return v


def _initial(modes: int) -> Array:
    """Coefficients of x² cos πx: ∫₀¹ x² (cos π(k+1)x + cos π(k-1)x) dx, half of it for k = 0."""
    k = np.arange(modes)
    v = _moment(k + 1) + _moment(np.abs(k - 1))
    v[0] /= 2
    return v


def _moment(m: NDArray[np.int64]) -> Array:
    """∫₀¹ x² cos πmx dx = 2 (-1)^m/(πm)², and 1/3 for m = 0."""
    safe = np.maximum(m, 1)
    return np.where(m == 0, 1 / 3, 2.0 * (-1.0) ** m / (np.pi * safe) ** 2)


def write(name: str, source: str, x: Array, t: Array, coarse: Array, fine: Array) -> None:
    """One file, if the two computations agree."""
    difference = float(np.abs(fine - coarse).max())
    sys.stdout.write(f"{name}: computed twice, largest difference {difference:.1e}\n")
    if not difference <= ACCURACY:
        raise SystemExit(f"{name}: the difference is above {ACCURACY:g}")
    FOLDER.mkdir(exist_ok=True)
    with h5py.File(FOLDER / f"{name}.h5", "w") as file:
        file.attrs["source"], file.attrs["accuracy"] = source, ACCURACY
        file["x"], file["t"] = x, t
        file.create_dataset("u", data=fine, compression="gzip", compression_opts=9, shuffle=True)


def main() -> None:
    """Both references."""
    t = np.linspace(0.0, 1.0, 101)
    x = np.sinh(5.0 * np.linspace(-1.0, 1.0, 201)) / np.sinh(5.0)  # crowded at the front
    source = "Burgers' equation, nu = 0.01/pi, from -sin(pi x): formula of Cole and Hopf"
    write("burgers", source, x, t, burgers(x, t, 200), burgers(x, t, 300))
    even = np.linspace(-1.0, 1.0, 2001)
    x = graded(even, allen_cahn(even, t, 1024, 1e-3), 401)
    t = np.union1d(t, [0.002, 0.005])  # the kink is rounded off like √t
    source = "Allen-Cahn equation, u_t = 0.0001 u_xx + 5u - 5u^3, from x^2 cos(pi x), periodic: cosines and ETDRK4"
    write("allen_cahn", source, x, t, allen_cahn(x, t, 4096, 5e-4), allen_cahn(x, t, 8192, 2.5e-4))


if __name__ == "__main__":
    main()
