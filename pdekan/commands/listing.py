"""`pdekan list`: the problem library that ships with pdekan."""

from __future__ import annotations

import argparse
import json

from pdekan.commands.codes import DONE
from pdekan.problem_files.library import problem_files, problems, suites, titles


def run(options: argparse.Namespace) -> int:
    """Execute the command and return its exit code."""
    if options.json:
        by_suite = {name: titles(problem_files(folder)) for name, folder in suites().items()}
        print(json.dumps({"schema": 1, "problems": titles(), "suites": by_suite}))
    else:
        listed = titles(problems())
        width = max(map(len, listed), default=0)
        for name, title in listed.items():
            print(f"{name:<{width}}  {title}")
    return DONE
