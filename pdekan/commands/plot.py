"""`pdekan plot`: draw the figures of a run or a study again."""

from __future__ import annotations

import argparse
import json

from pdekan import run as runs
from pdekan.commands.codes import DONE
from pdekan.studies import folder


def run(options: argparse.Namespace) -> int:
    """Carry it out; the exit code. Raises OutputError and OSError."""
    study = folder.find(options.path)
    file, redraw = (study, folder.redraw) if study is not None else (runs.find(options.path), runs.redraw)
    drawn = redraw(file, options.to or file.parent, f".{options.format}")
    if options.json:
        print(json.dumps({"schema": 1, "files": drawn}))
    else:
        for path in drawn.values():
            print(path)
    return DONE
