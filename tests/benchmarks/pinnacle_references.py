"""Write reference solutions, measurements and random coefficients of the PINNacle suite to problems/pinnacle/data.

    python tests/benchmarks/pinnacle_references.py

As in references.py every solution is computed twice, and rejected where the two differ by more than the accuracy stated in the
file; as in make_data.py measurements are values of a closed form with normally distributed errors.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import references
import sympy
import torch
from numpy.polynomial import Legendre
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray
from scipy.linalg import eigh

from pdekan.fields.jets import Derivatives
from pdekan.problem_files.loader import load_problem

FOLDER = Path(__file__).parents[2] / "problems" / "pinnacle" / "data"
Array = NDArray[np.float64]


def of_lid() -> tuple[sympy.Expr, sympy.Expr]:
    """A stream function with the values and slopes of ψ on the walls below a lid with u = 4 x (1 - x), and a pressure over ν.

    With X and Y from an upper corner, and θ = 0 on the lid, the Stokes flow is ψ = πY² - 2r²θ - 2XY + 4X²Y there, of which the
    second term has the pressure ± 8 ν log r; both are multiplied by cubics that are 1 at the corner and 0 at the other sides.
    """
    x, y = sympy.symbols("x y")
    stream, pressure = sympy.Integer(0), sympy.Integer(0)
    for across, sign in ((x, 1), (1 - x, -1)):
        up = 1 - y
        square = across**2 + up**2
        cutoff = (1 - across) ** 2 * (1 + 2 * across) * (1 - up) ** 2 * (1 + 2 * up)
        turned = sympy.pi * up**2 - 2 * square * sympy.atan2(up, across) - 2 * across * up + 4 * across**2 * up
        stream, pressure = stream + turned * cutoff, pressure + sign * 4 * sympy.log(square) * cutoff
    return stream, pressure


def cavity(x: Array, n: int, nu: float = 0.01) -> dict[str, Array]:
    """Velocity and pressure of a flow in the unit square below a lid with u = 4 x (1 - x), at the points (x, x).

    ν ∫ Δψ Δφ + ∫ Δψ (ψ_y φ_x - ψ_x φ_y) = 0 for the stream function ψ, which is `of_lid` and the sum of clamped polynomials
    as in `references.driven_cavity`, by Newton's method; ∇p = ν Δ(u, v) - (u, v)·∇(u, v) in the mean square, of the pressure
    beside that of the corners, where it is infinite: there it is that at half of the first distance.
    """
    q, w = leggauss(n + 12)
    q, w = 0.5 * (q + 1.0), 0.5 * w
    area = np.multiply.outer(w, w).ravel()
    s = Legendre([0.0, 1.0], domain=[0.0, 1.0])
    legendre = [Legendre.basis(i, domain=[0.0, 1.0]) for i in range(n)]
    clamped = [((1.0 - s**2) / 4.0) ** 2 * p / (1.0 + i) ** 1.5 for i, p in enumerate(legendre)]
    parts = of_lid()

    def table(functions: list[Legendre], order: int, at: Array) -> Array:
        return np.stack([f.deriv(order)(at) if order else f(at) for f in functions], axis=1)

    def basis(a: int, b: int) -> Array:
        return np.kron(table(clamped, a, q), table(clamped, b, q))

    def lid(a: int, b: int, at: Array, part: int = 0) -> Array:
        derivative = sympy.lambdify(sympy.symbols("x y"), sympy.diff(parts[part], "x", a, "y", b))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.nan_to_num(derivative(at[:, None], at))  # slopes in corners are zero

    curl, across, along = basis(2, 0) + basis(0, 2), basis(1, 0), basis(0, 1)
    lid_curl, lid_x, lid_y = (lid(a, b, q).ravel() for a, b in ((2, 0), (1, 0), (0, 1)))
    lid_curl = lid_curl + lid(0, 2, q).ravel()
    c = np.zeros(n * n)
    weighted = [(area[:, None] * part).T for part in (curl, across, along)]
    for _ in range(12):
        vorticity, psi_x, psi_y = curl @ c + lid_curl, across @ c + lid_x, along @ c + lid_y
        residual = nu * weighted[0] @ vorticity + weighted[1] @ (vorticity * psi_y) - weighted[2] @ (vorticity * psi_x)
        jacobian = nu * weighted[0] @ curl + weighted[1] @ (psi_y[:, None] * curl + vorticity[:, None] * along)
        jacobian -= weighted[2] @ (psi_x[:, None] * curl + vorticity[:, None] * across)
        step = np.linalg.solve(jacobian, residual)
        c -= step
        if np.abs(step).max() < 1e-13 * np.abs(c).max():
            break
    matrix = c.reshape(n, n)

    def psi(a: int, b: int, at: Array) -> Array:
        return np.asarray(table(clamped, a, at) @ matrix @ table(clamped, b, at).T + lid(a, b, at))

    u, v = psi(0, 1, q), -psi(1, 0, q)
    p_x = nu * (psi(2, 1, q) + psi(0, 3, q) - lid(1, 0, q, 1)) - u * psi(1, 1, q) - v * psi(0, 2, q)
    p_y = -nu * (psi(3, 0, q) + psi(1, 2, q) + lid(0, 1, q, 1)) + u * psi(2, 0, q) + v * psi(1, 1, q)
    values, slopes = table(legendre, 0, q), table(legendre, 1, q)
    mass, stiffness = (part.T @ (w[:, None] * part) for part in (values, slopes))
    weights = np.multiply.outer(w, w)
    right = (slopes.T @ (weights * p_x) @ values + values.T @ (weights * p_y) @ slopes).reshape(-1)
    p = np.zeros(n * n)  # the constant is left at zero, which is the mean
    p[1:] = np.linalg.solve((np.kron(stiffness, mass) + np.kron(mass, stiffness))[1:, 1:], right[1:])
    there, inside = table(legendre, 0, x), np.clip(x, 0.5 * x[1], 1.0 - 0.5 * x[1])
    return {"u": psi(0, 1, x), "v": -psi(1, 0, x), "p": there @ p.reshape(n, n) @ there.T + nu * lid(0, 0, inside, 1)}


def many_areas(x: Array, degree: int) -> Array:
    """-Δu = f on [-10, 10]² with ∂u/∂n + u = 0 and a source that is smooth in each of 5 x 5 squares, at the points (x, x).

    Galerkin with polynomials on the squares that are continuous across them. With the stiffness K, to which u² at both ends is
    added, and the mass M along an axis it is K U M + M U K = F, solved by K V = M V Λ (Lynch, Rice and Thomas, Numer. Math. 6
    (1964) 185-199). The source is that of the problem file.
    """
    nodes, w = leggauss(degree + 8)
    edges = np.linspace(-10.0, 10.0, 6)
    legendre = [Legendre.basis(j) for j in range(degree + 1)]
    s = Legendre([0.0, 1.0])
    local = [(1.0 - s) / 2, (1.0 + s) / 2, *((legendre[j] - legendre[j - 2]) / j for j in range(2, degree + 1))]

    def table(order: int, at: Array) -> Array:
        """Derivatives of the basis, hats of the edges first, ``(n, 6 + 5 (p - 1))``."""
        cell = np.clip(np.searchsorted(edges, at) - 1, 0, 4)
        xi = 0.5 * (at - edges[cell]) - 1.0
        values = np.stack([f.deriv(order)(xi) if order else f(xi) for f in local], axis=1)
        out, rows = np.zeros((len(at), 6 + 5 * (degree - 1))), np.arange(len(at))
        out[rows, cell], out[rows, cell + 1] = values[:, 0], values[:, 1]
        for j in range(2, degree + 1):
            out[rows, 6 + 5 * (j - 2) + cell] = values[:, j]
        return out / 2.0**order

    q, weights = (edges[:-1, None] + 2.0 * (nodes + 1.0)).ravel(), np.tile(2.0 * w, 5)
    values, slopes, ends = table(0, q), table(1, q), table(0, edges[[0, -1]])
    mass, stiffness = values.T @ (weights[:, None] * values), slopes.T @ (weights[:, None] * slopes) + ends.T @ ends
    problem = load_problem("pinnacle/poisson_2d_ms")
    points = torch.as_tensor(np.stack(np.meshgrid(q, q, indexing="ij"), axis=-1).reshape(-1, 2))
    equation = problem.equations[0]
    source = problem.right_hand_side(equation.source, equation.operator, points, Derivatives.FULL, None)
    load = (weights[:, None] * values).T @ source.numpy().reshape(len(q), -1) @ (weights[:, None] * values)
    growth, modes = eigh(stiffness, mass)
    u = modes @ (modes.T @ load @ modes / (growth[:, None] + growth)) @ modes.T
    there = table(0, x)
    return np.asarray(there @ u @ there.T)


def measurements() -> None:
    """Potentials on a grid of 50 x 50 points, and temperatures at 2500 random points, with errors of 0.1."""
    generator = np.random.default_rng(5)
    x, y = (part.ravel() for part in np.meshgrid(np.linspace(0.0, 1.0, 50), np.linspace(0.0, 1.0, 50), indexing="ij"))
    u = np.sin(np.pi * x) * np.sin(np.pi * y) + 0.1 * generator.standard_normal(2500)
    np.savetxt(FOLDER / "poisson_inv.csv", np.stack([x, y, u], 1), "%.6g", ",", header="x,y,u", comments="")
    x, y, t = *generator.uniform(-1.0, 1.0, (2, 2500)), generator.random(2500)
    u = np.exp(-t) * np.sin(np.pi * x) * np.sin(np.pi * y) + 0.1 * generator.standard_normal(2500)
    np.savetxt(FOLDER / "heat_inv.csv", np.stack([x, y, t, u], 1), "%.6g", ",", header="x,y,t,u", comments="")


def random_field(n: int = 256, seed: int = 20220722) -> Array:
    """A Gaussian random field with the spectrum |k|⁻² in amplitude, of mean 0 and deviation 1, ``(n, n)`` along (x, y).

    The formula and the seed are those of data/generate_functions.py in the published code (`gaussian_random_field`, alpha = 4),
    so that the values are, too: its pictures of both coefficients are those of this field.
    """
    generator = np.random.RandomState(seed)
    frequency = np.fft.fftfreq(n, 1.0 / n)
    amplitude = 1.0 / np.maximum(frequency[:, None] ** 2 + frequency**2, 1e-10)
    amplitude[0, 0] = 0.0
    noise = generator.normal(size=(n, n)) + 1j * generator.normal(size=(n, n))
    field = np.fft.ifft2(noise * amplitude).real
    return np.asarray((field / field.std()).T)  # rows of the published tables are those of y


def coefficients() -> None:
    """The logarithm of the diffusivity of Heat 2d-VC to three digits after the point, and 12 or 1 of Wave 2d-CG."""
    field = random_field()
    names = ("heat_2d_vc", "g", 0.0, field, {"scaleoffset": 3}), ("wave_2d_cg", "c", -1.0, np.where(field > 0.0, 12, 1), {})
    for file_name, name, start, values, options in names:
        with h5py.File(FOLDER / f"{file_name}.h5", "w") as file:
            file.attrs["source"] = "random_field of pinnacle_references.py"
            file["x"] = file["y"] = np.linspace(start, 1.0, len(values))
            stored = values if options else values.astype(np.int8)
            file.create_dataset(name, data=stored, compression="gzip", compression_opts=9, shuffle=True, **options)


def main() -> None:
    """All files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    references.FOLDER = FOLDER
    measurements()
    coefficients()
    t = np.linspace(0.0, 1.0, 101)
    x = np.sinh(5.0 * np.linspace(-1.0, 1.0, 201)) / np.sinh(5.0)  # crowded at the front
    source = "Burgers' equation, nu = 0.01/pi, from -sin(pi x): formula of Cole and Hopf"
    fine = {"u": references.burgers(x, t, 300)}
    references.write("burgers_1d", source, {"x": x, "t": t}, {"u": references.burgers(x, t, 200)}, fine)
    across = 2.0 + 2.0 * np.tanh(3.0 * np.linspace(-1.0, 1.0, 21)) / np.tanh(3.0)  # crowded where the source jumps
    x = np.unique((np.linspace(-10.0, 6.0, 5)[:, None] + across).round(12))
    source = "-laplacian(u) = f in 5 x 5 squares, n.grad(u) + u = 0: Galerkin with polynomials on the squares"
    references.write("poisson_2d_ms", source, {"x": x, "y": x}, *({"u": many_areas(x, p)} for p in (24, 32)), 1e-6)
    x = 0.5 * (1.0 + np.tanh(4.0 * np.linspace(-1.0, 1.0, 81)) / np.tanh(4.0))  # crowded in the corners
    source = "Navier-Stokes, Reynolds number 100, u = 4 x (1 - x) at y = 1: stream function, Legendre and Galerkin, Newton"
    references.write("ns_2d_c", source, {"x": x, "y": x}, cavity(x, 36), cavity(x, 48), 5e-5)


if __name__ == "__main__":
    main()
