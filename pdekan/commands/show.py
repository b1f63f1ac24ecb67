"""`pdekan show`: the text of a library problem, to read or to begin with."""

from __future__ import annotations

import argparse
import difflib
import json
from pathlib import Path

from pdekan.commands.codes import DONE, UsageError
from pdekan.output.atomic import write_text
from pdekan.problem_files.library import problems


def run(options: argparse.Namespace) -> int:
    """Execute the command and return its exit code. Raises UsageError and OSError."""
    files = problems()
    if options.name not in files:
        near = difflib.get_close_matches(options.name, files, n=3, cutoff=0.7)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise UsageError(f"the library has no problem {options.name!r}; {hint}`pdekan list` shows all")
    text = files[options.name].read_text("utf-8")
    if options.to is not None:
        _write(options.to, text, options.force)
    if options.json:
        print(json.dumps({"schema": 1, "name": options.name, "text": text}))
    else:
        print(f"wrote {options.to}" if options.to is not None else text, end="\n" if options.to is not None else "")
    return DONE


def _write(file: Path, text: str, force: bool) -> None:
    if file.exists() and not force:
        raise UsageError(f"{file} exists; choose another file, or --force to overwrite it")
    write_text(file, text)
