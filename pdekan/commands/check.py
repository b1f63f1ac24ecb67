"""`pdekan check`: validate a problem file and print the problem with its training stages."""

from __future__ import annotations

import argparse
import json
import math
from typing import Any

from rich.console import Console

from pdekan.cells.corners import corners
from pdekan.commands.codes import DONE, UsageError
from pdekan.commands.terminal import console
from pdekan.problem_files.loader import load_problem
from pdekan.problem_files.validation import exact_residuals, members
from pdekan.problem_files.well_posedness import warnings
from pdekan.problems.discontinuities import refuse_undeclared
from pdekan.problems.problem import ELEMENTS, Problem
from pdekan.singularities.beginnings import beginnings
from pdekan.singularities.corners import singularities
from pdekan.singularities.source_planes import plane_functions
from pdekan.solutions import reference_files
from pdekan.training.cells.choice import Cause, cause
from pdekan.training.memory import memory
from pdekan.training.posedness.resonance import resonances
from pdekan.training.posedness.uniqueness import refuse_undetermined, silent_faces
from pdekan.training.schedule import is_open, stages
from pdekan.training.singular_terms import with_singular_functions
from pdekan.training.slabs.initial_value import applies

BEGINNINGS = {0: "the value jumps", 1: "the slope jumps"}  # by the first degree in (s, √t)
EXACT = 1e-6  # relative residual below which an exact solution satisfies an equation or condition


def run(options: argparse.Namespace) -> int:
    """Execute the command and return its exit code.

    Raises ProblemError, and UsageError where the exact solution does not satisfy the problem.
    """
    problem = load_problem(options.file, options.set, allow_outside=options.allow_outside)
    complete = all(name in problem.exact_fields for name in problem.unknowns)
    found = [exact_residuals(one) for one in members(problem)] if complete else [{}]
    mismatch = {place: max(one[place] for one in found) for place in found[0]}
    reference_files.check_reference(problem)
    refuse_undeclared(problem)
    refuse_undetermined(problem)
    residuals = {".".join(map(str, place)): value for place, value in mismatch.items()}
    wrong = {place: value for place, value in residuals.items() if not value < EXACT}
    answer = _checked(problem) | {
        "exact_residuals": residuals, "warnings": [*warnings(problem), *silent_faces(problem), *resonances(problem)]
    }  # fmt: skip
    if options.json:
        print(json.dumps(answer))
    else:
        _print_checked(answer)
    if wrong:
        listed = ", ".join(f"{place} (off by {value:.2g})" for place, value in wrong.items())
        raise UsageError(f"{options.file}: the exact solution does not satisfy {listed}")
    return DONE


def _checked(problem: Problem) -> dict[str, Any]:
    """The problem and its training stages as plain data."""
    intervals = zip(problem.domain.lower, problem.domain.upper, strict=True)
    return {
        "schema": 1,
        "name": problem.name,
        "title": problem.title,
        "reference": problem.reference,
        "exact_reference": problem.exact_reference,
        "domain": dict(zip(problem.domain.coordinates, intervals, strict=True)),
        "domain_type": problem.domain.type_name,
        "measure": problem.domain.measure,
        "faces": list(problem.domain.faces),
        "unknowns": list(problem.unknowns),
        "equations": problem.equation_texts,
        "parameters": {name: one.initial for name, one in problem.parameters.items()},
        "family": {name: [one.lower, one.upper] for name, one in problem.ranges.items()},
        "data": {one.name: len(one.points) for one in problem.data},
        "conditions": [str(condition) for condition in problem.conditions],
        "optimizer": problem.training.optimizer,
        "seconds": problem.training.seconds,
        "tolerance": problem.training.tolerance,
        "grows": is_open(problem),
        "cells": None if (reason := cause(with_singular_functions(problem))) in (None, Cause.LEFT) else reason.value,
        "corners": _corners(problem),
        "singular_planes": _planes(problem),
        "beginnings": _beginnings(problem),
        "slabs_chosen": applies(problem),
        "stages": _stages(problem),
    }


def _stages(problem: Problem) -> list[dict[str, Any]]:
    """The training stages with their sizes."""
    return [
        {
            "widths": stage.widths(problem.domain.dimension),
            "degree": stage.degree,
            "intervals": stage.intervals,
            "plane_waves": stage.waves,
            "parameters": stage.parameters(problem.domain.dimension),
            "memory_megabytes": round(memory(problem, stage) / 1e6, 1),
        }
        for stage in stages(problem)
    ]


def _planes(problem: Problem) -> list[dict[str, Any]]:
    """The planes at which the source is singular, with unit normals and the powers of the distance in the solution."""
    found = plane_functions(problem)
    return [
        {
            "at": list(one.point),
            "normal": [x * problem.domain.size for x in one.normal],
            "powers": list(one.powers),
        }
        for one in found
    ]


def _beginnings(problem: Problem) -> list[dict[str, Any]]:
    """Where the solution begins anew, and its first degree m in (s, √t) there."""
    names = problem.domain.coordinates
    return [
        {"at": {names[k]: float(one.edge.point[k]) for k in (one.edge.axis, one.edge.time)}, "degree": one.degree}
        for one in beginnings(problem)
    ]


def _corners(problem: Problem) -> list[dict[str, Any]]:
    """The corners where solutions are singular: those whose functions are known, with all exponents, and re-entrant ones."""
    known = {one.point: one for one in singularities(problem)}
    others = [one for one in corners(problem.domain) if one.point not in known]
    return [
        {"at": list(one.point), "angle": one.angle, "exponent": one.exponents[0], "exponents": list(one.exponents)}
        for one in known.values()
    ] + [{"at": list(one.point), "angle": one.angle, "exponent": one.exponent, "exponents": []} for one in others]


def _print_checked(answer: dict[str, Any]) -> None:
    out = console()
    out.print(f"{answer['name']}{': ' if answer['title'] else ''}{answer['title']}")
    if answer["reference"]:
        out.print(f"  source      {answer['reference']}")
    domain = list(answer["domain"].items())
    shown = " × ".join(f"{name} in [{a:g}, {b:g}]" for name, (a, b) in domain[:4]) + (" × …" if len(domain) > 4 else "")
    around = "" if answer["domain_type"] == "box" else f"{answer['domain_type']} of measure {answer['measure']:.6g} in "
    out.print(f"  domain      {around}{shown}")
    if answer["domain_type"] != "box":
        out.print(f"  faces       {', '.join(answer['faces'])}")
    for equation in answer["equations"]:
        out.print(f"  equation    {equation}")
    for name, initial in answer["parameters"].items():
        out.print(f"  parameter   {name}, sought from {initial:g} on")
    for name, (a, b) in answer["family"].items():
        out.print(f"  parameter   {name} in [{a:g}, {b:g}]: a family, solved for all of its values")
    for name, count in answer["data"].items():
        out.print(f"  data        {name}: {count} points")
    for condition in answer["conditions"]:
        out.print(f"  condition   {condition}")
    _print_networks(answer, out)
    for warning in answer["warnings"]:
        out.print(f"  warning     {warning}")
    if answer["exact_reference"] is not None:
        named = "finite elements" if answer["exact_reference"] == ELEMENTS else answer["exact_reference"]
        out.print(f"  exact       errors are measured against {named}")
    for place, value in answer["exact_residuals"].items():
        out.print(
            f"  exact       satisfies {place} to {value:.1e}"
            if value < EXACT
            else f"  exact       misses {place} by {value:.2g}"
        )


def _print_networks(answer: dict[str, Any], out: Console) -> None:
    """The stages, corners, and how the network is chosen."""
    for k, stage in enumerate(answer["stages"]):
        sizes = f"{list(stage['widths'])} degree {list(stage['degree'])} intervals {list(stage['intervals'])}"
        memory_and_kind = f"{stage['memory_megabytes']} MB" + (", plane waves" if stage["plane_waves"] else "")
        out.print(f"  stage {k + 1:<5d} {sizes}: {stage['parameters']} parameters, {memory_and_kind}")
    for corner in answer["corners"]:
        at = ", ".join(f"{x:g}" for x in corner["at"])
        text = f"at ({at}), interior angle {corner['angle'] / math.pi:.4g}π"
        if corner["exponents"]:
            first = ", ".join(f"{one:.4g}" for one in corner["exponents"][:4])
            out.print(f"  corner      {text}: functions r^λ are added to the network, λ = {first}, …")
        else:
            out.print(f"  corner      {text}; with equal conditions on both sides r^{corner['exponent']:.4g}")
    for plane in answer["singular_planes"]:
        at, normal = (", ".join(f"{round(x, 9) + 0.0:.4g}" for x in plane[key]) for key in ("at", "normal"))
        first = ", ".join(f"{one:.4g}" for one in plane["powers"][:4])
        out.print(f"  source      singular across a plane at ({at}) with normal ({normal}): s^λ are added, λ = {first}, …")
    for one in answer["beginnings"]:
        at = ", ".join(f"{name} = {x:g}" for name, x in one["at"].items())
        jumping = BEGINNINGS.get(one["degree"], f"derivatives of degree {one['degree']} in (s, √t) jump")
        out.print(f"  beginning   at {at}: {jumping}; functions of diffusion are added to the network")
    if answer["cells"] is not None:
        out.print(f"  cells       with a network each are tried: {answer['cells']}")
    if answer["slabs_chosen"]:
        out.print("  slabs       from the initial values on, as long as the solution allows, each a KAN without hidden nodes")
    elif answer["grows"]:
        out.print("  network     grows stage by stage until the tolerance is met; plane waves where much is left to do")
