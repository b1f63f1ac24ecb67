"""The shape of the code: imports go downward only, few modules touch files of pictures, and nothing is evaluated from text."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pdekan

# A package may import those before it, none after it. A new package takes its place here.
ORDER = (
    "fields", "splines", "optimizers", "output", "domains", "networks", "problems", "ansatz", "residuals", "cells",
    "singularities", "fem", "problem_files", "errors", "solutions", "training", "pruning", "symbolic", "runs", "studies",
    "commands", "cli",
)  # fmt: skip
# Who alone may import a library, anywhere in a file.
HOMES = {
    "h5py": "output", "matplotlib": "output", "bokeh": "output",
    "sympy": "symbolic", "mpmath": "symbolic",
    "distributed": "studies", "dask": "studies",
    "pydantic": "problem_files", "skfem": "fem", "meshio": "domains", "rich": "commands output",
}  # fmt: skip
ROOT = Path(pdekan.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py") if "__pycache__" not in path.parts)
IMPORT_FUNCTIONS = ("__import__", "import_module", "importlib.import_module")


def module_of(path: Path) -> str:
    """A file's name below pdekan, with dots; a package's __init__ has the package's, the top one's is empty."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path) for path in FILES}


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def in_every_file(rule: Callable[[Path], Iterator[tuple[int, str]]]) -> Callable[[], None]:
    """The test that no file breaks a rule, which yields line and message of every place that does."""

    def test() -> None:
        faults = [f"{path.relative_to(ROOT)}:{line}: {message}" for path in FILES for line, message in rule(path)]
        assert not faults, "\n".join(faults)

    return test


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Full names of what is imported anywhere in a file, in functions and for type checkers too, with the line."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno
        elif isinstance(node, ast.Call) and called(node) in IMPORT_FUNCTIONS:
            yield from ((str(name.value), node.lineno) for name in node.args[:1] if isinstance(name, ast.Constant))


def ours(name: str) -> str | None:
    """The module of this package that an imported name comes from, or None; the name itself may be a function in it."""
    if name.split(".")[0] != "pdekan":
        return None
    inside = name.split(".")[1:]
    while inside and ".".join(inside) not in MODULES:
        inside.pop()
    return ".".join(inside)


def called(node: ast.Call) -> str:
    """What is called, as it is written: "torch.zeros"."""
    return ast.unparse(node.func)


@functools.cache
def edges() -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {module_of(path): set() for path in FILES}
    for path in FILES:
        for name, _ in imported(path):
            target = ours(name)
            if target is not None:
                graph[module_of(path)].add(target)
    return graph


def package(module: str) -> str:
    """The package that a module is in, or the module itself where it is in none."""
    return module.split(".")[0]


def declared(name: str) -> tuple[str, set[str]]:
    """What the docstring of a package says: its subject, and the packages that it may import."""
    paragraphs = (ast.get_docstring(tree(source(name))) or "").split("\n\n")
    said = " ".join(paragraphs[-1].split())
    if said == "Imports nothing of pdekan.":
        return paragraphs[0], set()
    assert said.startswith("May import "), f"the docstring of {name} ends with what it may import"
    return paragraphs[0], set(said.removeprefix("May import ").rstrip(".").split(", "))


def source(name: str) -> Path:
    """The file of a module, or of a package's __init__."""
    return ROOT / f"{name}.py" if (ROOT / f"{name}.py").exists() else ROOT / name / "__init__.py"


def test_the_order_names_every_package_once() -> None:
    assert len(set(ORDER)) == len(ORDER)
    assert set(ORDER) == {package(module) for module in MODULES} - {"", "__main__"}


@pytest.mark.parametrize("name", ORDER)
def test_a_package_imports_what_its_docstring_says_and_all_of_it_is_below(name: str) -> None:
    graph = edges()
    imports = {package(t) for module, targets in graph.items() if package(module) == name for t in targets} - {name}
    _, allowed = declared(name)
    assert imports == allowed, f"{name} says that it may import {sorted(allowed)}, and imports {sorted(imports)}"
    for target in imports:
        assert target in ORDER[: ORDER.index(name)], f"{name} imports {target}, which is above it"


def test_the_map_in_contributing_is_that_of_the_docstrings() -> None:
    text = (ROOT.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for name in ORDER:
        subject, _ = declared(name)
        assert f"| `{name}` | {subject} |\n" in text


def test_files_that_contributing_names_exist() -> None:
    text = (ROOT.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:\w+/)*\w+\.py)`", text)
    assert len(named) > 20
    for name in named:
        assert (ROOT / name).exists() or (ROOT.parent / name).exists(), f"CONTRIBUTING.md names {name}, which does not exist"


@in_every_file
def test_libraries_are_imported_in_their_home_only(path: Path) -> Iterator[tuple[int, str]]:
    for name, line in imported(path):
        home = HOMES.get(name.split(".")[0])
        if home is not None and package(module_of(path)) not in home.split():
            yield line, f"imports {name}, which {home} alone may"
        if name.split(".")[:2] == ["matplotlib", "pyplot"]:
            yield line, "pyplot holds global state"


def test_there_are_no_cycles_not_even_lazy_ones() -> None:
    graph = edges()
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail, module])
        if module in done:
            return
        for target in sorted(graph.get(module, ())):
            visit(target, (*trail, module))
        done.add(module)

    for module in sorted(graph):
        visit(module, ())


def test_studies_of_any_kind_run_on_an_engine_that_knows_no_equations() -> None:
    graph = edges()
    for module in ("studies.rows", "studies.cluster", "studies.engine"):
        assert not {t for t in graph[module] if not t.startswith(("studies.", "output.atomic"))}, module


def test_sympy_is_loaded_only_when_it_is_asked_for() -> None:
    """It takes a second, which `pdekan --help` has not, and neither has `import pdekan`."""
    program = "import pdekan, pdekan.cli, sys; sys.exit('sympy loaded' if 'sympy' in sys.modules else 0)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "__import__", "builtins.eval", "builtins.exec", "builtins.compile",
    "sympy.sympify", "sympify", "parse_expr", "pickle.load", "pickle.loads", "os.system",
    "torch.manual_seed", "torch.seed", "torch.set_default_dtype", "torch.set_default_device", "torch.set_rng_state",
    "torch.random.manual_seed", "torch.cuda.manual_seed", "torch.cuda.manual_seed_all", "torch.use_deterministic_algorithms",
    "np.random.seed", "numpy.random.seed", "np.random.set_state", "random.seed", "np.seterr", "numpy.seterr",
    "warnings.filterwarnings", "warnings.simplefilter",
}  # fmt: skip


def calls(path: Path) -> Iterator[tuple[ast.Call, str]]:
    """The calls in a file, with the names of what is called."""
    return ((node, called(node)) for node in ast.walk(tree(path)) if isinstance(node, ast.Call))


@in_every_file
def test_nothing_is_evaluated_from_text_and_no_global_state_is_set(path: Path) -> Iterator[tuple[int, str]]:
    for node, name in calls(path):
        if name in FORBIDDEN_CALLS:
            yield node.lineno, f"calls {name}"


GLOBAL_RANDOMNESS = {"rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial"}


@in_every_file
def test_randomness_comes_from_a_generator(path: Path) -> Iterator[tuple[int, str]]:
    for node, name in calls(path):
        drawn = name.startswith("torch.") and name.removeprefix("torch.") in GLOBAL_RANDOMNESS
        if drawn and not any(keyword.arg == "generator" for keyword in node.keywords):
            yield node.lineno, "draws from torch's global generator"
        if name.startswith(("np.random.", "numpy.random.", "random.")) and not name.endswith(("default_rng", "Random")):
            yield node.lineno, "draws from a global generator"


@in_every_file
def test_only_the_command_line_writes_to_a_terminal(path: Path) -> Iterator[tuple[int, str]]:
    if package(module_of(path)) in ("cli", "commands", "__main__"):
        return
    for node, name in calls(path):
        if name in ("print", "input"):
            yield node.lineno, f"calls {name}"
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.stdout", "sys.stderr"):
            yield node.lineno, f"uses {ast.unparse(node)}"


@in_every_file
def test_no_exception_is_swallowed_unnamed(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ExceptHandler):
            swallows = len(node.body) == 1 and isinstance(node.body[0], ast.Pass)
            if node.type is None:
                yield node.lineno, "except without a name"
            elif swallows and ast.unparse(node.type) in ("Exception", "BaseException"):
                yield node.lineno, "everything is swallowed"


FILE_LINES, FUNCTION_LINES, METHODS = 400, 40, 15


def is_counted(node: ast.stmt) -> bool:
    """Whether it is a method that does something by its name: no property, and not one of Python's special methods."""
    return isinstance(node, ast.FunctionDef) and not (
        re.fullmatch("__.*__", node.name) or any("property" in ast.unparse(one) for one in node.decorator_list)
    )


@in_every_file
def test_files_functions_and_classes_are_short(path: Path) -> Iterator[tuple[int, str]]:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    if lines > FILE_LINES:
        yield lines, f"{lines} lines; at most {FILE_LINES}: split the file by subject"
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            if lines > FUNCTION_LINES:
                yield node.lineno, f"{node.name} has {lines} lines; at most {FUNCTION_LINES}"
        if isinstance(node, ast.ClassDef):
            methods = sum(map(is_counted, node.body))
            if methods > METHODS:
                yield node.lineno, f"{node.name} has {methods} methods; at most {METHODS}"


@in_every_file
def test_every_file_says_what_it_is_about(path: Path) -> Iterator[tuple[int, str]]:
    if tree(path).body and not ast.get_docstring(tree(path)):
        yield 1, "has no docstring"
