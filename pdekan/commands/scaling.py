"""`pdekan scaling`: train networks of many sizes, and report how the error depends on the size."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from pdekan.commands.trainings import report, train
from pdekan.output import study_table
from pdekan.problem_files.loader import load_problem
from pdekan.problem_files.reader import read
from pdekan.studies import folder, scaling
from pdekan.studies.rows import Row
from pdekan.studies.scaling import Plan

# options and the fields of a plan that they set
GIVEN = {
    "hidden": "hidden", "intervals": "intervals", "degree": "degree", "optimizer": "optimizers", "mlp": "mlp",
    "mlp_optimizer": "mlp_optimizers", "seeds": "seeds", "seconds": "seconds",
}  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Execute the command and return its exit code. Raises ProblemError, StudyError, OutputError and OSError."""
    problem = load_problem(options.file, options.set, allow_outside=options.allow_outside)
    plan = _plan(options)
    trials = scaling.trials(problem, plan)
    kinds = {trial.task.key: trial.kind for trial in trials}

    def score(row: Row) -> tuple[str, float] | None:
        error = None if row.result is None else row.result["l2_relative"]
        return None if error is None else (kinds[row.key], error)

    folder_of_files = str(Path(read(options.file)[0]).parent.absolute())
    common = {"folder": folder_of_files, "allow_outside": options.allow_outside}
    done = train(options, f"{problem.name}_scaling", scaling.train, scaling.tasks(trials), score, common=common)
    study = scaling.study(problem, plan, trials, done.rows, options.typed)
    return report(options, done, folder.scaling_contents(study), study_table.tables(study), all(map(folder.failed, study.runs)))


def _plan(options: argparse.Namespace) -> Plan:
    """The plan of the options; those that are given take precedence over --quick."""
    given = {name: getattr(options, option) for option, name in GIVEN.items() if getattr(options, option) is not None}
    return replace(scaling.QUICK if options.quick else Plan(), **given, grown=not options.no_grown)
