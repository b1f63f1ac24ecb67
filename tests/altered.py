"""Inputs of all kinds, altered at random, and what reads them: see `fuzzing.py`."""

from __future__ import annotations

import contextlib
import io
import json
import math
import random
import shutil
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np

_NUMBERS = (
    "0 -1 1 2 3 100 -0.0 0.5 1e-300 1e300 1e999 -1e50 inf nan 10000000000000000000000 1_000 0x10 1. .5 true 99999999 1000000 "
    '[0.0,1.0] [] [1] [1.0,0.0] {} \'\' "" "u" "exact" "fem" "boundary" 1979-05-27 "\\u0000" "é"'
)
_WORDS = (
    "u v x y t z r theta pi e sin cos exp log sqrt abs sign min max erf where dx dy dt grad div laplacian dot normal sum prod "
    "atan2 tanh acos ( ) , + - * / ** < > == and or not 0 1 2 1e308 1e-320 0.5 -1 u.x __import__ lambda [ ] ; # ' \" ~ % ^ @ "
    ":= box disk annulus ellipse ball polygon union difference intersection mesh dirichlet neumann robin periodic initial mean "
    "interface weak exact manufactured boundary domain kan mlp gauss-newton adam"
)
FUNCTIONS = ("sin", "exp", "log", "sqrt", "tan", "abs", "erf", "acos", "sinh", "dx", "laplacian", "grad", "div")
NUMBERS, WORDS = _NUMBERS.split(), _WORDS.split()


def generator(seed: int, kind: str, number: int) -> random.Random:
    """The random numbers of one input."""
    return random.Random(f"{seed} {kind} {number}")


@cache
def _library() -> list[str]:
    from pdekan.problem_files.library import library

    texts = [path.read_text("utf-8") for path in library().values()]
    return [text for text in texts if "[[data]]" not in text and len(text) < 4000]


def mutated_text(rng: random.Random, text: str, others: list[str]) -> str:
    """A text with some of its lines, words and characters altered."""
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        lines = text.split("\n")
        k = rng.randrange(len(lines))
        match rng.randrange(9):
            case 0:
                del lines[k]
            case 1:
                lines.insert(k, rng.choice(lines))
            case 2:
                lines.insert(k, rng.choice(rng.choice(others).split("\n")))
            case 3 | 4 if "=" in lines[k]:
                lines[k] = lines[k].partition("=")[0] + "= " + rng.choice((*NUMBERS, f'"{expression(rng)}"'))
            case 5 | 6:
                words = lines[k].split(" ")
                words[rng.randrange(len(words))] = rng.choice(NUMBERS + WORDS)
                lines[k] = " ".join(words)
            case 7:
                at = rng.randrange(len(lines[k]) + 1)
                lines[k] = (
                    lines[k][:at]
                    + chr(rng.choice((0, 9, 34, 39, 44, 61, 91, 93, 123, 125, 233, 8722, rng.randrange(32, 127))))
                    + lines[k][at + rng.randrange(2) :]
                )
            case _:
                lines[k] = lines[k][:500] * rng.choice((2, 3, 50, 2000))
        text = "\n".join(lines)[:1_100_000]
    return text


def expression(rng: random.Random, depth: int = 0) -> str:
    """A formula, or something like one."""
    if depth > 6 or rng.random() < 0.25:
        return rng.choice(("u", "x", "y", "pi", "1", "2", "0", "0.5", "1e300", "-3", "k", "f", "1e-300", rng.choice(WORDS)))
    parts = [expression(rng, depth + 1) for _ in range(3)]
    match rng.randrange(8):
        case 0 | 1 | 2:
            return f"{parts[0]} {rng.choice(('+', '-', '*', '/', '**', '<'))} {parts[1]}"
        case 3 | 4:
            return f"{rng.choice(FUNCTIONS)}({parts[0]})"
        case 5:
            return f"where({parts[0]} < {parts[1]}, {parts[1]}, {parts[2]})"
        case 6:
            return f"({parts[0]})"
        case _:
            return rng.choice(
                (
                    f"-{parts[0]}",
                    f"{parts[0]}({parts[1]})",
                    f"{parts[0]} {parts[1]}",
                    "(" * rng.choice((1, 50, 5000)) + parts[0],
                    f"atan2({parts[0]}, {parts[1]})",
                    f"max({parts[0]}, {parts[1]})",
                    f"({parts[0]})**{rng.choice((2, 3, 1000, -5, 0.3))}",
                )
            )


def read_problem(rng: random.Random, folder: Path) -> None:
    """Read an altered file of the library, and look for what `check` warns of."""
    from pdekan.problem_files.loader import load_problem
    from pdekan.problem_files.well_posedness import warnings as warned

    texts = _library()
    path = folder / "problem.toml"
    path.write_text(mutated_text(rng, rng.choice(texts), texts), "utf-8")
    warned(load_problem(path))


def read_expression(rng: random.Random, folder: Path) -> None:
    """Read a problem with random formulas."""
    from pdekan.problem_files.loader import loads

    formulas = [json.dumps(expression(rng)) for _ in range(3)]
    loads(
        'schema = 1\nname = "e"\n[domain]\ntype = "box"\nx = [0.0, 1.0]\ny = [0.1, 2.0]\n[parameters]\nk = 2.0\n'
        f'[functions]\nf = {formulas[0]}\n[equation]\noperator = "laplacian(u) + {formulas[1][1:-1]}"\nsource = {formulas[2]}\n'
        '[[conditions]]\ntype = "dirichlet"\non = "boundary"\n'
    )


def read_table(rng: random.Random, folder: Path) -> None:
    """Read altered measurements."""
    from pdekan.domains.box import box
    from pdekan.problem_files.measurements import read_measurements

    path = folder / rng.choice(("table.csv", "table.csv", "table.h5"))
    if path.suffix == ".csv":
        rows = [",".join(f"{rng.random():.3g}" for _ in range(3)) for _ in range(rng.randrange(6))]
        text = mutated_text(rng, "\n".join([rng.choice(("x,y,u", "x;y;u", "# x y u", "u,x,y,w")), *rows]), ["x,y,u\n,,", "a,b"])
        path.write_bytes(
            damaged(rng, text.encode("utf-8", "replace")) if rng.random() < 0.3 else text.encode("utf-8", "replace")
        )
    else:
        path.unlink(missing_ok=True)
        with h5py.File(path, "w") as file:
            for name in "xyu":
                file[name] = np.array([rng.random() for _ in range(5)])
        altered_hdf5(rng, path)
    read_measurements(path, box(x=(0, 1), y=(0, 1)), ("u",), None)


def damaged(rng: random.Random, content: bytes) -> bytes:
    """Bytes with some altered, cut out or put in."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 2, 5, 20))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(6):
            case 0:
                del data[at:]
            case 1:
                del data[at : at + rng.choice((1, 8, 100))]
            case 2:
                data[at:at] = bytes(rng.randrange(256) for _ in range(rng.choice((1, 8))))
            case _:
                data[at : at + 1] = bytes([rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))])
    return bytes(data)


def _any_json(rng: random.Random) -> Any:
    return rng.choice(
        (None, True, False, 0, -1, 1, 3, 10**9, 10**30, 0.5, math.nan, math.inf, "", "u", "kan", "../../../x", "/etc",
         "a" * 300, "\0", [], [1], [[1]], [0.5, "a"], {}, {"type": "box"}, {"kind": "kan"}, [None], [10**7] * 3,
         {"a": {"b": []}}, "2,3")
    )  # fmt: skip


def altered_json(rng: random.Random, value: Any) -> Any:
    """A value with one of its parts replaced, removed or doubled."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.15:
        return _any_json(rng)
    copy = dict(value) if isinstance(value, dict) else list(value)
    keys = list(copy) if isinstance(copy, dict) else list(range(len(copy)))
    key = rng.choice(keys)
    if rng.random() < 0.15:
        del copy[key]
    elif rng.random() < 0.1 and isinstance(copy, list):
        copy.append(copy[key])
    else:
        copy[key] = altered_json(rng, copy[key])
    return copy


def altered_hdf5(rng: random.Random, path: Path) -> None:
    """Alter bytes of a file, or one to three of its parts."""
    if rng.random() < 0.25:
        content = path.read_bytes()
        some = bytearray(damaged(rng, content) if rng.random() < 0.2 else content)
        for _ in range(rng.choice((1, 4, 30))):
            some[rng.randrange(len(some))] = rng.choice((0, 1, 255, rng.randrange(256)))
        path.write_bytes(some)
        return
    with h5py.File(path, "r+") as file:
        for _ in range(rng.choice((1, 1, 2, 3))):
            names: list[str] = []
            file.visit(names.append)
            names = [name for name in names if name.split("/")[0] != "VTKHDF"]
            texts = [name for name in names if isinstance(file[name], h5py.Dataset) and file[name].shape == ()]
            datasets = [name for name in names if isinstance(file[name], h5py.Dataset)]
            some = rng.choice((texts, texts, datasets, names)) or names
            if some:
                _alter_part(rng, file, rng.choice(some))


def _alter_part(rng: random.Random, file: h5py.File, name: str) -> None:
    item = file[name]
    if item.attrs and rng.random() < 0.4:
        key = rng.choice(list(item.attrs))
        with contextlib.suppress(Exception):
            del item.attrs[key]
            item.attrs[key] = rng.choice((0, -1, "u", "", [1.0], ["a", "b"], np.zeros((2, 2)), "\u00e9"))
        return
    if isinstance(item, h5py.Dataset) and item.shape == () and h5py.check_string_dtype(item.dtype) and rng.random() < 0.9:
        text = item.asstr()[()]
        try:
            text = json.dumps(altered_json(rng, json.loads(text)))
        except ValueError:
            text = mutated_text(rng, text, _library())
        del file[name]
        file.create_dataset(name, data=text.replace("\0", ""), dtype=h5py.string_dtype("utf-8"))
        return
    values = item[()] if isinstance(item, h5py.Dataset) and (item.size or 0) < 10_000 else np.zeros(2)
    del file[name]
    match rng.randrange(10):
        case 0:
            return
        case 1:
            file.create_group(name)
        case 2:
            file.create_dataset(
                name,
                rng.choice(((10**9,), (10**5, 10**5), (2**40,), (0,))),
                rng.choice(("f8", "i1", "f4", "S100")),
                chunks=True,
            )
        case 3:
            file.create_dataset(name, (10**8,), "f8", chunks=True, compression="gzip", fillvalue=0.0)
        case 4:
            file[name] = h5py.SoftLink(rng.choice(("/", "/pdekan", f"/{name}", "/nowhere")))
        case 5:
            file[name] = h5py.ExternalLink("/etc/passwd", "/")
        case 6:
            file[name] = rng.choice(
                (np.float32(1), "text", np.zeros((1, 2, 3)), np.array([True]), np.array([1 + 2j]), np.zeros(3, "i8,f8"))
            )
        case 7:
            file.create_dataset(name, data=["a", "b"], dtype=h5py.string_dtype())
        case _:
            array = np.atleast_1d(np.asarray(values))
            if array.dtype.kind in "iuf":
                array = (
                    array.astype(rng.choice((array.dtype, np.dtype("f4"), np.dtype("i8"))))
                    if np.isfinite(array).all()
                    else array
                )
                array = array.copy()
                array.flat[: rng.choice((1, 5))] = (
                    rng.choice((0, -1, 10**15, 1)) if array.dtype.kind != "f" else rng.choice((np.nan, np.inf, 1e300, 0.0))
                )
            file[name] = rng.choice((array, array[:-1], np.concatenate([array, array]), array[None], array.T))


BOX = 'type = "box"\nx = [0.0, 1.0]\ny = [0.0, 1.0]'
SOUGHT = "[parameters]\nk = {initial = 1.0, trainable = true, min = 0.0}"


def run_text(domain: str, operator: str, more: str = "", network: str = "", training: str = "") -> str:
    """A problem that is solved in two steps."""
    return (
        f'schema = 1\nname = "r"\n[domain]\n{domain}\n[equation]\noperator = "{operator}"\nsource = 1\n'
        f'[[conditions]]\ntype = "dirichlet"\non = "boundary"\n{more}\n'
        f"[network]\nhidden = [2]\ndegree = 3\nintervals = 2\n{network}\n[training]\nsteps = 2\npoints = 50\n{training}\n"
    )


@cache
def runs(folder: Path) -> list[Path]:
    """Files of small runs of all kinds, made once."""
    from pdekan.problem_files.loader import loads
    from pdekan.training.solver import solve

    texts = [
        run_text(BOX, "laplacian(u)", more='[exact]\nu = "x*(x-1)/2"').replace("y = [0.0, 1.0]", ""),
        run_text(BOX, "laplacian(u)", more='enforce = "exact"'),
        run_text('type = "disk"\nradius = 1.0', "k*laplacian(u)", more=SOUGHT, network='base = "silu"'),
        run_text(BOX.replace("y =", "t ="), "dt(u) - dx(dx(u))", more='[[conditions]]\ntype = "initial"', training="slabs = 2"),
        run_text(BOX, "laplacian(u)").replace("degree = 3\nintervals = 2", 'kind = "mlp"'),
        run_text(BOX, "laplacian(u)", network="cells = 2").replace("intervals = 2", "intervals = 1").replace("points = 50", ""),
    ]
    made = []
    for k, text in enumerate(texts):
        path = folder / f"run{k}.vtkhdf"
        solution = solve(loads(text), estimate=False)
        solution.save(path, (5,) * (1 if k == 0 else 2))
        with h5py.File(path, "r+") as file:  # files of version 0.1.0 have no checksum, and nor have those of an attacker
            file.visititems(lambda _, item: item.attrs.pop("sha256", None))
        made.append(path)
    return made


def read_run(rng: random.Random, folder: Path) -> None:
    """Load an altered run, and use it as `export`, `plot`, `prune` and `--resume` do."""
    from pdekan.commands.solve import finished
    from pdekan.pruning import prune
    from pdekan.runs import summary
    from pdekan.runs.directory import fresh_directory
    from pdekan.solutions.solution import load_solution

    path = folder / "altered.vtkhdf"
    shutil.copyfile(rng.choice(runs(folder.parent)), path)
    altered_hdf5(rng, path)
    solution = load_solution(path)
    root = folder / "outputs"
    made = fresh_directory(solution.name, root)
    assert root.resolve() in made.resolve().parents, f"wrote to {made}"
    solution.sample((4,) * min(3, solution.domain.dimension))
    json.dumps(summary.of_solution(solution), allow_nan=False)
    if solution.problem is not None:
        finished(solution, solution.problem)
    prune.check(solution)


def read_mesh(rng: random.Random, folder: Path) -> None:
    """Read an altered mesh of some format."""
    import meshio

    from pdekan.domains.base import DomainError
    from pdekan.domains.mesh_file import mesh
    from pdekan.problem_files.folder import Folder

    ending = rng.choice(
        (
            ".msh",
            ".vtk",
            ".vtu",
            ".xdmf",
            ".ply",
            ".off",
            ".inp",
            ".mesh",
            ".stl",
            ".obj",
            ".med",
            ".avs",
            ".nas",
            ".ugrid",
        )
    )
    path = folder / f"mesh{ending}"
    if not path.exists():
        points = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            meshio.write(
                path,
                meshio.Mesh(points, {"triangle": np.array([[0, 1, 2], [0, 2, 3]])}),
                **({"file_format": "gmsh"} if ending == ".msh" else {}),
            )
        shutil.copyfile(path, folder / f"whole{ending}")
    content = (folder / f"whole{ending}").read_bytes()
    if rng.random() < 0.5 and b"\0" not in content:
        content = mutated_text(rng, content.decode("utf-8", "replace"), ["0 1 2", "-1 5 9 1e300 nan", "99999999999"]).encode(
            "utf-8", "replace"
        )
    else:
        content = damaged(rng, content)
    path.write_bytes(content)
    with contextlib.suppress(DomainError):  # problem files add their line to it
        mesh(Folder(folder).file(path.name))


READERS: dict[str, Callable[[random.Random, Path], None]] = {
    "problem": read_problem, "expression": read_expression, "table": read_table, "run": read_run, "mesh": read_mesh,
}  # fmt: skip
