"""Complex unknowns of problem files: every formula as its real and its imaginary part, so that all that is solved is real.

u becomes u_re + I u_im, and of every equation and condition with an imaginary part two are made.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pdekan.problem_files.lexer import ExpressionError
from pdekan.problem_files.parser import dependency_order, syntax_tree
from pdekan.problem_files.quantities import calls
from pdekan.problem_files.reader import Key, Source
from pdekan.problem_files.schema import Condition, ProblemFile

Pair = tuple[ast.expr, ast.expr | None]  # real and imaginary part, None for zero
UNIT = "I"
FUNCTIONS = ("re", "im", "conj", "arg")  # beside abs, which real numbers have too
LINEAR = ("laplacian", "normal", "grad", "div", "sum")
EXTREMA = ("max", "min")
MAX_EXPONENT = 8
_NAME = re.compile(r"[A-Za-z_]\w*")
KEYWORDS = ("manufactured", "exact")


def parts_of(name: str) -> tuple[str, str]:
    """The names of the real and of the imaginary part."""
    return f"{name}_re", f"{name}_im"


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
        self.names: dict[str, Pair] = {UNIT: (_number(0), _number(1))}
        self.names |= {name: _named(name) for name in file.complex}

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
                self.names[name] = _named(name)
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
            real, imaginary = _parts(tree, self.names)
        except ExpressionError as error:
            self.source.add(place, str(error))
            return text, None
        if imaginary is None and not any(isinstance(one, ast.Name) and one.id in self.names for one in ast.walk(tree)):
            return text, None
        return ast.unparse(real), None if imaginary is None else ast.unparse(imaginary)


def _origin(equations: list[int], conditions: list[int], names: Mapping[str, str]) -> Callable[[Key], Key]:
    """From the keys of the new file to those of the old one."""

    def original(path: Key) -> Key:
        match path:
            case ("conditions", int(k), *rest):
                return ("conditions", conditions[k], *rest)
            case ("equation", str(side), int(k)):
                return ("equation", side) if equations == [-1] else ("equation", side, equations[k])
            case (str(table), str(name), *rest) if table in ("exact", "functions", "outputs", "unknowns"):
                return (table, names.get(name, name), *rest)
        return path

    return original


def _parts(node: ast.expr, names: Mapping[str, Pair]) -> Pair:
    """Real and imaginary part of a syntax tree. Raises ExpressionError for what has none."""

    def of(one: ast.expr) -> Pair:
        return _parts(one, names)

    match node:
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.UnaryOp(op=sign, operand=operand):
            return _each(lambda one: ast.UnaryOp(sign, one), of(operand))
        case ast.BinOp(left=left, op=op, right=right):
            return _operation(op, of(left), of(right), node)
        case ast.Compare(left=left, ops=ops, comparators=others):
            sides = [_real(of(one), node) for one in (left, *others)]
            return ast.Compare(sides[0], ops, sides[1:]), None
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _call(name, [of(one) for one in arguments], node)
    return node, None


def _operation(op: ast.operator, a: Pair, b: Pair, node: ast.expr) -> Pair:
    match op:
        case ast.Add():
            return _add(a[0], b[0]), _sum(a[1], b[1])
        case ast.Sub():
            return _subtract(a[0], b[0]), _sum(a[1], _each(_negative, (_number(0), b[1]))[1])
        case ast.Mult():
            return _product(a, b)
        case ast.Div() if b[1] is None:
            return _each(lambda one: ast.BinOp(one, ast.Div(), b[0]), a)
        case ast.Div() if b[1] is not None:
            size = _squared(b)
            return _each(lambda one: ast.BinOp(one, ast.Div(), size), _product(a, (b[0], _negative(b[1]))))
        case ast.Pow() if a[1] is None and b[1] is None:
            return ast.BinOp(a[0], ast.Pow(), b[0]), None
        case ast.Pow() if a[1] is not None:
            match node:
                case ast.BinOp(right=ast.Constant(value=int(n))) if 0 < n <= MAX_EXPONENT:
                    found = a
                    for _ in range(n - 1):
                        found = _product(found, a)
                    return found
            raise _error(node, f"powers of complex numbers have whole exponents up to {MAX_EXPONENT}; write exp(…) for others")
    raise _error(node, "is not known for complex numbers")


def _call(name: str, arguments: list[Pair], node: ast.expr) -> Pair:
    (a, b), *_ = arguments or [(node, None)]
    imaginary = _number(0) if b is None else b
    if name == "re":
        return a, None
    if name == "im":
        return imaginary, None
    if name == "conj":
        return a, None if b is None else _negative(b)
    if name == "arg":
        return _function("atan2", imaginary, a), None
    if all(one[1] is None for one in arguments):
        return _function(name, *(one[0] for one in arguments)), None
    if name in LINEAR or (len(name) > 1 and name[0] == "d" and len(arguments) == 1):
        return _each(lambda one: _function(name, one), (a, b))
    if name == "dot":
        (c, d) = arguments[1]
        products = [None if p is None or q is None else _function("dot", p, q) for p, q in ((a, c), (b, d), (a, d), (b, c))]
        return _difference(products[0], products[1]), _sum(products[2], products[3])
    if name == "where":
        test, first, second = _real((a, b), node), arguments[1], arguments[2]
        choices = ([one[k] or _number(0) for one in (first, second)] for k in range(2))
        real, other = (_function("where", test, *one) for one in choices)
        return real, other
    return _elementary(name, a, imaginary, node)


def _elementary(name: str, a: ast.expr, b: ast.expr, node: ast.expr) -> Pair:
    """Elementary functions of a + I b (Abramowitz and Stegun 4.2.1, 4.1.2, 4.3.55, 4.3.56, 4.5.49, 4.5.50)."""
    sin, cos, sinh, cosh = ("sin", "cos", "sinh", "cosh")

    def times(f: str, x: ast.expr, g: str, y: ast.expr) -> ast.expr:
        return ast.BinOp(_function(f, x), ast.Mult(), _function(g, y))

    match name:
        case "exp":
            return times("exp", a, cos, b), times("exp", a, sin, b)
        case "sin":
            return times(sin, a, cosh, b), times(cos, a, sinh, b)
        case "cos":
            return times(cos, a, cosh, b), _negative(times(sin, a, sinh, b))
        case "sinh":
            return times(sinh, a, cos, b), times(cosh, a, sin, b)
        case "cosh":
            return times(cosh, a, cos, b), times(sinh, a, sin, b)
        case "log":
            return ast.BinOp(_function("log", _squared((a, b))), ast.Div(), _number(2)), _function("atan2", b, a)
        case "abs":
            return _function("sqrt", _squared((a, b))), None
    raise _error(node, "takes real numbers; complex ones have exp, log, sin, cos, sinh, cosh, abs, arg, conj, re and im")


def _product(a: Pair, b: Pair) -> Pair:
    products = [None if p is None or q is None else _times(p, q) for p, q in ((a[0], b[0]), (a[1], b[1]))]
    crossed = [None if p is None or q is None else _times(p, q) for p, q in ((a[0], b[1]), (a[1], b[0]))]
    return _difference(*products), _sum(*crossed)


def _squared(a: Pair) -> ast.expr:
    """|a|²."""
    squares = [_number(0) if one is None else ast.BinOp(one, ast.Pow(), _number(2)) for one in a]
    return _add(*squares)


def _each(change: Callable[[ast.expr], ast.expr], a: Pair) -> Pair:
    return change(a[0]), None if a[1] is None else change(a[1])


def _sum(a: ast.expr | None, b: ast.expr | None) -> ast.expr | None:
    if a is None or b is None:
        return b if a is None else a
    total = _add(a, b)
    return None if _is(total, 0) else total


def _difference(a: ast.expr | None, b: ast.expr | None) -> ast.expr:
    return _subtract(_number(0) if a is None else a, _number(0) if b is None else b)


def _add(a: ast.expr, b: ast.expr) -> ast.expr:
    return b if _is(a, 0) else a if _is(b, 0) else ast.BinOp(a, ast.Add(), b)


def _subtract(a: ast.expr, b: ast.expr) -> ast.expr:
    return a if _is(b, 0) else _negative(b) if _is(a, 0) else ast.BinOp(a, ast.Sub(), b)


def _times(a: ast.expr, b: ast.expr) -> ast.expr:
    if _is(a, 0) or _is(b, 0):
        return _number(0)
    return b if _is(a, 1) else a if _is(b, 1) else ast.BinOp(a, ast.Mult(), b)


def _negative(a: ast.expr) -> ast.expr:
    return a if _is(a, 0) else ast.UnaryOp(ast.USub(), a)


def _is(a: ast.expr, value: int) -> bool:
    return isinstance(a, ast.Constant) and type(a.value) is int and a.value == value


def _number(value: int) -> ast.expr:
    return ast.Constant(value)


def _named(name: str) -> Pair:
    real, imaginary = (ast.Name(one) for one in parts_of(name))
    return real, imaginary


def _function(name: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(ast.Name(name), list(arguments), [])


def _real(a: Pair, node: ast.expr) -> ast.expr:
    if a[1] is not None:
        raise _error(node, "compares complex numbers; compare their re, im or abs")
    return a[0]


def _error(node: ast.expr, reason: str) -> ExpressionError:
    return ExpressionError(f"{ast.unparse(node)!r} {reason}")
