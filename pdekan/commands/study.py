"""`pdekan study`: published experiments with Kolmogorov-Arnold networks, each by its name."""

from __future__ import annotations

import argparse
import json

from pdekan.commands.codes import DONE, UsageError
from pdekan.commands.terminal import console
from pdekan.commands.trainings import report_findings, train
from pdekan.output.findings import Heading
from pdekan.problem_files.reader import near
from pdekan.solutions.environment import environment
from pdekan.studies.experiment import summarised
from pdekan.studies.experiments import EXPERIMENTS


def run(options: argparse.Namespace) -> int:
    """Execute the command and return its exit code. Raises UsageError, StudyError, OutputError and OSError."""
    if options.name is None:
        return _list(options)
    if options.name not in EXPERIMENTS:
        hint = near(options.name, EXPERIMENTS) or f"there are {', '.join(EXPERIMENTS)}"
        raise UsageError(f"no study {options.name!r}; {hint}")
    experiment = EXPERIMENTS[options.name]
    tasks = experiment.tasks(options.seeds or (1 if options.quick else experiment.seeds), options.quick)
    done = train(options, f"{experiment.name}_study", experiment.train, tasks, lambda row: None)
    findings = summarised(experiment, done.rows)
    heading = Heading(experiment.name, experiment.title, experiment.source, options.typed, environment())
    return report_findings(options, done, heading, findings)


def _list(options: argparse.Namespace) -> int:
    """Print the experiments and their approximate durations."""
    if options.json:
        print(
            json.dumps(
                {
                    "schema": 1,
                    "studies": {
                        one.name: (
                            {
                                "title": one.title,
                                "shows": one.shows,
                                "source": one.source,
                                "minutes": one.minutes,
                                "seeds": one.seeds,
                            }
                        )
                        for one in EXPERIMENTS.values()
                    },
                }
            )
        )
        return DONE
    for one in EXPERIMENTS.values():
        console().print(f"{one.name}: {one.title} ({one.source}; about {one.minutes:g} min)\n    {one.shows}")
    return DONE
