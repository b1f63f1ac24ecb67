"""Complex unknowns of problem files: every formula as its real and its imaginary part, so that all that is solved is real.

u becomes u_re + I u_im, and of every equation and condition with an imaginary part two are made.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pdekan.problem_files.complex_formulas import UNIT, Pair, imaginary_unit, named, parts, parts_of
from pdekan.problem_files.lexer import ExpressionError
from pdekan.problem_files.parser import dependency_order, syntax_tree
from pdekan.problem_files.quantities import calls
from pdekan.problem_files.reader import Key, Source
from pdekan.problem_files.schema import Condition, ProblemFile

EXTREMA = ("max", "min")
_NAME = re.compile(r"[A-Za-z_]\w*")
KEYWORDS = ("manufactured", "exact")


def with_real_unknowns(file: ProblemFile, source: Source) -> ProblemFile:
    """The problem file with two real unknowns for each complex one; faults are noted in the source."""
    if not file.complex:
        return file
    for k, name in enumerate(file.complex):
        if name not in file.unknowns:
            source.add(("complex", k), f"{name!r} is no unknown; the unknowns are {', '.join(file.unknowns)}")
    source.check()
    found = _Split(file, source).file()
    source.check()
    return found


class _Split:
    """The parts of a file's formulas. Its places lead from the new equations and conditions to those of the file."""

    def __init__(self, file: ProblemFile, source: Source) -> None:
        self.old, self.source = file, source
        self.names: dict[str, Pair] = {UNIT: imaginary_unit()}
        self.names |= {name: named(name) for name in file.complex}

    def file(self) -> ProblemFile:
        """The whole."""
        old = self.old
        functions = self.functions()
        equation, equations = self.equation()
        conditions, places = self.conditions()
        exact = {
            part: text for name, one in old.exact.items() for part, text in self.by_part(name, one, ("exact", name)).items()
        }
        outputs = {part: text for name, one in old.outputs.items() for part, text in self.output(name, one).items()}
        units = {part: unit for name, unit in old.units.items() for part in self.parts(name)}
        names = {part: name for name in (*old.unknowns, *old.functions) for part in self.parts(name)}
        names |= {part: name for name in old.outputs for part in parts_of(name)}
        self.source.origin = _origin(equations, places, names)
        unknowns = [part for name in old.unknowns for part in self.parts(name)]
        changed: dict[str, Any] = {"unknowns": unknowns, "functions": functions, "equation": equation, "exact": exact}
        return old.model_copy(update=changed | {"conditions": conditions, "outputs": outputs, "units": units})

    def parts(self, name: str) -> tuple[str, ...]:
        """The names of the parts of what is complex, or the name."""
        return parts_of(name) if name in self.names else (name,)

    def functions(self) -> dict[str, str]:
        """The parts of all functions; those that have an imaginary one are complex names from then on."""
        found: dict[str, str] = {}
        try:
            order = dependency_order(self.old.functions)
        except ExpressionError:
            return self.old.functions  # a circle, which is found where they are parsed
        for name in order:
            text, imaginary = self.texts(self.old.functions[name], ("functions", name))
            if imaginary is None:
                found[name] = text
            else:
                self.names[name] = named(name)
                found |= dict(zip(parts_of(name), (text, imaginary), strict=True))
        return found

    def output(self, name: str, text: str) -> dict[str, str]:
        """A quantity of the solution, or its parts."""
        real, imaginary = self.quantity(text, ("outputs", name))
        return {name: real} if imaginary is None else dict(zip(parts_of(name), (real, imaginary), strict=True))

    def quantity(self, text: str, place: Key) -> tuple[str, str | None]:
        """The parts of a formula with functionals, which are linear: names stand for them while it is split."""
        pieces, start, written = list[str](), 0, dict[str, str]()
        for kind, begin, end, arguments in calls(text):
            if kind in EXTREMA and len(arguments) > 1:
                continue  # the larger or the smaller one of several fields
            real, imaginary = self.quantity(arguments[0], place)
            if kind in EXTREMA and imaginary is not None:
                self.source.add(place, f"{kind}(…) is of a complex field; take its re, im or abs")
            name = f"functional{len(self.names)}_"
            of_real, of_imaginary = parts_of(name)
            self.names[name] = ast.Name(of_real), None if imaginary is None else ast.Name(of_imaginary)
            for part, one in ((of_real, real), (of_imaginary, imaginary or "0")):
                written[part] = f"{kind}({','.join([one, *arguments[1:]])})"
            pieces += [text[start:begin], name]
            start = end
        parts = self.texts("".join([*pieces, text[start:]]), place)
        found = [None if part is None else _NAME.sub(lambda one: written.get(one[0], one[0]), part) for part in parts]
        return found[0] or text, found[1]

    def equation(self) -> tuple[Any, list[int]]:
        """The equations, and where each is from."""
        table = self.old.equation
        if table is None:
            return None, []
        sources = table.source * len(table.operator) if len(table.source) == 1 else table.source
        operators, rights, places = [], [], []
        for k, (left, right) in enumerate(zip(table.operator, sources, strict=True)):
            several = (k,) if len(table.operator) > 1 else ()
            for one, other in self.sides(left, right, ("equation", "operator", *several), ("equation", "source", *several)):
                operators.append(one)
                rights.append(other)
                places.append(k)
        return table.model_copy(update={"operator": operators, "source": rights}), places if len(table.operator) > 1 else [-1]

    def conditions(self) -> tuple[list[Condition], list[int]]:
        """The conditions, and where each is from."""
        found, places = [], []
        for k, one in enumerate(self.old.conditions):
            parts = list(self.condition(k, one))
            found += parts
            places += [k] * len(parts)
        return found, places

    def condition(self, k: int, one: Condition) -> Iterator[Condition]:
        """The real conditions of one."""
        place = ("conditions", k)
        if one.operator is not None:
            value = "0" if one.value is None else one.value
            for left, right in self.sides(one.operator, value, (*place, "operator"), (*place, "value")):
                yield one.model_copy(update={"operator": left, "value": right, "unknown": None})
            return
        name = self.old.unknowns[0] if one.unknown is None and len(self.old.unknowns) == 1 else one.unknown
        if name not in self.names or (one.unknown is None and one.type == "periodic"):
            yield one
            return
        for part, value in self.by_part(name, one.value or "0", (*place, "value")).items():
            yield one.model_copy(update={"unknown": part, "value": None if one.value is None else value})

    def sides(self, left: str, right: str, left_place: Key, right_place: Key) -> list[tuple[str, str]]:
        """Both sides of real equations: one or two."""
        lefts = self.texts(left, left_place)
        rights = (right, right) if right in KEYWORDS else self.texts(right, right_place)
        if lefts[1] is None:
            if rights[1] not in (None, *KEYWORDS):
                self.source.add(right_place, "is complex, and the other side of the equation is real")
            return [(lefts[0], rights[0])]
        return [(lefts[0], rights[0]), (lefts[1], rights[1] or "0")]

    def by_part(self, name: str, text: str, place: Key) -> dict[str, str]:
        """The values of a name by its parts."""
        if text in KEYWORDS or name not in (*self.names, *self.old.unknowns):
            return dict.fromkeys(self.parts(name), text)
        real, imaginary = self.texts(text, place)
        if name in self.names:
            return dict(zip(parts_of(name), (real, imaginary or "0"), strict=True))
        if imaginary is not None:
            self.source.add(place, f"is complex, and {name} is real; name it in complex = […]")
        return {name: real}

    def texts(self, text: str, place: Key) -> tuple[str, str | None]:
        """The parts of a formula. What is none is left as it is: its fault is found where it is parsed."""
        try:
            tree = syntax_tree(text)[0]
        except ExpressionError:
            return text, None
        try:
            real, imaginary = parts(tree, self.names)
        except ExpressionError as error:
            self.source.add(place, str(error))
            return text, None
        if imaginary is None and not any(isinstance(one, ast.Name) and one.id in self.names for one in ast.walk(tree)):
            return text, None
        return ast.unparse(real), None if imaginary is None else ast.unparse(imaginary)


def _origin(equations: list[int], conditions: list[int], names: Mapping[str, str]) -> Callable[[Key], Key]:
    """From the keys of the new file to those of the old one."""

    def original(path: Key) -> Key:
        """The key of the file that a new one comes from."""
        match path:
            case ("conditions", int(k), *rest):
                return ("conditions", conditions[k], *rest)
            case ("equation", str(side), int(k)):
                return ("equation", side) if equations == [-1] else ("equation", side, equations[k])
            case (str(table), str(name), *rest) if table in ("exact", "functions", "outputs", "unknowns"):
                return (table, names.get(name, name), *rest)
        return path

    return original
