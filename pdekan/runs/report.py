"""The report of a run: its problem, training, errors, solution and network on one HTML page."""

from __future__ import annotations

import html
import math
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pdekan.ansatz.unknowns import without_ansatz
from pdekan.output import network_figure, report_page
from pdekan.output.frames import Frames, frames
from pdekan.output.labels import with_unit
from pdekan.output.report_page import Section, definitions, details, paragraph
from pdekan.output.report_plots import Plots, Shown, library, plots
from pdekan.output.samples import Array, Samples
from pdekan.output.vtkhdf import read_samples
from pdekan.problem_files import typesetting
from pdekan.problem_files.names import REFERENCE
from pdekan.runs.network_drawing import can_be_drawn, drawing
from pdekan.runs.summary import network_in_words
from pdekan.solutions.solution import Solution, load_solution

CONFIDENCE = 1.959964  # standard deviations on each side of a normal distribution hold 95 %
MEANING = (
    "Relative errors are norms of the error divided by those of the solution over the whole domain: L2 of the values, the H1 "
    "seminorm of the first derivatives. An estimate needs no exact solution: it compares with a better solution of the same "
    "problem, or, as an upper one, amplifies the residual. The residual is what is left of the equation at points that "
    "training has not seen."
)


def run_report(file: Path) -> str:
    """The page of the run in a solution file. Raises OutputError where there is none."""
    solution, samples = load_solution(file), read_samples(file)
    shown, fields = _fields(samples)
    drawn = plots(
        fields, shown, ({name: with_unit(name, samples.unit(name)) for name in samples.layout.coordinates}), solution.history
    )
    title = solution.problem.title if solution.problem is not None and solution.problem.title else solution.name
    sections = [
        Section("Problem", _problem(solution)),
        Section("Errors", _errors(solution)),
        *([Section("Found", _found(solution))] if solution.found else []),
        *([Section("Quantities", _quantities(solution))] if solution.outputs else []),
        Section("Solution", _solution(samples, fields, shown, drawn)),
        Section("Training", _training(solution, drawn)),
        Section("Network", _network(solution)),
        Section("Reproduce", _reproduce(solution, file)),
    ]
    kind = "good" if solution.status == "converged" else "bad"
    lead = f'<p><strong class="{kind}">{solution.status}</strong>: {html.escape(solution.reason)}</p>'
    return report_page.page(title, lead, sections, library() + drawn.script)


def _problem(solution: Solution) -> str:
    problem = solution.problem
    if problem is None or problem.text is None:
        return paragraph("The problem was stated in Python; its formulas are not in the run's file.")
    stated, domain = tomllib.loads(problem.text), solution.domain
    coordinates, unknowns = domain.coordinates, solution.unknowns
    parts = [_domain(stated["domain"], coordinates)]
    operators, sources = (_listed(stated.get("equation", {}).get(key, [])) for key in ("operator", "source"))
    sources = sources or ["0"]
    sources = sources * len(operators) if len(sources) == 1 else sources
    for left, right in zip(operators, sources, strict=True):
        given = "f" if right == "manufactured" else right
        parts.append(typesetting.equation(typesetting.mathml(left, coordinates), typesetting.mathml(given, coordinates)))
    if "manufactured" in sources:
        parts.append(paragraph("f is the operator applied to the exact solution."))
    rows = {}
    for k, condition in enumerate(stated.get("conditions", [])):
        rows[f"{k + 1}. {condition['type']} {_place(condition)}"] = _condition(condition, coordinates, unknowns)
    for heading, table in (("function", "functions"), ("exact solution", "exact")):
        for name, text in stated.get(table, {}).items():
            if table == "exact" and name == REFERENCE:
                parts.append(paragraph(f"Errors are measured against the reference {text}."))
                continue
            inside = typesetting.mathml(str(text), coordinates)
            named = typesetting.exact(name) if table == "exact" else typesetting.identifier(name)
            rows[f"{heading} {name}"] = typesetting.equation(named, inside, inline=True)
    for name, value in stated.get("parameters", {}).items():
        rows[f"parameter {name}"] = html.escape(_parameter(value, problem.units.get(name, "")))
    if problem.reference:
        parts.append(paragraph(f"Source: {problem.reference}", "soft"))
    return "".join(parts) + definitions(rows) + details("The problem file", report_page.code(problem.text, "the problem file"))


def _domain(table: Mapping[str, Any], coordinates: tuple[str, ...]) -> str:
    words = ", ".join(f"{key} {value}" for key, value in table.items() if key not in ("type", "parts", "interfaces"))
    kind = table.get("type", "box")
    parts = f", {len(table['parts'])} parts" if "parts" in table else ""
    return paragraph(f"On a {kind}{parts} in {_short(coordinates)}{f': {words}' if words else ''}.")


def _short(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 8 else f"{names[0]}, {names[1]}, … {names[-1]}"


def _condition(condition: Mapping[str, Any], coordinates: tuple[str, ...], unknowns: Sequence[str]) -> str:
    unknown = typesetting.identifier(condition.get("unknown", unknowns[0]))
    left = typesetting.mathml(condition["operator"], coordinates) if "operator" in condition else unknown
    if condition["type"] == "periodic":
        return "equal values and normal derivatives"
    if condition["type"] == "neumann" and "operator" not in condition:
        left = f'<mi mathvariant="normal">n</mi><mo>·</mo><mi>{typesetting.NABLA}</mi>{unknown}'
    if condition["type"] == "interface":
        left = f"<mo>[</mo>{left}<mo>]</mo>"
    if condition["type"] == "mean":
        left = f"<mtext>mean of&nbsp;</mtext>{left}"
    value = str(condition.get("value", "0"))
    if value == "exact":
        right = left.replace(unknown, typesetting.exact(condition.get("unknown", unknowns[0])))
    else:
        right = typesetting.mathml(value, coordinates)
    return typesetting.equation(left, right, inline=True)


def _place(condition: Mapping[str, Any]) -> str:
    defaults = {"initial": "at the start of time", "mean": "over the domain"}
    if "on" not in condition and condition["type"] in defaults:
        return defaults[condition["type"]]
    return f"on {', '.join(_listed(condition.get('on', 'the boundary')))}"


def _listed(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def _parameter(value: Any, unit: str) -> str:
    if not isinstance(value, dict):
        return with_unit(f"{value}", unit)
    return with_unit(", ".join(f"{key} {one}" for key, one in value.items()), unit)


def _errors(solution: Solution) -> str:
    rows = []
    for unknown in solution.unknowns:
        estimate, error = (solution.estimate or {}).get(unknown), (solution.errors or {}).get(unknown)
        if estimate is not None:
            norms = (f"{estimate.l2_relative:.2e}", f"{estimate.h1_seminorm_relative:.2e}")
            rows.append((f"{unknown}, estimated", *norms, f"by {estimate.method}"))
        if error is not None:
            referred = solution.problem is not None and solution.problem.exact_reference is not None
            against = "a reference" if referred else "the exact solution"
            norms = (f"{error.l2_relative:.2e}", f"{error.h1_seminorm_relative:.2e}")
            rows.append((f"{unknown}, measured", *norms, f"against {against}; at most {error.linf:.2e}"))
    body = report_page.table(("", "L2, relative", "H1 seminorm, relative", "how"), rows) if rows else ""
    if solution.estimate is None:
        body += paragraph(f"No estimate: {solution.estimate_reason}.")
    if solution.bound is not None:
        one = solution.bound
        body += paragraph(f"Energy norm of the error: between {one.energy_lower:.2e} and {one.energy_upper:.2e} ({one.kind}).")
    residuals = f"{solution.residual:.2e} in the equation, {solution.condition_residual:.2e} in the conditions"
    body += paragraph(
        f"Residual: {residuals} (root mean squares); relative to the sizes of the terms {solution.relative_residual:.2e}."
    )
    return body + paragraph(MEANING, "soft")


def _found(solution: Solution) -> str:
    units = {} if solution.problem is None else solution.problem.units
    rows = []
    for name, one in solution.found.items():
        interval = "not known: no data, or none needed"
        if one.standard_error is not None:
            half = CONFIDENCE * one.standard_error
            interval = f"{one.value - half:.6g} … {one.value + half:.6g}"
        off = "" if one.discretisation_error is None else f"{one.discretisation_error:.1e}"
        rows.append(
            (name, with_unit(f"{one.value:.8g}", units.get(name, "")), interval, off, "on its bound" if one.on_bound else "")
        )
    table = report_page.table(("", "value", "95 % interval, from the noise of the data", "error of discretisation", ""), rows)
    return table + paragraph(
        "The interval is the value ± 1.96 standard errors; it knows nothing of errors in the model.", "soft"
    )


def _quantities(solution: Solution) -> str:
    rows = []
    for name, one in solution.outputs.items():
        at = "at the end of time" if one.times else ""
        rows.append((name, f"{one.value:.8g}", "not known" if one.estimate is None else f"{one.estimate:.1e}", at))
    return report_page.table(("", "value", "its error, estimated", ""), rows)


def _fields(samples: Samples) -> tuple[list[Shown], Frames]:
    """The fields that are shown, and their frames."""
    shown, values = [], {}  # by names with spaces, which no unknown has
    word = samples.labels.exact
    for unknown in samples.unknowns:
        exact, label = samples.of("exact", unknown), with_unit(unknown, samples.unit(unknown))
        values[unknown] = samples.fields[unknown]
        over = None
        if exact is not None and len(samples.layout.space) == 1:
            values[f"{unknown} {word}"], over = exact, (f"{unknown} {word}", word)
        shown.append(Shown(unknown, f"Solution {label}", label, over=over))
        if exact is not None:
            values[f"{unknown} difference"] = np.abs(samples.fields[unknown] - exact)
            label = with_unit(f"|{unknown} − {word}|", samples.unit(unknown))
            shown.append(Shown(f"{unknown} difference", f"Error {label}", label, sizes=True))
    for name, parts in samples.labels.vectors.items() if len(samples.layout.space) > 1 else ():
        values[f"{name} size"], label = (
            _size([samples.fields[one] for one in parts]),
            with_unit(f"|{name}|", samples.unit(name)),
        )
        shown.append(Shown(f"{name} size", f"Vector {name} = ({', '.join(parts)})", label, along=parts[:2]))
    if samples.residuals:
        values["all residuals"] = _size([samples.fields[name] for name in samples.residuals])
        shown.append(Shown("all residuals", "Size of the residual", "|residual|", sizes=True))
    return shown, frames(samples, values)


def _size(parts: Sequence[Array]) -> Array:
    return np.asarray(np.sqrt(np.sum(np.square(parts), axis=0)))


def _solution(samples: Samples, fields: Frames, shown: Sequence[Shown], drawn: Plots) -> str:
    over = f"over {fields.across}{f' and {fields.up}' if fields.up else ''}"
    cut = ", ".join(f"{name} = {value:.4g}" for name, value in list(fields.cut.items())[:5])
    where = over + (f" at {cut}{', …' if len(fields.cut) > 5 else ''}" if cut else "")
    figures = [
        report_page.plot(drawn.places[one.name], f"{one.title} {where}; {_extent(fields.values[one.name])}") for one in shown
    ]
    slider = ""
    if fields.slider:
        text = f"Slider through {fields.slider}: arrow keys move it"
        slider = f'<div class="slider" role="group" aria-label="{text}">{drawn.places["slider"]}</div>'
    hint = (
        "Hover or tap for values; drag, scroll and the tools below each picture zoom all pictures together. By keyboard: Tab "
        "goes from tool to tool, Enter uses one."
    )
    return slider + paragraph(hint, "soft") + report_page.grid(figures)


def _extent(values: Array) -> str:
    finite = values[np.isfinite(values)]
    return f"from {finite.min():.3g} to {finite.max():.3g}" if finite.size else "no values"


def _training(solution: Solution, drawn: Plots) -> str:
    history = solution.history
    stages, rows = np.asarray(history["stage"]), []
    for stage in np.unique(stages):
        last = np.flatnonzero(stages == stage)[-1]
        residual = history["residual"][last] if "residual" in history else math.nan
        steps = int((stages == stage).sum())
        rows.append(
            (f"{int(stage)}", f"{steps}", f"{history['seconds'][last]:.1f}", f"{history['loss'][last]:.1e}", f"{residual:.1e}")
        )
    head = ("stage", "steps", "seconds at its end", "loss", "relative residual")
    words = f"{_counted(solution.iterations, 'step')} in {solution.seconds:.1f} s, seed {solution.seed}."
    picture = report_page.plot(drawn.places["history"], "Loss, residual and, where known, error at every step")
    return paragraph(words) + picture + details(_counted(len(rows), "stage"), report_page.table(head, rows))


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _network(solution: Solution) -> str:
    words = network_in_words(without_ansatz(solution.network).architecture())
    text = paragraph(f"{words}: {_counted(solution.parameters, 'parameter')}")
    if not can_be_drawn(solution):
        return text + paragraph("Only a single KAN is drawn.", "soft")
    figure = network_figure.networks([drawing(solution)])
    return text + report_page.drawing(
        figure, "The network: every box is the function on an edge, the darker the more it matters"
    )


def _reproduce(solution: Solution, file: Path) -> str:
    run = shlex.quote(str(file.parent))
    again = f"pdekan solve {run}/problem.toml --seed {solution.seed} --tolerance {solution.tolerance:g}"
    rows = [(name, str(value)) for name, value in solution.environment.items()]
    commands = report_page.code(f"{again}\npdekan plot {run}", "commands")
    return commands + details("Versions and machine", report_page.table((), rows))
