"""solve(problem) -> Solution: the whole of time at once, or slab by slab."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from pdekan.ansatz.unknowns import network_outputs
from pdekan.cells.elimination import Triangles, triangles
from pdekan.networks.base import ModuleNetwork, Network
from pdekan.optimizers.base import LeastSquares, Optimizer
from pdekan.output.progress_bar import progress_display
from pdekan.problem_files.loader import load_problem
from pdekan.problems.discontinuities import refuse_undeclared
from pdekan.problems.formulas import ProblemError
from pdekan.problems.options import NetworkOptions, TrainingOptions
from pdekan.problems.problem import Problem
from pdekan.residuals.terms import is_linear
from pdekan.solutions.solution import Solution
from pdekan.training.cells import choice as cell_choice
from pdekan.training.continuation import restored
from pdekan.training.families.training import FamilyTraining
from pdekan.training.graded_coordinates import looked_at
from pdekan.training.optimizer_choice import Fixed, Method
from pdekan.training.posedness.uniqueness import missing_conditions
from pdekan.training.progress import Callback, shown
from pdekan.training.result import outputs_of
from pdekan.training.setup import Setup
from pdekan.training.singular_terms import with_singular_functions
from pdekan.training.slabs import initial_value
from pdekan.training.slabs.initial_value import InitialValueTraining
from pdekan.training.slabs.marching import march
from pdekan.training.slabs.standing import Standing
from pdekan.training.slabs.standing import restored as standing_of
from pdekan.training.strategy import Strategy
from pdekan.training.threads import threads
from pdekan.training.trainer import Trainer

LEAST_SECONDS = 1e-3  # of a training that is not to go on


def solve(
    problem: Problem | str | Path,
    *,
    network: Network | nn.Module | NetworkOptions | None = None,
    training: TrainingOptions | None = None,
    strategy: Strategy | None = None,
    optimizer: Optimizer[LeastSquares] | Method | None = None,
    resume: Solution | None = None,
    device: str = "cpu",
    watch: Callback | None = None,
    progress: bool = False,
    estimate: bool = True,
    interrupted: Callable[[], bool] = lambda: False,
    triangles: Triangles = triangles,
    now: Callable[[], float] | None = None,
) -> Solution:
    """Train a network to solve the problem and measure its error.

    problem: also the path of a problem file, or the name of a library problem. network: options, or a network (any torch module
    from ``(n, d)`` to ``(n, unknowns)``) that is trained as it stands; by default the problem's own options. strategy: decides
    which stages are trained, instead of the options. optimizer: an object that trains every stage, or a method that chooses one
    by the size, instead of the name in the options. resume: a solution of the same problem to go on from. watch: called after
    every step; words that it returns stop the training. progress: whether a bar shows how far it is, on stderr. estimate:
    whether the error is estimated, see `training.estimate`. interrupted: called before every block of work of a step; where it
    is true the training ends, with the best step so far. triangles: who factorises cells, as `studies.cell_workers.on_workers`.
    now: what counts the seconds of training instead of the wall's clock, as `time.thread_time`.
    Raises ProblemError for options that do not fit the problem. The caller's network is not changed.
    """
    _check_arguments(problem, network, optimizer)
    problem = problem if isinstance(problem, Problem) else load_problem(problem)
    options = network if isinstance(network, NetworkOptions) else problem.network
    problem = replace(problem, network=options, training=training or problem.training)
    refuse_undeclared(problem)
    given = _wrapped(network, problem) if isinstance(network, nn.Module) else None
    method = optimizer if optimizer is None or isinstance(optimizer, Method) else Fixed(optimizer)
    cores = torch.get_num_threads()
    setup = Setup(strategy, method, device, watch, interrupted, cores, estimate=estimate, triangles=triangles, now=now)
    with threads(1), progress_display(problem.title or problem.name) if progress else nullcontext() as show:
        setup = setup if show is None else replace(setup, callback=shown(show, watch))
        return _with_outputs(problem, _solved(problem, given, setup, resume))


def _with_outputs(problem: Problem, solution: Solution) -> Solution:
    """A solution with the quantities that the problem asks for."""
    if not problem.outputs or solution.outputs or solution.status == "interrupted":
        return solution
    return replace(solution, outputs=outputs_of(problem, solution.network))


def _wrapped(module: nn.Module, problem: Problem) -> Network:
    """A module of the user's as a network for the problem. Raises ProblemError for one that has other inputs or outputs."""
    if isinstance(module, Network):
        return module
    network = ModuleNetwork(module, problem.domain.dimension, network_outputs(problem))
    points = torch.as_tensor(problem.domain.interior(1, 2, 2, 0).points[:2])
    wanted = f"from (n, {network.inputs}), columns {', '.join(problem.domain.coordinates)}, to (n, {network.outputs})"
    try:
        found = tuple(network(points).shape)
    except RuntimeError as error:
        raise ProblemError(f"the network cannot be evaluated: {error}; needed is one {wanted}") from error
    if found != (2, network.outputs):
        raise ProblemError(f"the network gives values of shape {found} at 2 points; needed is one {wanted}")
    return network


def _check_arguments(problem: object, network: object, optimizer: object) -> None:
    """Raise ProblemError for arguments of other types: what was given, and what is needed."""
    if not isinstance(problem, (Problem, str, Path)):
        raise ProblemError(f"problem is {problem!r}; a Problem is needed, the path of a file, or the name of a library problem")
    if not (network is None or isinstance(network, (nn.Module, NetworkOptions))):
        raise ProblemError(
            f"network is {network!r}; a NetworkOptions is needed, such as NetworkOptions(hidden=(10,)), or a module"
        )
    if not (optimizer is None or isinstance(optimizer, Method) or hasattr(optimizer, "minimise")):
        raise ProblemError(f"optimizer is {optimizer!r}; an object is needed, or the name in TrainingOptions(optimizer=…)")


def _solved(problem: Problem, given: Network | None, setup: Setup, resume: Solution | None) -> Solution:
    """The solution by the way that fits the problem and what the user asked for: cells, slabs, or one network."""
    if problem.ranges:
        if given is not None or setup.strategy is not None:
            raise ProblemError("a family is solved member by member: it takes neither a network of your own nor a strategy")
        return FamilyTraining(problem, setup, _solved, resume).solution()
    on_cells = problem.network.local or (resume is not None and cell_choice.is_of_cells(resume.network))
    if on_cells and given is None:
        return cell_choice.on_cells(problem, setup, resume).solution()
    default = setup.strategy is None and setup.method is None and given is None and setup.device == "cpu"
    if default:
        problem = with_singular_functions(problem, resume)
    if default and initial_value.applies(problem):
        return _from_initial_values(problem, setup, resume)
    if default and resume is None and (found := cell_choice.chosen(problem, setup)) is not None:
        return found
    problem = looked_at(problem)
    if problem.training.slabs == 1:
        return Trainer(problem, given, setup, resume).solution()
    if given is not None:
        raise ProblemError("a network of your own cannot be trained in slabs of time; set slabs = 1")
    return march(problem, setup, resume)


def _from_initial_values(problem: Problem, setup: Setup, resume: Solution | None, share: float = 0.2) -> Solution:
    """The solution of an initial value problem in one coordinate: in slabs that follow it, where all at once is no solution.

    share: of the seconds that a linear problem may take at once; a nonlinear one is solved in slabs.
    """
    seconds, spent, whole = problem.training.seconds, 0.0 if resume is None else resume.seconds, None
    standing = None if resume is None else standing_of(resume, problem)
    begun = resume if standing is None else standing.whole
    if begun is not None and (not is_linear(problem) or restored(begun, problem) is None):
        begun = None
    trainer = Trainer(_limited(problem, share * seconds), None, setup, begun)
    trainer.check()
    missing = "; ".join(map(str, missing_conditions(problem)))
    if missing:
        raise ProblemError(
            f"the initial values do not determine the solution: {missing}; state in [[conditions]] what holds there"
        )
    if standing is None and is_linear(problem):
        whole = replace(trainer.solution(), problem=problem)
        if whole.status in ("converged", "interrupted"):
            return whole
        taken = whole.seconds - (0.0 if begun is None else begun.seconds)
        seconds, spent, begun = seconds - taken, spent + taken, whole
    earlier = None if standing is None or resume is None else resume.history
    clock, standing = setup.clock(spent, seconds), standing or Standing(whole=whole)
    slabs = InitialValueTraining(problem, clock, setup.callback, setup.estimate, standing=standing, earlier=earlier).solution()
    if slabs.status in ("converged", "interrupted") or begun is None:
        return slabs
    if whole is None:  # as an earlier run left it
        whole = replace(Trainer(_limited(problem, LEAST_SECONDS), None, setup, begun).solution(), problem=problem)
    return slabs if slabs.relative_residual < whole.relative_residual else whole


def _limited(problem: Problem, seconds: float) -> Problem:
    """The problem with other seconds."""
    return replace(problem, training=replace(problem.training, seconds=seconds))


def check(problem: Problem) -> None:
    """Raise the ProblemError that `solve` would for a network that its optimizer or the memory cannot hold; train nothing."""
    refuse_undeclared(problem)
    Trainer(problem).check()
