"""Options that have no meaning beside others: what would be ignored is refused."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from pdekan.commands.codes import UsageError


class Rule(NamedTuple):
    """An option of commands that would be ignored where something holds of all options; why, and what to do instead."""

    commands: tuple[str, ...]
    option: str
    ignored: Callable[[argparse.Namespace], Any]
    instead: str


PROGRAMS, FIGURES = (".pt2", ".onnx"), (".png", ".svg", ".pdf")
STUDIES = ("scaling", "study", "bench")
FRESH = "without --output the run is written to a fresh directory, where nothing is overwritten; name one, or leave it out"
PROGRAM = "a network for other programs is a function of points, which it is given there: leave it out"


# what `pdekan scaling` replaces in the problem's file
REPLACED = re.compile(r"network\.(kind|hidden|degree|intervals|cells)\b|training\.(optimizer|refine|seed|seconds|starts)\b")


def _is_replaced(options: argparse.Namespace) -> bool:
    return any(REPLACED.match(one.strip()) for one in options.set)


def _ending(options: argparse.Namespace) -> str:
    return "" if options.to is None else str(options.to.suffix.lower())


def _is_program(options: argparse.Namespace) -> bool:
    return options.line is None and _ending(options) in PROGRAMS


RULES = (
    Rule(("solve", *STUDIES), "--force", lambda one: one.resume, "--resume goes on with what is there; choose one of the two"),
    Rule(("solve", "prune", *STUDIES), "--force", lambda one: one.output is None, FRESH),
    *(
        Rule(("study",), option, lambda one: one.name is None, "without the name of a study they are only listed; name one")
        for option in ("--seeds", "--quick", "--workers", "--scheduler", "--output", "--resume", "--force")
    ),
    Rule(
        ("scaling",),
        "--set",
        _is_replaced,
        "networks, optimizers, seeds and seconds are those of --hidden, --seconds and so on",
    ),
    Rule(("scaling",), "--mlp-optimizer", lambda one: one.mlp == (), "with --mlp none there are no MLPs; leave it out"),
    Rule(("export",), "--grid", _is_program, PROGRAM),
    Rule(("export",), "--time", _is_program, PROGRAM),
    Rule(("export",), "--grid", lambda one: one.line, "along --line there is no grid; --points says how many points it has"),
    Rule(("export",), "--time", lambda one: one.line, "state the time in --line, as in --line x=0:1,t=0.5"),
    Rule(("export",), "--points", lambda one: one.line is None, "it counts the points of a --line; --grid has those of a grid"),
    Rule(("plot",), "--format", lambda one: one.animate, "animations are GIF, and MP4 where ffmpeg is; leave it out"),
    Rule(("formula",), "--seconds", lambda one: one.edges, "with --edges nothing is searched for; leave it out"),
    Rule(("show",), "--force", lambda one: one.to is None, "without --to the problem is printed; name a file, or leave it out"),
)


def refuse_ignored(options: argparse.Namespace) -> None:
    """Raise UsageError for the first option that would be ignored."""
    for rule in RULES:
        given = getattr(options, rule.option[2:].replace("-", "_"), None)
        if options.module in rule.commands and given not in (None, False, []) and rule.ignored(options):
            raise UsageError(f"{rule.option} would be ignored: {rule.instead}")
