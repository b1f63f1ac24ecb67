"""pdekan: partial differential equations in, trained Kolmogorov-Arnold networks and honest errors out.

    import pdekan as pk

    problem = pk.Problem(
        domain=pk.box(x=(-1, 1), y=(-1, 1)),
        equation=lambda u: pk.laplacian(u),
        source=lambda x, y: -2 * pk.pi**2 * pk.sin(pk.pi * x) * pk.sin(pk.pi * y),
        conditions=[pk.dirichlet(0.0)],
    )
    solution = pk.solve(problem)
    solution([[0.5, 0.5]])

Names are loaded when they are first used, so that ``import pdekan`` is quick.
"""

from __future__ import annotations

import importlib
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pdekan.domains.ball import ball
    from pdekan.domains.base import Domain, DomainError
    from pdekan.domains.box import Box, box, hypercube
    from pdekan.domains.combinations import difference, intersection, union
    from pdekan.domains.cylinder import Cylinder
    from pdekan.domains.mesh_file import mesh
    from pdekan.domains.shapes import annulus, disk, ellipse, polygon
    from pdekan.domains.solids import cylinder, half_space, torus
    from pdekan.errors.estimate import Bound
    from pdekan.errors.norms import Errors
    from pdekan.fields.functions import acos, asin, atan, atan2, cos, cosh, erf, exp, log, log10, product
    from pdekan.fields.functions import sign, sin, sinh, sqrt, tan, tanh, total, where
    from pdekan.fields.jets import Derivatives, Frame, Jet
    from pdekan.networks.base import ModuleNetwork, Network
    from pdekan.networks.kan import KAN
    from pdekan.networks.mlp import MLP
    from pdekan.fields.operators import d, div, dot, dt, dx, dy, dz, grad, laplacian, normal
    from pdekan.optimizers.adam import Adam
    from pdekan.optimizers.gauss_newton import GaussNewton
    from pdekan.optimizers.lbfgs import LBFGS
    from pdekan.optimizers.matrix_free import MatrixFree
    from pdekan.optimizers.ssbroyden import SSBroyden
    from pdekan.problem_files.loader import ProblemFileError, load_problem
    from pdekan.problems.formulas import EXACT, ProblemError
    from pdekan.problems.parameters import Enrichment, Measurements, Parameter, Range
    from pdekan.problems.options import NetworkOptions, Nodes, TrainingOptions, Weights
    from pdekan.problems.problem import Problem
    from pdekan.problems.conditions import dirichlet, initial, interface, mean, neumann, periodic, robin
    from pdekan.pruning.prune import Pruned, prune
    from pdekan.solutions.bounded import error_bound
    from pdekan.solutions.solution import Solution, load_solution
    from pdekan.solutions.solved import Found
    from pdekan.training.ladder import Ladder
    from pdekan.training.progress import Progress
    from pdekan.training.reasons import Reason
    from pdekan.training.schedule import Stage
    from pdekan.training.solver import solve
    from pdekan.training.state import State
    from pdekan.training.strategy import Stop, Strategy

pi = math.pi

_HOMES = {
    "domains.ball": "ball",
    "domains.base": "Domain DomainError",
    "domains.box": "Box box hypercube",
    "domains.combinations": "difference intersection union",
    "domains.cylinder": "Cylinder",
    "domains.mesh_file": "mesh",
    "domains.shapes": "annulus disk ellipse polygon",
    "domains.solids": "cylinder half_space torus",
    "errors.bounds": "Bound",
    "errors.norms": "Errors",
    "fields.functions": "acos asin atan atan2 cos cosh erf exp log log10 product sign sin sinh sqrt tan tanh total where",
    "fields.jets": "Derivatives Frame Jet",
    "fields.operators": "d div dot dt dx dy dz grad laplacian normal",
    "networks.base": "ModuleNetwork Network",
    "networks.kan": "KAN",
    "networks.mlp": "MLP",
    "optimizers.adam": "Adam",
    "optimizers.gauss_newton": "GaussNewton",
    "optimizers.lbfgs": "LBFGS",
    "optimizers.matrix_free": "MatrixFree",
    "optimizers.ssbroyden": "SSBroyden",
    "problem_files.loader": "ProblemFileError load_problem",
    "problems.conditions": "dirichlet initial interface mean neumann periodic robin",
    "problems.formulas": "EXACT ProblemError",
    "problems.options": "NetworkOptions Nodes TrainingOptions Weights",
    "problems.parameters": "Enrichment Measurements Parameter Range",
    "problems.problem": "Problem",
    "pruning.prune": "Pruned prune",
    "solutions.bounded": "error_bound",
    "solutions.solution": "Solution load_solution",
    "solutions.solved": "Found",
    "training.ladder": "Ladder",
    "training.progress": "Progress",
    "training.reasons": "Reason",
    "training.schedule": "Stage",
    "training.solver": "solve",
    "training.state": "State",
    "training.strategy": "Stop Strategy",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}
__all__ = ["pi", *_HOME]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("pdekan")
    if name not in _HOME:
        raise AttributeError(f"module 'pdekan' has no attribute {name!r}")
    return getattr(importlib.import_module(f"pdekan.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
