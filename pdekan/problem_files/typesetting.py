"""Formulas of problem files as presentation MathML: https://www.w3.org/TR/mathml-core/."""

from __future__ import annotations

import ast
import html
import re

_LETTERS = "alpha beta gamma delta epsilon zeta eta theta iota kappa mu nu xi pi rho sigma tau phi chi psi omega"
GREEK = dict(zip(_LETTERS.split(), "αβγδεζηθικμνξπρστφχψω", strict=True))
NABLA, PARTIAL, MINUS, TIMES = "∇", "∂", "\N{MINUS SIGN}", "\N{INVISIBLE TIMES}"
_SIGNS = {ast.Add: "+", ast.Sub: MINUS}
_RELATIONS = {ast.Lt: "<", ast.LtE: "≤", ast.Gt: ">", ast.GtE: "≥", ast.Eq: "=", ast.NotEq: "≠"}
# how strongly an expression binds: sums, products, signs, fractions, powers, atoms
_SUM, _PRODUCT, _SIGN, _FRACTION, _POWER, _ATOM = range(6)
Piece = tuple[str, int]


def mathml(text: str, coordinates: tuple[str, ...] = ()) -> str:
    """A formula as the inside of a <math> element; text that is none, such as "manufactured", in upright letters.

    coordinates: those by which dx(…), dt(…) are derivatives.
    """
    try:
        tree = ast.parse(re.sub(r"\s", " ", text).strip(), mode="eval").body
        return _Writer(coordinates).piece(tree)[0]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return f"<mtext>{html.escape(text)}</mtext>"


def equation(left: str, right: str, inline: bool = False) -> str:
    """A <math> element of two sides, given as MathML, on a line of its own unless inline."""
    kind = 'displaystyle="true"' if inline else 'display="block"'
    return f"<math {kind}>{left}<mo>=</mo>{right}</math>"


def exact(name: str) -> str:
    """The exact solution of an unknown."""
    return f"<msub>{identifier(name)}<mtext>exact</mtext></msub>"


def identifier(name: str) -> str:
    """A name: Greek letters by their names, digits at the end as an index."""
    match = re.fullmatch(r"(.+?)_?(\d+)", name)
    if match is not None:
        return f"<msub>{identifier(match[1])}<mn>{match[2]}</mn></msub>"
    return f"<mi>{GREEK.get(name, html.escape(name))}</mi>"


class _Writer:
    """Writes a syntax tree; each method returns MathML and how strongly it binds."""

    def __init__(self, coordinates: tuple[str, ...]) -> None:
        self.derivatives = {"d" + name: name for name in coordinates}

    def piece(self, node: ast.expr) -> Piece:
        """Raises ValueError for what is no part of a formula."""
        match node:
            case ast.Constant(value=int() | float() as value):
                return _number(value)
            case ast.Name(id=name):
                return identifier(name), _ATOM
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return f"<mo>{MINUS}</mo>{self.inside(operand, _PRODUCT)}", _SIGN
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.piece(operand)
            case ast.BinOp():
                return self.binary(node)
            case ast.Compare(left=left, ops=[relation], comparators=[right]):
                sign = html.escape(_RELATIONS[type(relation)])
                return f"{self.piece(left)[0]}<mo>{sign}</mo>{self.piece(right)[0]}", _SUM
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self.call(name, arguments)
        raise ValueError("no formula")

    def inside(self, node: ast.expr, least: int) -> str:
        """A part in parentheses, unless it binds as strongly as is needed."""
        text, binding = self.piece(node)
        return text if binding >= least else _bracketed(text)

    def binary(self, node: ast.BinOp) -> Piece:
        left, right = node.left, node.right
        match node.op:
            case ast.Div():
                return f"<mfrac><mrow>{self.piece(left)[0]}</mrow><mrow>{self.piece(right)[0]}</mrow></mfrac>", _FRACTION
            case ast.Pow():
                return f"<msup><mrow>{self.inside(left, _ATOM)}</mrow><mrow>{self.piece(right)[0]}</mrow></msup>", _POWER
            case ast.Mult():
                sign = "·" if isinstance(right, ast.Constant) else TIMES
                return f"{self.inside(left, _PRODUCT)}<mo>{sign}</mo>{self.inside(right, _FRACTION)}", _PRODUCT
        sign = _SIGNS[type(node.op)]
        return f"{self.piece(left)[0]}<mo>{sign}</mo>{self.inside(right, _PRODUCT)}", _SUM

    def call(self, name: str, arguments: list[ast.expr]) -> Piece:
        """A function of arguments, or an operator."""
        parts = [self.piece(one)[0] for one in arguments]
        if name in self.derivatives and len(arguments) == 1:
            return self.derivative(name, arguments[0])
        if len(arguments) == 1 and name in ("grad", "div", "laplacian", "normal"):
            operand = self.inside(arguments[0], _POWER)
            operators = {
                "grad": f"<mi>{NABLA}</mi>", "div": f"<mi>{NABLA}</mi><mo>·</mo>", "laplacian": "<mi>Δ</mi>",
                "normal": f'<mi mathvariant="normal">n</mi><mo>·</mo><mi>{NABLA}</mi>',
            }  # fmt: skip
            return operators[name] + operand, _POWER
        match name, parts:
            case "sqrt", [part]:
                return f"<msqrt>{part}</msqrt>", _ATOM
            case "abs", [part]:
                return f"<mo>|</mo>{part}<mo>|</mo>", _ATOM
            case "exp", [part]:
                return f"<msup><mi>e</mi><mrow>{part}</mrow></msup>", _POWER
            case "dot", [left, right]:
                return f"{left}<mo>·</mo>{right}", _PRODUCT
            case "where", [condition, yes, no]:
                rows = f"{_row(yes, condition)}{_row(no, '<mtext>otherwise</mtext>')}"
                return f"<mo>{{</mo><mtable>{rows}</mtable>", _ATOM
        return f"<mi>{html.escape(name)}</mi>{_bracketed('<mo>,</mo>'.join(parts))}", _ATOM

    def derivative(self, name: str, operand: ast.expr) -> Piece:
        """Derivatives of one operand by one coordinate after the other, as one fraction."""
        by = [self.derivatives[name]]
        while isinstance(operand, ast.Call) and isinstance(operand.func, ast.Name) and operand.func.id in self.derivatives:
            by.append(self.derivatives[operand.func.id])
            operand = operand.args[0]
        order = len(by)
        upper = f"<mo>{PARTIAL}</mo>" if order == 1 else f"<msup><mo>{PARTIAL}</mo><mn>{order}</mn></msup>"
        lower = ""
        for one in dict.fromkeys(by):
            count = by.count(one)
            inner = identifier(one) if count == 1 else f"<msup>{identifier(one)}<mn>{count}</mn></msup>"
            lower += f"<mo>{PARTIAL}</mo>{inner}"
        text, binding = self.piece(operand)
        if binding == _ATOM:
            return f"<mfrac><mrow>{upper}{text}</mrow><mrow>{lower}</mrow></mfrac>", _FRACTION
        return f"<mfrac><mrow>{upper}</mrow><mrow>{lower}</mrow></mfrac>{_bracketed(text)}", _FRACTION


def _number(value: float) -> Piece:
    mantissa, _, exponent = f"{value!r}".partition("e")
    if not exponent:
        return f"<mn>{mantissa}</mn>", _ATOM
    return f"<mn>{mantissa}</mn><mo>·</mo><msup><mn>10</mn><mn>{int(exponent)}</mn></msup>", _PRODUCT


def _bracketed(text: str) -> str:
    return f"<mrow><mo>(</mo>{text}<mo>)</mo></mrow>"


def _row(value: str, condition: str) -> str:
    return f"<mtr><mtd>{value}</mtd><mtd>{condition}</mtd></mtr>"
