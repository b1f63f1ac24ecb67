"""`pdekan new`: a commented problem file to begin with."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pdekan.commands.codes import DONE, UsageError
from pdekan.output.atomic import write_text
from pdekan.problem_files.loader import loads
from pdekan.problem_files.template import template


def run(options: argparse.Namespace) -> int:
    """Execute the command and return its exit code. Raises ProblemError, UsageError and OSError."""
    name = options.name.removesuffix(".toml")
    text = template(name, options.dimensions, options.time, options.unknowns)
    file = Path(f"{name}.toml")
    loads(text, str(file))  # names are refused as in any problem file
    if file.exists() and not options.force:
        raise UsageError(f"{file} exists; choose another name, or --force to overwrite it")
    write_text(file, text)
    if options.json:
        print(json.dumps({"schema": 1, "file": str(file)}))
    else:
        print(f"wrote {file}; `pdekan check {file}` says what it states, `pdekan solve {file}` solves it")
    return DONE
