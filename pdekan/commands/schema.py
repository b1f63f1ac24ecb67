"""`pdekan schema`: the JSON schema of problem files, for editors and scripts."""

from __future__ import annotations

import argparse
import json

from pdekan.commands.codes import DONE
from pdekan.problem_files.loader import json_schema


def run(options: argparse.Namespace) -> int:
    """Execute the command and return its exit code; what it prints is the same with --json, on one line."""
    print(json.dumps(json_schema(), indent=None if options.json else 2))
    return DONE
