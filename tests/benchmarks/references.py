"""Write reference solutions of problems without a closed form to problems/data.

    python tests/benchmarks/references.py

Each file has a dataset for every coordinate and for every unknown, u of shape (len(x), len(t)) or (len(x), len(y)), and their
source in attributes. Every solution is computed twice, the second time with a higher resolution, and rejected where the two
differ by more than the accuracy stated in the file.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
from numpy.polynomial import Legendre
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray
from scipy.integrate import cumulative_trapezoid
from scipy.ndimage import maximum_filter1d

FOLDER = Path(__file__).parents[2] / "problems" / "data"
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


def driven_cavity(x: Array, n: int) -> dict[str, Array]:
    """Velocity and pressure of Stokes flow in the unit square below a lid with u = 16 x² (1 - x)², at the points (x, x).

    The stream function is biharmonic: that of the lid, 16 x² (1-x)² y² (y-1), and the sum of x² (1-x)² P_i(2x-1) times the same
    in y, i, j < n, for which ∫ Δψ Δφ = 0 with all of them (Shen, SIAM J. Sci. Comput. 15 (1994) 1489-1505, section 3). Then
    ∇p = (Δψ_y, -Δψ_x) is solved for in the mean square, by polynomials. Near the lid's ends ψ ~ r³ f(θ), p ~ r g(θ), whence
    pressures converge more slowly.
    """
    q, w = leggauss(n + 8)
    q, w = 0.5 * (q + 1.0), 0.5 * w
    s = Legendre([0.0, 1.0], domain=[0.0, 1.0])  # 2x - 1
    bubble = ((1.0 - s**2) / 4.0) ** 2
    legendre = [Legendre.basis(i, domain=[0.0, 1.0]) for i in range(n)]
    clamped = [bubble * p / (1.0 + i) ** 1.5 for i, p in enumerate(legendre)]
    lid, height = 16.0 * bubble, (s + 1.0) ** 2 * (s - 1.0) / 8.0

    def table(functions: list[Legendre], order: int, at: Array) -> Array:
        return np.stack([f.deriv(order)(at) for f in functions], axis=1)

    def gram(functions: list[Legendre], order: int) -> Array:
        columns = table(functions, order, q)
        return np.asarray(columns.T @ (w[:, None] * columns))

    def of_lid(a: int, b: int, x: Array, y: Array) -> Array:
        return np.multiply.outer(lid.deriv(a)(x), height.deriv(b)(y))

    mass, stiffness, bending = (gram(clamped, k) for k in range(3))
    load = np.multiply.outer(w, w) * (of_lid(2, 0, q, q) + of_lid(0, 2, q, q))
    curved, flat = table(clamped, 2, q), table(clamped, 0, q)
    matrix = np.kron(bending, mass) + 2.0 * np.kron(stiffness, stiffness) + np.kron(mass, bending)
    right = curved.T @ load @ flat + flat.T @ load @ curved
    c = -np.linalg.solve(matrix, right.reshape(-1)).reshape(n, n)

    def psi(a: int, b: int, x: Array) -> Array:
        return np.asarray(table(clamped, a, x) @ c @ table(clamped, b, x).T + of_lid(a, b, x, x))

    values, slopes = table(legendre, 0, q), table(legendre, 1, q)
    mass, stiffness = gram(legendre, 0), gram(legendre, 1)
    along, across = (np.multiply.outer(w, w) * part for part in (psi(2, 1, q) + psi(0, 3, q), -psi(3, 0, q) - psi(1, 2, q)))
    right = (slopes.T @ along @ values + values.T @ across @ slopes).reshape(-1)
    matrix = np.kron(stiffness, mass) + np.kron(mass, stiffness)
    p = np.zeros(n * n)  # the constant is left at zero, which is the mean
    p[1:] = np.linalg.solve(matrix[1:, 1:], right[1:])
    there = table(legendre, 0, x)
    return {"u": psi(0, 1, x), "v": -psi(1, 0, x), "p": there @ p.reshape(n, n) @ there.T}


Fields = Mapping[str, Array]


def write(name: str, source: str, axes: Fields, coarse: Fields, fine: Fields, accuracy: float = 1e-9) -> None:
    """One file, if the two computations agree to an accuracy, relative to the largest value of each unknown."""
    differences = [float(np.abs(fine[key] - coarse[key]).max() / np.abs(fine[key]).max()) for key in fine]
    sys.stdout.write(f"{name}: computed twice, largest difference {max(differences):.1e}\n")
    if not max(differences) <= accuracy:
        raise SystemExit(f"{name}: the difference is above {accuracy:g}")
    FOLDER.mkdir(exist_ok=True)
    with h5py.File(FOLDER / f"{name}.h5", "w") as file:
        file.attrs["source"], file.attrs["accuracy"] = source, accuracy
        for key, points in axes.items():
            file[key] = points
        for key, values in fine.items():
            file.create_dataset(key, data=values, compression="gzip", compression_opts=9, shuffle=True)


def main() -> None:
    """All references."""
    t = np.linspace(0.0, 1.0, 101)
    x = np.sinh(5.0 * np.linspace(-1.0, 1.0, 201)) / np.sinh(5.0)  # crowded at the front
    source = "Burgers' equation, nu = 0.01/pi, from -sin(pi x): formula of Cole and Hopf"
    write("burgers", source, {"x": x, "t": t}, {"u": burgers(x, t, 200)}, {"u": burgers(x, t, 300)})
    even = np.linspace(-1.0, 1.0, 2001)
    x = graded(even, allen_cahn(even, t, 1024, 1e-3), 401)
    t = np.union1d(t, [0.002, 0.005])  # the kink is rounded off like √t
    source = "Allen-Cahn equation, u_t = 0.0001 u_xx + 5u - 5u^3, from x^2 cos(pi x), periodic: cosines and ETDRK4"
    coarse, fine = allen_cahn(x, t, 4096, 5e-4), allen_cahn(x, t, 8192, 2.5e-4)
    write("allen_cahn", source, {"x": x, "t": t}, {"u": coarse}, {"u": fine})
    x = 0.5 * (1.0 - np.cos(np.pi * np.arange(65) / 64))
    source = "Stokes flow in the unit square, u = 16 x^2 (1 - x)^2 at y = 1: biharmonic stream function, Legendre and Galerkin"
    write("driven_cavity", source, {"x": x, "y": x}, driven_cavity(x, 44), driven_cavity(x, 60), 5e-5)


if __name__ == "__main__":
    main()
