"""`pdekan bench`: every problem file of a folder, each solved on its defaults."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from pdekan.commands.terminal import console
from pdekan.commands.trainings import report, train
from pdekan.output import tables
from pdekan.output.findings import Heading
from pdekan.problem_files.library import suites
from pdekan.solutions.environment import environment
from pdekan.studies import folder, suite
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
    contents = folder.findings_contents(heading, findings, done.rows)
    contents = replace(contents, summary={**contents.summary, "rows": json_data(suite.cases(done.rows))})
    if not options.json:
        for sentence in findings.sentences:
            console().print(sentence)
    failed = all(row.result is None for row in done.rows)
    return report(options, done, contents, map(tables.table, findings.tables), failed)
