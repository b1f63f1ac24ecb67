"""The surfaces on which points of jumps lie, planes and spheres among them, and the interfaces that files declare for them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from pdekan.domains.base import Domain
from pdekan.fields.jets import TIME

# Points within this distance of a surface are on it, relative to the domain's size; tries of spheres through random points.
ON, TRIES = 1e-6, 60
ROUND = 1e-8  # of numbers that come out of a fit
SHAPES = {("x", "y"): ("disk", "circle"), ("x", "y", "z"): ("ball", "sphere")}  # in which a sphere is bounded by a shape


@dataclass(frozen=True)
class Surface:
    """A place in words, and the shape of problem files whose boundary it is, or None. axis: the normal's, of a plane across it;
    normal: a plane's unit normal. points: ``(k, d)``, those on it.
    """

    words: str
    shape: str | None = None
    axis: str | None = None
    normal: tuple[float, ...] | None = None
    points: Tensor | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Jumps:
    """Points ``(n, d)`` at which values jump along lines parallel to axes, and the numbers ``(n,)`` of these axes.

    A plane is across the lines along which it is found: that points of one line are in a plane with it says nothing.
    """

    points: Tensor
    along: Tensor

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, rows: Tensor) -> Jumps:
        return Jumps(self.points[rows], self.along[rows])


def surfaces(domain: Domain, jumps: Jumps) -> Iterator[Surface]:
    """The surfaces through points, those with most points first."""
    generator = torch.Generator().manual_seed(0)
    while len(jumps):
        on, surface = max((*_planes(domain, jumps), *_spheres(domain, jumps, generator)), key=lambda one: int(one[0].sum()))
        if int(on.sum()) < min(len(jumps), domain.dimension + 3) and domain.dimension > 1:
            yield Surface(f"near {at(domain, jumps.points[0])}")
            return
        yield replace(surface, points=jumps.points[on])
        jumps = jumps[~on]


def at(domain: Domain, point: Tensor) -> str:
    """A point in words."""
    return ", ".join(f"{name} = {value:.6g}" for name, value in zip(domain.coordinates, point.tolist(), strict=True))


def _planes(domain: Domain, jumps: Jumps) -> Iterator[tuple[Tensor, Surface]]:
    """For each axis a plane across it, through the middle one of the points found along it."""
    for k in sorted({*jumps.along.tolist()}):
        name, found = domain.coordinates[k], jumps.along == k
        value = float(jumps.points[found, k].median())
        on = found & ((jumps.points[:, k] - value).abs() <= ON * domain.size)
        ends = list(zip(domain.coordinates, domain.lower, domain.upper, strict=True))
        ends[k] = (name, domain.lower[k], value)
        sides = ", ".join(f"{one} = [{_number(a)}, {_number(b)}]" for one, a, b in ends)
        normal = tuple(float(other == name) for other in domain.coordinates)
        yield on, Surface(f"{name} = {value:.6g}", f'{{type = "box", {sides}}}', name, normal)


def _number(value: float) -> str:
    """A number as TOML has it: of six digits where they are as near as a bisection can tell."""
    short = float(f"{value:.6g}")
    return repr(short if abs(short - value) <= ROUND * max(1.0, abs(value)) else float(f"{value:.10g}"))


def _spheres(domain: Domain, jumps: Jumps, generator: torch.Generator) -> Iterator[tuple[Tensor, Surface]]:
    """Spheres, or circles, through random points: a |x|² + b·x + c = 0; planes, where a = 0."""
    space = [k for k, name in enumerate(domain.coordinates) if name != TIME]
    m, points = len(space), jumps.points
    if m < 2 or len(points) < m + 2:
        return
    middle = 0.5 * (points.new_tensor(domain.lower) + points.new_tensor(domain.upper))[space]
    x = (points[:, space] - middle) / domain.size
    rows = torch.cat([x.square().sum(1, keepdim=True), x, torch.ones_like(x[:, :1])], dim=1)
    for _ in range(TRIES):
        chosen = torch.randperm(len(points), generator=generator)[: m + 1]
        form = torch.linalg.svd(rows[chosen], full_matrices=True)[2][-1]
        slope = (2.0 * form[0] * x + form[1:-1]).norm(dim=1).clamp_min(1e-300)
        on = (rows @ form).abs() <= ON * slope
        if abs(float(form[0])) < ON:
            on &= torch.zeros(domain.dimension).index_copy(0, torch.tensor(space), form[1:-1].abs().float())[jumps.along] > ON
        if int(on.sum()) > m + 1:
            yield on, _sphere(domain, form / form[1:-1].norm().clamp_min(form[0].abs()), middle, space)


def _sphere(domain: Domain, form: Tensor, middle: Tensor, space: list[int]) -> Surface:
    """The surface of a form in coordinates that are relative to the middle and the size of the domain."""
    names = tuple(domain.coordinates[k] for k in space)
    if abs(float(form[0])) < ON:
        level = -float(form[-1]) * domain.size + float(form[1:-1] @ middle)
        unit = float(form[1:-1][form[1:-1].abs().argmax()])
        terms = [(a / unit, name) for a, name in zip(form[1:-1].tolist(), names, strict=True) if abs(a / unit) > ON]
        left = " ".join(f"{'-' if a < 0.0 else '+'} {abs(a):.6g}*{name}" for a, name in terms).replace(" 1*", " ").lstrip("+ ")
        normal = torch.zeros(domain.dimension, dtype=torch.float64)
        normal[space] = form[1:-1] / form[1:-1].norm()
        words = f"{left} = {level / unit if abs(level) > ON * domain.size else 0.0:.6g}"
        return Surface(words, normal=tuple(normal.tolist()))
    center = -form[1:-1] / (2.0 * form[0])
    radius = float((center.square().sum() - form[-1] / form[0]).clamp_min(0.0).sqrt()) * domain.size
    where = center * domain.size + middle
    where = where * (where.abs() > ON * domain.size)
    kind, words = SHAPES.get(names, (None, "sphere"))
    place = ", ".join(f"{c:.6g}" for c in where.tolist())
    time = "" if TIME not in domain.coordinates else f", t = [{domain.lower[-1]}, {domain.upper[-1]}]"
    numbers = ", ".join(_number(c) for c in where.tolist())
    shape = None if kind is None else f'{{type = "{kind}", center = [{numbers}], radius = {_number(radius)}{time}}}'
    return Surface(f"the {words} of radius {radius:.6g} around ({place})", shape)


def declaration(surface: Surface, text: str, unknown: str | None, flux_only: bool, taken: tuple[str, ...] = ()) -> str:
    """The lines of a problem file that declare a surface as an interface of an equation with that text.

    unknown: whose values are continuous, where there are several. flux_only: whether they may jump, as in an equation of first
    order. taken: names of other interfaces.
    """
    name = next(name for k in range(99) if (name := f"jump{k or ''}") not in taken)
    condition = ["", "[[conditions]]", 'type = "interface"', f'on = "{name}"']
    shape = surface.shape or "{…}  # a shape whose boundary it is"
    lines = ["[domain.interfaces]", f"{name} = {shape}"]
    if not flux_only:
        lines += condition + ([] if unknown is None else [f'unknown = "{unknown}"'])
    return "\n".join([*lines, *condition, _flux(text, surface)])


def _flux(text: str, surface: Surface) -> str:
    """The flux through a surface of an equation: what stands in its outermost divergence, or in dy( ) across y = constant."""
    unknown = 'operator = "…"  # the flux through it'
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError):
        return unknown
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args]
    for node in calls:
        inner = ast.unparse(node.args[0]).replace(" ** ", "**").replace(" * ", "*")
        if ast.unparse(node.func) == "div":
            return f'operator = "{inner.replace("grad(", "normal(")}"'
        if surface.axis is not None and ast.unparse(node.func) == f"d{surface.axis}":
            return f'operator = "{inner}"'
    return unknown
