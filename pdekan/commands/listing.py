"""`pdekan list`: the problem library that ships with pdekan."""

from __future__ import annotations

import argparse
import json

from pdekan.commands.codes import DONE
from pdekan.problem_files.library import titles


def run(options: argparse.Namespace) -> int:
    """Execute the command and return its exit code."""
    library = titles()
    if options.json:
        print(json.dumps({"schema": 1, "problems": library}))
    else:
        width = max(map(len, library), default=0)
        for name, title in library.items():
            print(f"{name:<{width}}  {title}")
    return DONE
