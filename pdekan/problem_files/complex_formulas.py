"""Real and imaginary parts of formulas with complex numbers, as syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping

from pdekan.problem_files.lexer import ExpressionError

Pair = tuple[ast.expr, ast.expr | None]  # real and imaginary part, None for zero
UNIT = "I"
LINEAR = ("laplacian", "normal", "grad", "div", "sum")
MAX_EXPONENT = 8


def parts_of(name: str) -> tuple[str, str]:
    """The names of the real and of the imaginary part."""
    return f"{name}_re", f"{name}_im"


def named(name: str) -> Pair:
    """A complex name as the names of its parts."""
    real, imaginary = (ast.Name(one) for one in parts_of(name))
    return real, imaginary


def imaginary_unit() -> Pair:
    """I."""
    return _number(0), _number(1)


def parts(node: ast.expr, names: Mapping[str, Pair]) -> Pair:
    """Real and imaginary part of a syntax tree. Raises ExpressionError for what has none."""

    def of(one: ast.expr) -> Pair:
        return parts(one, names)

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
            return _real_power(a[0], b[0], node), None
        case ast.Pow() if a[1] is not None:
            match node:
                case ast.BinOp(right=ast.Constant(value=int(n))) if 0 < n <= MAX_EXPONENT:
                    found = a
                    for _ in range(n - 1):
                        found = _product(found, a)
                    return found
            raise _error(node, f"powers of complex numbers have whole exponents up to {MAX_EXPONENT}; write exp(…) for others")
    raise _error(node, "is not known for complex numbers")


def _real_power(a: ast.expr, b: ast.expr, node: ast.expr) -> ast.expr:
    """a**b; an even power of a modulus is one of its square, which has derivatives at zero."""
    match node, a:
        case ast.BinOp(left=ast.Call(func=ast.Name("abs")), right=ast.Constant(value=int(n))), ast.Call(
            func=ast.Name("sqrt"), args=[squared]
        ) if n > 0 and n % 2 == 0:
            return squared if n == 2 else ast.BinOp(squared, ast.Pow(), _number(n // 2))
    return ast.BinOp(a, ast.Pow(), b)


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


def _function(name: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(ast.Name(name), list(arguments), [])


def _real(a: Pair, node: ast.expr) -> ast.expr:
    if a[1] is not None:
        raise _error(node, "compares complex numbers; compare their re, im or abs")
    return a[0]


def _error(node: ast.expr, reason: str) -> ExpressionError:
    return ExpressionError(f"{ast.unparse(node)!r} {reason}")
