"""The shape of the code: imports go downward only, few modules touch files of pictures, and nothing is evaluated from text."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pdekan

ROOT = Path(pdekan.__file__).parent

# A module may import those before it, none after it. A new module takes its place here.
ORDER = (
    "splines", "jets", "operators", "grading",
    "networks.base", "networks.layers", "networks.kan", "networks.mlp", "networks.slabs", "networks",
    "domains.quadrature", "domains.base", "domains.validation", "domains.box", "domains.arcs", "domains.strips",
    "domains.planar", "domains.shapes", "domains.combinations", "domains.ball", "domains.cylinder", "domains.facets",
    "domains.mesh", "domains.mesh_file", "domains.triangulation", "domains.storage", "domains",
    "output.atomic", "output.samples", "output.hdf5", "output.columns", "output.grid_file",
    "problems", "lifting", "library", "tokens", "programs", "expressions", "posedness", "checks",
    "problem_text", "domain_schema", "problem_schema", "domain_tables", "measurements", "problem_file", "ansatz", "slabs",
    "coefficients", "lagrange", "fitted", "spaces", "boundary", "finite_elements", "reference",
    "sampling", "products", "terms", "objective", "importance", "removal",
    "uncertainty", "judgement", "resampling", "plan", "adaptation", "errors", "bounds",
    "formulas.constants", "formulas.symbolic", "formulas.writing", "formulas.vanishing", "formulas.surfaces",
    "formulas.regularity", "formulas.requirements", "formulas.verification", "formulas",
    "optimizers.base", "optimizers.gauss_newton", "optimizers.lbfgs", "optimizers.adam",
    "optimizers.matrix_free", "optimizers.ssbroyden", "optimizers", "sparsity", "methods", "history", "refitting",
    "output.labels", "output.record", "output.fields", "output.vtkhdf", "output.planes", "output.panels",
    "output.figures", "output.network_figure", "output.study", "output.study_file", "output.study_figures", "output.findings",
    "output.findings_file", "output.findings_figures", "output.tables", "output.study_table", "output.report", "output",
    "solution", "picture", "references", "climb", "succession", "training", "marching", "pruning", "solver", "run",
    "formulas.symbols", "formulas.templates", "formulas.sampling", "formulas.spans", "formulas.unwrapping",
    "formulas.structures", "formulas.compositions", "formulas.edges", "formulas.snapping",
    "formulas.polishing", "formulas.search", "formulas.report", "formulas.drawing",
    "studies.rows", "studies.cluster", "studies.engine", "studies.kan_paper", "studies.fits", "studies.limits",
    "studies.scaling", "studies.folder", "studies.experiment", "studies.continual_learning", "studies.grid_extension",
    "studies.representation", "studies.winners", "studies.regression", "studies.special_targets", "studies.special_functions",
    "studies.mlp_or_kan_targets", "studies.mlp_or_kan", "studies.symbolic_regression", "studies.experiments", "studies",
    "terminal", "commands.codes", "commands.trainings", "commands.solve", "commands.check", "commands.scaling",
    "commands.study", "commands.export", "commands.plot", "commands.prune", "commands.formula",
    "commands.listing", "commands", "cli", "__main__", "",
)  # fmt: skip
FILES = sorted(path for path in ROOT.rglob("*.py") if "__pycache__" not in path.parts)
TREES = {path: ast.parse(path.read_text(encoding="utf-8"), str(path)) for path in FILES}
IMPORT_FUNCTIONS = ("__import__", "import_module", "importlib.import_module")
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))


def module_of(path: Path) -> str:
    """A file's name below pdekan, with dots; a package's __init__ has the package's, the top one's is empty."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path) for path in FILES}


def imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Full names of what is imported anywhere in a file, in functions and for type checkers too, with the line."""
    for node in ast.walk(tree):
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


def edges() -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {module_of(path): set() for path in FILES}
    for path, tree in TREES.items():
        for name, _ in imported(tree):
            target = ours(name)
            if target is not None:
                graph[module_of(path)].add(target)
    return graph


def test_the_order_names_every_module_once() -> None:
    assert len(set(ORDER)) == len(ORDER)
    missing = {module for module in MODULES if place(module) is None}
    assert not missing, f"give {', '.join(sorted(missing))} a place in ORDER"


def place(module: str) -> int | None:
    """Where a module stands; one inside a package that is listed as a whole stands where the package does."""
    if module in ORDER:
        return ORDER.index(module)
    package = module.split(".")[0]
    return ORDER.index(package) if package == "studies" else None


@every_file
def test_imports_go_downward_only(path: Path) -> None:
    module = module_of(path)
    for name, line in imported(TREES[path]):
        target = ours(name)
        if target is None:
            continue
        here, there = place(module), place(target)
        assert here is not None
        assert there is not None
        inside_a_package = here == there and module != target
        assert there < here or inside_a_package, (
            f"{path.name}:{line}: {module or 'pdekan'} imports {target or 'pdekan'}, which is above it"
        )


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


def test_the_lower_half_knows_nothing_of_files_and_terminals() -> None:
    """Optimizers know neither equations nor networks, networks know no equations, splines know nothing at all."""
    graph = edges()
    assert not graph["splines"]
    assert not graph["jets"]
    for module, targets in graph.items():
        if module.startswith("optimizers."):
            assert targets <= {"optimizers.base"}, module
        if module.startswith("networks."):
            assert targets <= {"splines", "jets", "grading", "networks.base", "networks.layers"}, module
        if module.startswith("output."):
            assert not {t for t in targets if not t.startswith("output")}, module
        if module in ("studies.rows", "studies.cluster", "studies.engine"):  # any study's, whatever it trains
            assert not {t for t in targets if not t.startswith(("studies.", "output.atomic"))}, module


@every_file
def test_only_formulas_imports_sympy(path: Path) -> None:
    allowed = path.is_relative_to(ROOT / "formulas")
    for name, line in imported(TREES[path]):
        assert allowed or name.split(".")[0] not in ("sympy", "mpmath"), f"{path.name}:{line} imports {name}"


def test_sympy_is_loaded_only_when_it_is_asked_for() -> None:
    """It takes a second, which `pdekan --help` has not, and neither has `import pdekan`."""
    program = "import pdekan, pdekan.cli, sys; sys.exit('sympy loaded' if 'pdekan.formulas' in sys.modules else 0)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@every_file
def test_only_output_imports_what_writes_files_and_pictures(path: Path) -> None:
    allowed = path.is_relative_to(ROOT / "output")
    for name, line in imported(TREES[path]):
        package = name.split(".")[0]
        assert allowed or package not in ("h5py", "matplotlib"), f"{path.name}:{line} imports {name}"
        assert name.split(".")[:2] != ["matplotlib", "pyplot"], f"{path.name}:{line}: pyplot holds global state"


FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "__import__", "builtins.eval", "builtins.exec", "builtins.compile",
    "sympy.sympify", "sympify", "parse_expr", "pickle.load", "pickle.loads", "os.system",
    "torch.manual_seed", "torch.seed", "torch.set_default_dtype", "torch.set_default_device", "torch.set_rng_state",
    "torch.random.manual_seed", "torch.cuda.manual_seed", "torch.cuda.manual_seed_all", "torch.use_deterministic_algorithms",
    "np.random.seed", "numpy.random.seed", "np.random.set_state", "random.seed", "np.seterr", "numpy.seterr",
    "warnings.filterwarnings", "warnings.simplefilter",
}  # fmt: skip


@every_file
def test_nothing_is_evaluated_from_text_and_no_global_state_is_set(path: Path) -> None:
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Call):
            assert called(node) not in FORBIDDEN_CALLS, f"{path.name}:{node.lineno} calls {called(node)}"


GLOBAL_RANDOMNESS = {"rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial"}


@every_file
def test_randomness_comes_from_a_generator(path: Path) -> None:
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Call):
            name = called(node)
            if name.startswith("torch.") and name.removeprefix("torch.") in GLOBAL_RANDOMNESS:
                assert any(keyword.arg == "generator" for keyword in node.keywords), (
                    f"{path.name}:{node.lineno} draws from torch's global generator"
                )
            drawn = name.startswith(("np.random.", "numpy.random.", "random.")) and not name.endswith(("default_rng", "Random"))
            assert not drawn, f"{path.name}:{node.lineno} draws from a global generator"


@every_file
def test_only_the_command_line_writes_to_a_terminal(path: Path) -> None:
    if module_of(path).split(".")[0] in ("cli", "commands", "terminal", "__main__"):
        return
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Call):
            assert called(node) not in ("print", "input"), f"{path.name}:{node.lineno} calls {called(node)}"
        if isinstance(node, ast.Attribute):
            assert ast.unparse(node) not in ("sys.stdout", "sys.stderr"), f"{path.name}:{node.lineno} uses {ast.unparse(node)}"


@every_file
def test_no_exception_is_swallowed_unnamed(path: Path) -> None:
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{path.name}:{node.lineno}: except without a name"
            swallows = len(node.body) == 1 and isinstance(node.body[0], ast.Pass)
            broad = ast.unparse(node.type) in ("Exception", "BaseException")
            assert not (swallows and broad), f"{path.name}:{node.lineno}: everything is swallowed"


@every_file
def test_every_file_says_what_it_is_about(path: Path) -> None:
    tree = TREES[path]
    if tree.body:
        assert ast.get_docstring(tree), f"{path.name} has no docstring"
