"""Formulas as text: in the grammar of problem files, in LaTeX, as SymPy's representation, and as a Python function."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence

import sympy
from sympy.functions.elementary.piecewise import ExprCondPair
from sympy.printing.numpy import SciPyPrinter
from sympy.printing.precedence import PRECEDENCE, precedence
from sympy.printing.str import StrPrinter

from pdekan.problem_files.lexer import ExpressionError
from pdekan.problem_files.parser import Scope, parse
from pdekan.symbolic.expressions import Coordinates, NotSymbolic, applied, symbol

# functions that the grammar has no name for, and those that they are written with
_REWRITTEN: tuple[tuple[type[sympy.Function], type[sympy.Function]], ...] = (
    (sympy.cot, sympy.tan), (sympy.sec, sympy.cos), (sympy.csc, sympy.sin), (sympy.coth, sympy.tanh), (sympy.sech, sympy.cosh),
    (sympy.csch, sympy.sinh), (sympy.asinh, sympy.log), (sympy.acosh, sympy.log), (sympy.atanh, sympy.log),
    (sympy.acot, sympy.atan), (sympy.erfc, sympy.erf), (sympy.Heaviside, sympy.Piecewise),
)  # fmt: skip
_FUNCTIONS = {
    sympy.sin: "sin", sympy.cos: "cos", sympy.tan: "tan", sympy.asin: "asin", sympy.acos: "acos", sympy.atan: "atan",
    sympy.atan2: "atan2", sympy.sinh: "sinh", sympy.cosh: "cosh", sympy.tanh: "tanh", sympy.exp: "exp", sympy.log: "log",
    sympy.erf: "erf", sympy.Abs: "abs", sympy.sign: "sign", sympy.Min: "min", sympy.Max: "max",
}  # fmt: skip
_RELATIONS = {sympy.Lt: "<", sympy.Le: "<=", sympy.Gt: ">", sympy.Ge: ">=", sympy.Eq: "==", sympy.Ne: "!="}
# the names and classes in SymPy's representation
_ATOMS = {"pi": sympy.pi, "E": sympy.E, "true": sympy.true, "false": sympy.false}
_CLASSES: dict[str, Callable[..., sympy.Expr]] = {
    cls.__name__: cls
    for cls in (*_FUNCTIONS, *_RELATIONS, sympy.Add, sympy.Mul, sympy.Pow, sympy.Piecewise, ExprCondPair, sympy.And, sympy.Or)
}
_SYMPY = re.compile(r"\s*(Add|Mul|Pow|Symbol|Integer|Rational|Float|Piecewise|E$|\w+\((?:Add|Mul|Pow|Symbol|Rational)\()")


class _Grammar(StrPrinter):  # type: ignore[misc]
    """Writes the grammar that `problem_files.parser.parse` reads; SymPy calls the method of the class that it prints."""

    def _print_Function(self, expr: sympy.Function) -> str:
        name: str | None = _FUNCTIONS.get(expr.func)
        if name is None:
            raise NotSymbolic(f"formulas have no function {expr.func.__name__}")
        return f"{name}({', '.join(map(self._print, expr.args))})"

    _print_Abs = _print_sign = _print_Function
    _print_Min = _print_Max = _print_Function

    def _print_Exp1(self, expr: sympy.Expr) -> str:
        return "e"

    def _print_Float(self, expr: sympy.Float) -> str:
        return repr(float(expr))

    def _print_Relational(self, expr: sympy.Expr) -> str:
        return f"{self._print(expr.lhs)} {_RELATIONS[expr.func]} {self._print(expr.rhs)}"

    def _print_Piecewise(self, expr: sympy.Piecewise) -> str:
        if expr.args[-1][1] != sympy.true:
            raise NotSymbolic(f"{expr} has no value where none of its conditions holds")
        text: str = self._print(expr.args[-1][0])
        for value, condition in reversed(expr.args[:-1]):
            text = self._choice(condition, self._print(value), text)
        return text

    def _choice(self, condition: sympy.Basic, yes: str, no: str) -> str:
        if isinstance(condition, sympy.And):
            for part in condition.args:
                yes = self._choice(part, yes, no)
            return yes
        if isinstance(condition, sympy.Or):
            for part in condition.args:
                no = self._choice(part, yes, no)
            return no
        return f"where({self._print(condition)}, {yes}, {no})"

    def _print_Pow(self, expr: sympy.Pow, rational: bool = False) -> str:
        if expr.exp == sympy.Rational(1, 2):
            return f"sqrt({self._print(expr.base)})"
        if expr.exp == -sympy.Rational(1, 2):
            return f"1/sqrt({self._print(expr.base)})"
        if expr.exp == -1:
            return f"1/{self.parenthesize(expr.base, PRECEDENCE['Pow'])}"
        bound = PRECEDENCE["Pow"] + 1
        base = self.parenthesize(expr.base, bound)
        if expr.base.is_Rational and not (expr.base.is_Integer and expr.base >= 0):
            base = f"({self._print(expr.base)})"
        exponent = self._print(expr.exp)
        return f"{base}**{exponent}" if precedence(expr.exp) >= PRECEDENCE["Atom"] else f"{base}**({exponent})"

    def emptyPrinter(self, expr: object) -> str:
        raise NotSymbolic(f"formulas have no {type(expr).__name__}: {expr}")

    _print_ImaginaryUnit = _print_Infinity = _print_NegativeInfinity = _print_NaN = _print_ComplexInfinity = emptyPrinter


class _Python(SciPyPrinter):  # type: ignore[misc]
    """SymPy's printer with NumPy's constants."""

    def _print_Pi(self, expr: object) -> str:
        return "numpy.pi"

    def _print_Exp1(self, expr: object) -> str:
        return "numpy.e"


def text(expression: sympy.Expr) -> str:
    """The expression in the grammar of problem files, as under [exact]. Raises NotSymbolic for what has no form there."""
    return str(_Grammar().doprint(rewritten(expression)))


def rewritten(expression: sympy.Expr) -> sympy.Expr:
    """The same expression with functions that the grammar has names for."""
    for old, new in _REWRITTEN:
        if expression.has(old):
            expression = expression.rewrite(old, new)
    return expression


def latex(expression: sympy.Expr) -> str:
    """The expression as a LaTeX formula, without dollar signs."""
    return str(sympy.latex(expression))


def python_source(formula: Mapping[str, sympy.Expr], coordinates: Sequence[str]) -> str:
    """A module with a function of NumPy arrays for every unknown, which imports at most functools, NumPy and SciPy.

    The functions broadcast the coordinates and return float64 arrays. Raises NotSymbolic for what has no such form.
    """
    printer = _Python({"fully_qualified_modules": True, "strict": False})
    functions = [_function(printer, name, expression, coordinates) for name, expression in formula.items()]
    needed = [module for module in ("functools", "numpy", "scipy.special") if any(f"{module}." in one for one in functions)]
    return "".join(f"import {module}\n" for module in needed) + "".join(functions)


def _function(printer: SciPyPrinter, name: str, expression: sympy.Expr, coordinates: Sequence[str]) -> str:
    body = printer.doprint(rewritten(expression))
    if printer._not_supported:
        raise NotSymbolic(f"Python has no {', '.join(sorted(str(one) for one in printer._not_supported))}")
    arguments = ", ".join(coordinates)
    return (
        f"\n\ndef {name}({arguments}):\n"
        f'    """{name} = {text(expression)}"""\n'
        f"    {arguments}{',' if len(coordinates) == 1 else ''} = numpy.broadcast_arrays({arguments})\n"
        + "".join(f"    {one} = numpy.asarray({one}, dtype=float)\n" for one in coordinates)
        + f"    return numpy.broadcast_to({body}, {coordinates[0]}.shape).astype(float)\n"
    )


def read(written: str, coordinates: Sequence[str], vector: str | None = None) -> sympy.Expr:
    """The expression of a text in the grammar, or of SymPy's representation (`sympy.srepr`).

    Raises ExpressionError for other texts, NotSymbolic for complex numbers.
    """
    if _SYMPY.match(written):
        return _rebuilt(ast.parse(written, mode="eval").body)
    frame = Coordinates(tuple(coordinates), vector)
    return applied(parse(written, Scope(frame.coordinates, vector)), frame.names, frame)


def _rebuilt(node: ast.expr) -> sympy.Expr:
    """The expression of a syntax tree; only the classes listed are called, and with text only as names and numbers."""
    match node:
        case ast.Name(id=name) if name in _ATOMS:
            return _ATOMS[name]
        case ast.Call(func=ast.Name(id="Symbol"), args=[ast.Constant(value=str() as name)]):
            return symbol(name)
        case ast.Call(
            func=ast.Name(id="Float"),
            args=[ast.Constant(value=str() as digits)],
            keywords=[ast.keyword(arg="precision", value=ast.Constant(value=int() as bits))],
        ):
            return sympy.Float(digits, precision=bits)
        case ast.Call(func=ast.Name(id="Integer" | "Rational" as name), args=numbers, keywords=[]):
            return getattr(sympy, name)(*(ast.literal_eval(one) for one in numbers))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _CLASSES:
            return _CLASSES[name](*map(_rebuilt, arguments))
    raise ExpressionError(f"{ast.unparse(node)!r} is not part of an expression")
