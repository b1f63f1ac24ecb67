"""`pdekan scaling`: train networks of many sizes, and say how the error falls with them."""

from __future__ import annotations

import argparse
from dataclasses import replace

from pdekan.commands.trainings import ended, trained
from pdekan.output import study_table
from pdekan.problem_files.loader import load_problem
from pdekan.studies import folder, scaling
from pdekan.studies.rows import Row
from pdekan.studies.scaling import Plan

# options and what they are in a plan
GIVEN = {
    "hidden": "hidden", "intervals": "intervals", "degree": "degree", "optimizer": "optimizers", "mlp": "mlp",
    "mlp_optimizer": "mlp_optimizers", "seeds": "seeds", "seconds": "seconds",
}  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Carry it out; the exit code. Raises ProblemError, StudyError, OutputError and OSError."""
    problem = load_problem(options.file, options.set)
    plan = _plan(options)
    trials = scaling.trials(problem, plan)
    kinds = {trial.task.key: trial.kind for trial in trials}

    def score(row: Row) -> tuple[str, float] | None:
        error = None if row.result is None else row.result["l2_relative"]
        return None if error is None else (kinds[row.key], error)

    done = trained(options, f"{problem.name}_scaling", scaling.train, scaling.tasks(trials), score)
    study = scaling.study(problem, plan, trials, done.rows, options.typed)
    return ended(options, done, folder.scaling_contents(study), study_table.tables(study), all(map(folder.failed, study.runs)))


def _plan(options: argparse.Namespace) -> Plan:
    """The plan that is asked for; what is given wins over --quick."""
    given = {name: getattr(options, option) for option, name in GIVEN.items() if getattr(options, option) is not None}
    return replace(scaling.QUICK if options.quick else Plan(), **given)
