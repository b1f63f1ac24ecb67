"""`pdekan bench`: every problem file of a folder, each solved on its defaults."""

from __future__ import annotations

import argparse
from pathlib import Path

from pdekan.commands.trainings import report_findings, train
from pdekan.output.findings import Heading
from pdekan.problem_files.library import suites
from pdekan.solutions.environment import environment
from pdekan.studies import suite
from pdekan.studies.rows import json_data


def run(options: argparse.Namespace) -> int:
    """Execute the command and return its exit code. Raises StudyError, OutputError and OSError."""
    problems: Path = options.folder if options.folder.exists() else suites().get(str(options.folder), options.folder)
    tasks = suite.tasks(problems, options.seconds)
    name = problems.absolute().name
    common = {"allow_outside": options.allow_outside}
    done = train(options, f"{name}_bench", suite.train, tasks, lambda row: None, writes=True, common=common)
    findings = suite.findings(problems.absolute(), done.rows)
    heading = Heading(name, f"The problems of {name}", str(problems), options.typed, environment())
    return report_findings(options, done, heading, findings, {"rows": json_data(suite.cases(done.rows))})
