"""Write references of the PINNacle suite at scattered points to problems/pinnacle/data: a grid of values would be too large.

    python tests/benchmarks/pinnacle_points.py [NAME …]

Every solution is computed at two resolutions. The file states their relative difference, and is not written where that is above
the one allowed. The points of space are quasi-random in the domain; of times there is a random one in each of many strata.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np
import skfem
import torch
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray
from scipy.fft import dstn, idstn, irfft2, rfft2
from scipy.linalg import eigh
from scipy.sparse import bmat
from scipy.stats import qmc
from skfem.helpers import ddot, div, dot, grad, mul, sym_grad

from pdekan.fields.jets import Derivatives
from pdekan.problem_files.loader import load_problem

FOLDER = Path(__file__).parents[2] / "problems" / "pinnacle" / "data"
Array = NDArray[np.float64]
Columns = dict[str, Array]
TIMES, PLACES = 128, 32


def stratified(end: float, step: float) -> Array:
    """A multiple of the step in each of TIMES strata of [0, end], ``(TIMES,)``."""
    random = np.random.default_rng(7).random(TIMES)
    return np.rint((np.arange(TIMES) + random) * end / TIMES / step) * step


def places(lower: tuple[float, float], upper: tuple[float, float]) -> Array:
    """Sobol points of a rectangle that single precision represents, ``(TIMES, PLACES, 2)``."""
    unit = qmc.Sobol(2, seed=11).random(TIMES * PLACES)
    return np.float32(np.array(lower) + unit * np.subtract(upper, lower)).astype(float).reshape(TIMES, PLACES, 2)


def etdrk4(
    linear: Array, slope: Callable[[NDArray, float], NDArray], v: NDArray, times: Array, step: float
) -> Iterator[tuple[float, NDArray, NDArray]]:
    """v' = linear v + slope(v, t) at the times, as (t, v, v').

    Kassam, Trefethen, SIAM J. Sci. Comput. 26 (2005) 1214-1233, eqs. 2.5 and 3.1, for a diagonal operator.
    """
    circle = np.exp(1j * np.pi * (np.arange(1, 33) - 0.5) / 32)
    mean = [np.zeros_like(linear) for _ in range(4)]
    for point in circle:
        z = step * linear + point
        mean[0] += ((np.exp(z / 2) - 1) / z).real
        mean[1] += ((-4 - z + np.exp(z) * (4 - 3 * z + z**2)) / z**3).real
        mean[2] += ((2 + z + np.exp(z) * (z - 2)) / z**3).real
        mean[3] += ((-4 - 3 * z - z**2 + np.exp(z) * (4 - z)) / z**3).real
    q, f1, f2, f3 = (step / len(circle) * one for one in mean)
    half, whole, done = np.exp(step * linear / 2), np.exp(step * linear), 0
    for count in np.rint(times / step).astype(int):
        for k in range(done, count):
            n0 = slope(v, k * step)
            a = half * v + q * n0
            n1 = slope(a, (k + 0.5) * step)
            b = half * v + q * n1
            n2 = slope(b, (k + 0.5) * step)
            n3 = slope(half * a + q * (2.0 * n2 - n0), (k + 1) * step)
            v = whole * v + f1 * n0 + 2.0 * f2 * (n1 + n2) + f3 * n3
        done = count
        yield count * step, v, linear * v + slope(v, count * step)


class Fourier:
    """Periodic functions of two coordinates with modes of `n` points along each: coefficients ``(…, n, n/2 + 1)``."""

    def __init__(self, n: int, lower: float, upper: float) -> None:
        self.n, self.lower, self.upper = n, lower, upper
        scale = 2.0 * np.pi / (upper - lower)
        self.p, self.q = scale * np.fft.fftfreq(n, 1.0 / n), scale * np.fft.rfftfreq(n, 1.0 / n)
        self.minus_square = -(self.p[:, None] ** 2) - self.q**2
        kept = n / 3  # products have no aliases below
        self.kept = (np.abs(self.p)[:, None] <= scale * kept) & (self.q <= scale * kept)
        grid = lower + (upper - lower) * np.arange(n) / n
        self.x, self.y = grid[:, None], grid[None, :]

    def values(self, v: NDArray) -> Array:
        return np.asarray(irfft2(v, s=(self.n, self.n)))

    def coefficients(self, u: Array) -> NDArray:
        return rfft2(u) * self.kept

    def at(self, v: NDArray, points: Array) -> Array:
        """Values and slopes along both coordinates at points ``(m, 2)``: ``(3, m)``."""
        x, y = (points - self.lower).T
        across, up = np.exp(1j * x[:, None] * self.p), np.exp(1j * y[:, None] * self.q)
        twice = np.where((self.q == 0) | (self.q == self.q[-1]), 1.0, 2.0) / self.n**2
        out = []
        for i, j in ((0, 0), (1, 0), (0, 1)):
            factor = across * (1j * self.p) ** i, up * (1j * self.q) ** j * twice
            out.append(np.einsum("mq,mq->m", factor[0] @ v, factor[1]).real)
        return np.array(out)


def periodic(
    names: tuple[str, ...],
    space: Fourier,
    linear: Array,
    slope: Callable[[NDArray, float], NDArray],
    start: Array,
    end: float,
    step: float,
    times: Array,
) -> Columns:
    """The columns of periodic unknowns at the scattered points. start: values ``(unknowns, n, n)``."""  # fmt: skip
    where, found = places((space.lower,) * 2, (space.upper,) * 2), []
    for points, (_, v, change) in zip(where, etdrk4(linear, slope, space.coefficients(start), times, step), strict=True):
        found.append([[*space.at(one, points), space.at(by_time, points)[0]] for one, by_time in zip(v, change, strict=True)])
    return columns(names, where, times, np.array(found))


def columns(names: tuple[str, ...], where: Array, times: Array, found: Array) -> Columns:
    """Columns from points of space ``(TIMES, PLACES, d)`` and values and slopes ``(TIMES, unknowns, d + 2, PLACES)``."""
    axes = (*"xy"[: where.shape[2]], "t")
    out = dict(zip(axes, (*where.reshape(-1, where.shape[2]).T, np.repeat(times, PLACES)), strict=True))
    for k, name in enumerate(names):
        for suffix, one in zip(("", *(f"_{x}" for x in axes)), np.moveaxis(found[:, k], 1, 0), strict=True):
            out[name + suffix] = one.ravel()
    return out


def gray_scott(n: int, step: float) -> Columns:
    """The file's equations by Fourier's method."""
    space = Fourier(n, -1.0, 1.0)
    linear = np.array([1e-5 * space.minus_square - 0.04, 5e-6 * space.minus_square - 0.1])
    feed = space.coefficients(np.full((n, n), 0.04))

    def slope(w: NDArray, t: float) -> NDArray:
        u, v = space.values(w)
        reaction = space.coefficients(u * v**2)
        return np.array([feed - reaction, reaction])

    x, y = space.x, space.y
    # the initial values are 1e-33 at the sides
    u, v = 1.0 - np.exp(-80 * ((x + 0.05) ** 2 + (y + 0.02) ** 2)), np.exp(-80 * ((x - 0.05) ** 2 + (y - 0.02) ** 2))
    return periodic(("u", "v"), space, linear, slope, np.array([u, v]), 200.0, step, stratified(200.0, 0.5))


def heat_2d_lt(n: int, step: float) -> Columns:
    """The file's equation by sines: sin(u²) is even about the sides where u is odd."""
    x = np.arange(1, n) / n
    across, up = np.sin(4 * np.pi * x)[:, None], np.sin(2 * np.pi * x)
    k = np.pi * np.arange(1, n)
    kept = (np.arange(1, n) < 2 * n / 3)[:, None] & (np.arange(1, n) < 2 * n / 3)

    def slope(v: NDArray, t: float) -> NDArray:
        source = 5.0 * np.sin(idstn(v, 1) ** 2) * (1.0 + 2.0 * np.sin(np.pi * t / 4)) * across * up
        return np.asarray(dstn(source, 1) * kept)

    times, where, found = stratified(100.0, 0.02), places((0.0, 0.0), (1.0, 1.0)), []
    start = dstn(across * np.sin(3 * np.pi * x), 1)
    for points, (_, v, change) in zip(where, etdrk4(-0.001 * (k[:, None] ** 2 + k**2), slope, start, times, step), strict=True):
        angles = points.T[:, :, None] * k
        (a, b), (da, db) = np.sin(angles), k * np.cos(angles)
        pairs = (a, v, b), (da, v, b), (a, v, db), (a, change, b)
        found.append([[np.einsum("mq,mq->m", one @ two, three) / n**2 for one, two, three in pairs]])
    return columns(("u",), where, times, np.array(found))


def burgers_2d_c(n: int, step: float) -> Columns:
    """The file's equations by Fourier's method on one period of the initial values, the unit square."""
    space, problem = Fourier(n, 0.0, 1.0), load_problem("pinnacle/burgers_2d_c")
    linear, turn = 0.001 * space.minus_square, (1j * space.p[:, None], 1j * space.q)

    def slope(w: NDArray, t: float) -> NDArray:
        u, v = space.values(w)
        return np.array([-space.coefficients(u * space.values(turn[0] * one) + v * space.values(turn[1] * one)) for one in w])

    grid = np.stack(np.broadcast_arrays(space.x, space.y, 0.0), axis=-1).reshape(-1, 3)
    environment = problem.environment(torch.as_tensor(grid), Derivatives.VALUE)
    starts = {one.unknown: one.value for one in problem.conditions if one.unknown}
    start = np.array([starts[name](environment).value.numpy().reshape(n, n) for name in ("u", "v")])  # type: ignore[operator]
    found = periodic(("u", "v"), space, np.array([linear, linear]), slope, start, 1.0, step, stratified(1.0, 1e-3))
    return found | {name: found[name] + np.random.default_rng(3).integers(0, 4, len(found["x"])) for name in "xy"}


def weighted(
    name: str, table: str, n: int, quadrature: int, value: Callable[[Array], Array]
) -> tuple[Array, Array, Array, Array]:
    """Points ``(k,)`` and weights along an axis, the weight 1/value of a linear table there ``(k, k)``, and its cosine moments.

    The rule is between the points of the table, where it is linear along both axes; moments: ``(2 n + 1, 2 n + 1)``, of
    cos(p π s) cos(q π s'), with s and s' from 0 to 1 along the axes.
    """
    with h5py.File(FOLDER / f"{name}.h5") as file:
        axis, known = file["x"][:], file[table][:].astype(float)
    nodes, weights = leggauss(quadrature)
    width = np.diff(axis)
    q = (axis[:-1, None] + 0.5 * width[:, None] * (nodes + 1.0)).ravel()
    w = (0.5 * width[:, None] * weights).ravel()
    share = np.tile(0.5 * (nodes + 1.0), len(width))
    cell = np.repeat(np.arange(len(width)), quadrature)
    along = known[cell] * (1.0 - share[:, None]) + known[cell + 1] * share[:, None]
    inverse = 1.0 / value(along[:, cell] * (1.0 - share) + along[:, cell + 1] * share)
    cosines = w[:, None] * np.cos(np.pi * ((q - axis[0]) / (axis[-1] - axis[0]))[:, None] * np.arange(2 * n + 1))
    return q, w, inverse, cosines.T @ inverse @ cosines


def mass_of(moments: Array, m: Array, sign: float) -> Array:
    """Weighted products of sin mx sin ny, with sign -1, or of cos mx cos ny, with sign 1, as a matrix.

    sin mx sin m'x = (cos (m - m') x - cos (m + m') x)/2, and cos mx cos m'x is half the sum.
    """
    minus, plus = np.abs(m[:, None] - m), m[:, None] + m
    mass = np.zeros((len(m),) * 4)
    for one, first in ((minus, 1.0), (plus, sign)):
        for other, second in ((minus, 1.0), (plus, sign)):
            mass += (0.25 * first * second * moments[one][:, :, other]).transpose(0, 2, 1, 3)
    return mass.reshape(len(m) ** 2, len(m) ** 2)


def heat_2d_vc(n: int, quadrature: int) -> Columns:
    """The file's equation by Galerkin's method with n x n sines, in time by the eigenfunctions of Λ c = λ M c."""
    q, w, inverse, moments = weighted("heat_2d_vc", "g", n, quadrature, np.exp)
    m = np.arange(1, n + 1)
    mass = mass_of(moments, m, -1.0)
    stiffness = 0.25 * np.pi**2 * (m[:, None] ** 2 + m**2).ravel()
    source = 200.0 * (np.sin(np.pi * q)[:, None] * np.sin(5.0 * np.pi * q))
    sines = w[:, None] * np.sin(np.pi * q[:, None] * m)
    load = (sines.T @ (inverse * source) @ sines).ravel()
    # with c = S^-1/2 V b and S^-1/2 M S^-1/2 = V μ V^T: μ b' = -b + V^T S^-1/2 load sin πt
    root = stiffness**-0.5
    mass *= root[:, None]
    mass *= root
    mu, modes = eigh(mass, overwrite_a=True)
    rates, push = 1.0 / mu, (modes.T @ (root * load)) / mu
    times, where, found = stratified(5.0, 0.01), places((0.0, 0.0), (1.0, 1.0)), []
    for t, points in zip(times, where, strict=True):
        decay = np.exp(-rates * t)
        b = push * (rates * np.sin(np.pi * t) - np.pi * np.cos(np.pi * t) + np.pi * decay) / (rates**2 + np.pi**2)
        change = push * np.sin(np.pi * t) - rates * b
        v, by_time = ((root * (modes @ one)).reshape(n, n) for one in (b, change))
        angles = np.pi * points.T[:, :, None] * m
        (x, y), (dx, dy) = np.sin(angles), np.pi * m * np.cos(angles)
        pairs = (x, v, y), (dx, v, y), (x, v, dy), (x, by_time, y)
        found.append([[np.einsum("mq,mq->m", one @ two, three) for one, two, three in pairs]])
    return columns(("u",), where, times, np.array(found))


def wave_2d_cg(n: int, quadrature: int) -> Columns:
    """The file's equation by Galerkin's method with n x n cosines, in time by the eigenfunctions of Λ c = ω² M c."""
    q, w, inverse, moments = weighted("wave_2d_cg", "c", n, quadrature, lambda c: c)
    m = np.arange(n)
    size = np.where(m == 0, 2.0, 1.0)  # of ∫ cos² over an axis
    stiffness = 0.25 * np.pi**2 * ((m[:, None] ** 2 + m**2) * np.multiply.outer(size, size)).ravel()
    mass = mass_of(moments, m, 1.0)
    cosines = w[:, None] * np.cos(0.5 * np.pi * (q + 1.0)[:, None] * m)
    start = np.exp(-((q[:, None] + 0.5) ** 2 + q**2) / 0.18)
    load = (cosines.T @ (inverse * start) @ cosines).ravel()
    square, modes = eigh(np.diag(stiffness), mass, overwrite_a=True, overwrite_b=True)
    omega, first = np.sqrt(np.maximum(square, 0.0)), modes.T @ load  # the nearest function in the norm that M stands for
    times, where, found = stratified(5.0, 0.01), places((-1.0, -1.0), (1.0, 1.0)), []
    for t, points in zip(times, where, strict=True):
        v, by_time = ((modes @ (first * one)).reshape(n, n) for one in (np.cos(omega * t), -omega * np.sin(omega * t)))
        angles = 0.5 * np.pi * (points.T[:, :, None] + 1.0) * m
        (x, y), (dx, dy) = np.cos(angles), -0.5 * np.pi * m * np.sin(angles)
        pairs = (x, v, y), (dx, v, y), (x, v, dy), (x, by_time, y)
        found.append([[np.einsum("mq,mq->m", one @ two, three) for one, two, three in pairs]])
    return columns(("u",), where, times, np.array(found))


def kuramoto_sivashinsky(modes: int, step: float) -> Columns:
    """The file's equation by Fourier's method."""
    k = np.fft.rfftfreq(modes, 1.0 / modes)
    linear, kept = 100 / 16**2 * k**2 - 100 / 16**4 * k**4, k <= modes / 3  # products have no aliases below

    def slope(v: NDArray, t: float) -> NDArray:
        return np.asarray(-0.5 * 100 / 16 * 1j * k * np.fft.rfft(np.fft.irfft(v, modes) ** 2) * kept)

    x, times, found = 2.0 * np.pi * np.arange(modes) / modes, stratified(1.0, 1e-3), []
    where = np.float32(2.0 * np.pi * qmc.Sobol(1, seed=11).random(TIMES * PLACES)).astype(float).reshape(TIMES, PLACES, 1)
    start = np.fft.rfft(np.cos(x) * (1.0 + np.sin(x)))
    for points, (_, v, change) in zip(where, etdrk4(linear, slope, start, times, step), strict=True):
        waves = np.exp(1j * points * k) * np.where(k == 0.0, 1.0, 2.0) / modes
        found.append([[(waves @ one).real for one in (v, 1j * k * v, change)]])
    return columns(("u",), where, times, np.array(found))


def ns_2d_cg(cells: int, levels: int) -> Columns:
    """The file's flow by finite elements of Taylor and Hood, of degrees 4 and 3, and Newton's method.

    cells: along a length of one, each cut into four triangles. levels: of halving towards the corners of the step and of the
    outlet, where the stress is infinite.
    """
    x, y = np.linspace(0.0, 4.0, 4 * cells + 1), np.linspace(0.0, 2.0, 2 * cells + 1)
    x = np.union1d(x, 4.0 - 0.5 ** np.arange(1, 6) / cells)  # a layer of width 1/100 at the outlet
    mesh = skfem.MeshQuad.init_tensor(x, y).to_meshtri(style="x")
    middle = mesh.p[:, mesh.t].mean(axis=1)
    mesh = mesh.restrict(np.nonzero((middle[0] > 2.0) | (middle[1] < 1.0))[0])
    for level in range(levels):
        middle = mesh.p[:, mesh.t].mean(axis=1)
        apart = np.min([np.hypot(middle[0] - a, middle[1] - b) for a, b in ((2, 1), (4, 0), (4, 2))], axis=0)
        mesh = mesh.refined(np.nonzero(apart < 1.5 * 0.5**level / cells)[0])
    velocity = skfem.Basis(mesh, skfem.ElementVector(skfem.ElementTriP4()), intorder=11)
    pressure = velocity.with_element(skfem.ElementTriP3())
    viscous = skfem.BilinearForm(lambda u, v, w: 0.02 * ddot(sym_grad(u), sym_grad(v))).assemble(velocity)
    outflow = skfem.BilinearForm(lambda u, q, w: -div(u) * q).assemble(velocity, pressure)
    convection = skfem.BilinearForm(lambda u, v, w: dot(mul(grad(w["old"]), u) + mul(grad(u), w["old"]), v))
    carried = skfem.LinearForm(lambda v, w: dot(mul(grad(w["old"]), w["old"]), v))
    held, inlet = (
        velocity.get_dofs(mesh.facets_satisfying(lambda z, end=end: z[0] < end, boundaries_only=True))
        for end in (4.0 - 1e-9, 1e-9)
    )
    n, first = velocity.N, inlet.all("u^1")
    c, up = np.zeros(n + pressure.N), velocity.doflocs[1][first]
    c[first] = 4.0 * up * (1.0 - up)
    for k in range(20):
        thick = max(1.0, 16.0 / 2**k)  # the flow of a more viscous fluid is where Newton's method begins
        old = velocity.interpolate(c[:n])
        matrix = bmat([[thick * viscous + convection.assemble(velocity, old=old), outflow.T], [outflow, None]], "csr")
        momentum = thick * viscous @ c[:n] + outflow.T @ c[n:] + carried.assemble(velocity, old=old)
        residual = np.concatenate([momentum, outflow @ c[:n]])
        step = skfem.solve(*skfem.condense(matrix, -residual, D=held.flatten(), x=np.zeros_like(c)))
        c += step
        if thick == 1.0 and np.abs(step).max() < 1e-10:
            break
    points = places((0.0, 0.0), (4.0, 2.0)).reshape(-1, 2)
    points = points[(points[:, 0] > 2.0) | (points[:, 1] < 1.0)]
    u, v = np.split(velocity.probes(points.T) @ c[:n], 2)
    return {"x": points[:, 0], "y": points[:, 1], "u": u, "v": v, "p": pressure.probes(points.T) @ c[n:]}


# By name: the coarse and the fine computation, and the largest relative difference of an unknown.
COMPUTED: dict[str, tuple[Callable[[int, float], Columns], tuple[int, float], tuple[int, float], float]] = {
    "kuramoto_sivashinsky": (kuramoto_sivashinsky, (256, 1e-4), (512, 5e-5), 1e-5),
    "heat_2d_vc": (heat_2d_vc, (56, 4), (72, 4), 1e-4),
    "wave_2d_cg": (wave_2d_cg, (56, 4), (72, 4), 2e-3),
    "heat_2d_lt": (heat_2d_lt, (320, 0.01), (384, 0.005), 1e-5),
    "gray_scott": (gray_scott, (640, 0.5), (768, 0.25), 1e-5),
    "ns_2d_cg": (ns_2d_cg, (4, 8), (7, 10), 2e-4),
    "burgers_2d_c": (burgers_2d_c, (512, 1e-3), (768, 5e-4), 2e-3),
}


def write(name: str, source: str, coarse: Columns, fine: Columns, allowed: float) -> None:
    """One file, if the two computations agree. Slopes are as the values."""
    unknowns = [key for key in fine if "_" not in key and key not in "xyt"]
    differences = [float(np.linalg.norm(fine[key] - coarse[key]) / np.linalg.norm(fine[key])) for key in unknowns]
    sys.stdout.write(f"{name}: computed twice, relative difference {max(differences):.1e}\n")
    if not max(differences) <= allowed:
        raise SystemExit(f"{name}: the difference is above {allowed:g}")
    with h5py.File(FOLDER / f"{name}_points.h5", "w") as file:
        file.attrs["source"], file.attrs["accuracy"], file.attrs["scattered"] = source, max(differences), True
        for key, values in fine.items():
            single = values.astype(np.float32)
            stored = values if key in "xyt" and (single != values).any() else single
            file.create_dataset(key, data=stored, compression="gzip", compression_opts=9, shuffle=True)


def main(names: Sequence[str]) -> None:
    """The files of the names, by default all."""
    for name in names or COMPUTED:
        solve, coarse, fine, allowed = COMPUTED[name]
        write(name, (solve.__doc__ or "").splitlines()[0], solve(*coarse), solve(*fine), allowed)


if __name__ == "__main__":
    main(sys.argv[1:])
