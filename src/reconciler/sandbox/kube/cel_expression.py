"""CEL expressions as Python closures over plain JSON values.

celpy's parser reads the text; its evaluator is not used: it needs milliseconds for a macro over a short
list, and a schema's rules run at every write.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final

from celpy.celparser import CELParseError, CELParser
from lark import Token, Tree

from reconciler.sandbox.kube.cel_functions import FUNCTIONS, METHODS, CelError, Optional, equal, type_name

__all__ = ["CelError", "Expression", "Optional", "compile_expression"]

Names = dict[str, Any]
Step = Callable[[Names], Any]

_ESCAPES: Final = {"dash": "-", "dot": ".", "slash": "/", "underscores": "__"}
_MACROS: Final = frozenset({"all", "exists", "exists_one", "existsOne", "map", "filter"})


class Expression:
    """A compiled expression and the free names it uses."""

    def __init__(self, step: Step, names: frozenset[str]) -> None:
        self._step = step
        self.names = names

    def __call__(self, names: Names) -> Any:
        """Evaluate. Raises CelError as CEL would report an error."""
        try:
            return self._step(names)
        except (TypeError, ValueError, KeyError, IndexError, ArithmeticError, AttributeError) as error:
            raise CelError(str(error)) from error


@cache
def _parser() -> CELParser:
    return CELParser(tree_class=Tree)


def compile_expression(text: str) -> Expression:
    """Compile CEL source. Raises CelError where it cannot be read."""
    try:
        tree = _parser().parse(text)
    except CELParseError as error:
        raise CelError(f"compilation failed: {str(error.args[0]).strip()}") from error
    names: set[str] = set()
    return Expression(_build(tree, names), frozenset(names))


def _build(tree: Any, names: set[str]) -> Step:
    builder = _BUILDERS.get(tree.data)
    if builder is not None:
        return builder(tree.children, names)
    if len(tree.children) == 1:
        return _build(tree.children[0], names)
    raise CelError(f"compilation failed: {tree.data} is not supported")


def _expr(children: list[Any], names: set[str]) -> Step:
    steps = [_build(child, names) for child in children]
    if len(steps) == 1:
        return steps[0]
    test, then, otherwise = steps
    return lambda env: then(env) if _truth(test(env)) else otherwise(env)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise CelError("no such overload")
    return value


def _absorbing(children: list[Any], names: set[str], *, decisive: bool) -> Step:
    """`||` and `&&`: the decisive value wins even against an error on the other side."""
    steps = [_build(child, names) for child in children]
    if len(steps) == 1:
        return steps[0]
    left, right = steps

    def run(env: Names) -> bool:
        try:
            if _truth(left(env)) is decisive:
                return decisive
        except (CelError, TypeError, KeyError, IndexError, ValueError) as error:
            if _truth(right(env)) is decisive:
                return decisive
            raise CelError(str(error)) from error
        return _truth(right(env))

    return run


def _or(children: list[Any], names: set[str]) -> Step:
    return _absorbing(children, names, decisive=True)


def _and(children: list[Any], names: set[str]) -> Step:
    return _absorbing(children, names, decisive=False)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _comparable(left: Any, right: Any) -> None:
    if not ((_number(left) and _number(right)) or type(left) is type(right)) or isinstance(left, (dict, list)):
        raise CelError("no such overload")


def _less(left: Any, right: Any) -> bool:
    _comparable(left, right)
    return bool(left < right)


def _at_most(left: Any, right: Any) -> bool:
    _comparable(left, right)
    return bool(left <= right)


def _in(left: Any, right: Any) -> bool:
    if isinstance(right, dict):
        return left in right
    if isinstance(right, list):
        return any(equal(left, item) for item in right)
    raise CelError("no such overload")


def _add(left: Any, right: Any) -> Any:
    if isinstance(left, bool) or isinstance(right, bool):
        raise CelError("no such overload")
    return left + right


def _divide(left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int):
        if right == 0:
            raise CelError("division by zero")
        quotient = abs(left) // abs(right)
        return quotient if (left < 0) == (right < 0) else -quotient
    return left / right


def _modulo(left: Any, right: Any) -> Any:
    if right == 0:
        raise CelError("modulus by zero")
    return left - right * _divide(left, right)


_BINARY: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "relation_lt": _less,
    "relation_le": _at_most,
    "relation_gt": lambda left, right: _less(right, left),
    "relation_ge": lambda left, right: _at_most(right, left),
    "relation_eq": equal,
    "relation_ne": lambda left, right: not equal(left, right),
    "relation_in": _in,
    "addition_add": _add,
    "addition_sub": lambda left, right: left - right,
    "multiplication_mul": lambda left, right: left * right,
    "multiplication_div": _divide,
    "multiplication_mod": _modulo,
}


def _binary(children: list[Any], names: set[str]) -> Step:
    if len(children) == 1:
        return _build(children[0], names)
    head, tail = children
    apply = _BINARY[head.data]
    left, right = _build(head.children[0], names), _build(tail, names)
    return lambda env: apply(left(env), right(env))


def _unary(children: list[Any], names: set[str]) -> Step:
    if len(children) == 1:
        return _build(children[0], names)
    operator, operand = children
    step = _build(operand, names)
    if operator.data == "unary_not":
        return lambda env: not _truth(step(env))
    return lambda env: -step(env)


def _unescaped(name: str) -> str:
    """Return the property's name; CEL identifiers stand for some of them with `__dash__` and the like."""
    keyword = re.fullmatch(r"__([a-z]+)__", name)
    if keyword and keyword[1] not in _ESCAPES:
        return keyword[1]
    return re.sub(r"__(dash|dot|slash|underscores)__", lambda found: _ESCAPES[found[1]], name)


def _member_dot(children: list[Any], names: set[str]) -> Step:
    step, name = _build(children[0], names), _unescaped(str(children[1]))

    def run(env: Names) -> Any:
        value = step(env)
        if isinstance(value, dict) and name in value:
            return value[name]
        raise CelError(f"no such key: {name}")

    return run


def _member_index(children: list[Any], names: set[str]) -> Step:
    step, index = _build(children[0], names), _build(children[1], names)

    def run(env: Names) -> Any:
        value, at = step(env), index(env)
        if isinstance(value, list) and isinstance(at, int) and not 0 <= at < len(value):
            raise CelError(f"index out of bounds: {at}")
        if isinstance(value, dict) and at not in value:
            raise CelError(f"no such key: {at}")
        return value[at]

    return run


def _arguments(children: list[Any]) -> list[Any]:
    return [] if not children or children[0] is None else list(children[0].children)


def _member_call(children: list[Any], names: set[str]) -> Step:
    receiver, name, arguments = children[0], str(children[1]), _arguments(children[2:])
    target = _build(receiver, names)
    if name in _MACROS:
        return _macro(name, target, arguments, names)
    method = METHODS.get(name)
    if method is None:
        raise CelError(f"compilation failed: undeclared reference to '{name}'")
    steps = [_build(argument, names) for argument in arguments]
    return lambda env: method(target(env), *[step(env) for step in steps])


def _macro(name: str, target: Step, arguments: list[Any], names: set[str]) -> Step:
    variable = _only_identifier(arguments[0])
    inner: set[str] = set()
    body = [_build(argument, inner) for argument in arguments[1:]]
    names.update(inner - {variable})

    def scopes(env: Names) -> Iterator[tuple[Any, Names]]:
        scope = dict(env)
        for item in target(env):
            scope[variable] = item
            yield item, scope

    return _MACRO_BODIES[name](scopes, body)


def _only_identifier(tree: Any) -> str:
    while isinstance(tree, Tree):
        tree = tree.children[0]
    return str(tree)


Scopes = Callable[[Names], Iterator[tuple[Any, Names]]]


def _holds(scopes: Scopes, body: list[Step], *, decisive: bool) -> Step:
    """`all` and `exists`: one decisive item settles it, whatever errors the others give."""

    def run(env: Names) -> bool:
        failure: Exception | None = None
        for _, scope in scopes(env):
            try:
                if _truth(body[0](scope)) is decisive:
                    return decisive
            except (CelError, TypeError, KeyError, IndexError, ValueError) as error:
                failure = error
        if failure is not None:
            raise CelError(str(failure)) from failure
        return not decisive

    return run


def _exists_one(scopes: Scopes, body: list[Step]) -> Step:
    return lambda env: sum(_truth(body[0](scope)) for _, scope in scopes(env)) == 1


def _map(scopes: Scopes, body: list[Step]) -> Step:
    if len(body) == 1:
        return lambda env: [body[0](scope) for _, scope in scopes(env)]
    return lambda env: [body[1](scope) for _, scope in scopes(env) if _truth(body[0](scope))]


def _filter(scopes: Scopes, body: list[Step]) -> Step:
    return lambda env: [item for item, scope in scopes(env) if _truth(body[0](scope))]


_MACRO_BODIES: Final[dict[str, Callable[[Scopes, list[Step]], Step]]] = {
    "all": lambda scopes, body: _holds(scopes, body, decisive=False),
    "exists": lambda scopes, body: _holds(scopes, body, decisive=True),
    "exists_one": _exists_one,
    "existsOne": _exists_one,
    "map": _map,
    "filter": _filter,
}


def _call(children: list[Any], names: set[str]) -> Step:
    name, arguments = str(children[0]), _arguments(children[1:])
    steps = [_build(argument, names) for argument in arguments]
    if name == "has":
        return _has(steps[0])
    function = FUNCTIONS.get(name)
    if function is None:
        raise CelError(f"compilation failed: undeclared reference to '{name}'")
    return lambda env: function(*[step(env) for step in steps])


def _has(step: Step) -> Step:
    def run(env: Names) -> bool:
        try:
            step(env)
        except CelError:
            return False
        return True

    return run


def _ident(children: list[Any], names: set[str]) -> Step:
    name = str(children[0])
    names.add(name)

    def run(env: Names) -> Any:
        if name in env:
            return env[name]
        raise CelError(f"undeclared reference to '{name}'")

    return run


def _list(children: list[Any], names: set[str]) -> Step:
    steps = [_build(child, names) for child in _arguments(children)]
    return lambda env: [step(env) for step in steps]


def _map_literal(children: list[Any], names: set[str]) -> Step:
    steps = [_build(child, names) for child in _arguments(children)]
    pairs = list(zip(steps[::2], steps[1::2], strict=True))
    return lambda env: {key(env): value(env) for key, value in pairs}


def _literal(children: list[Any], _: set[str]) -> Step:
    value = _read_literal(children[0])
    return lambda _env: value


def _read_literal(token: Token) -> Any:
    text = str(token)
    match token.type:
        case "INT_LIT" | "UINT_LIT":
            return int(text.rstrip("uU"), 0 if "x" in text.lower() else 10)
        case "FLOAT_LIT":
            return float(text)
        case "BOOL_LIT":
            return text == "true"
        case "NULL_LIT":
            return None
        case "STRING_LIT" | "MLSTRING_LIT":
            return _read_string(text)
        case other:
            raise CelError(f"compilation failed: literal {other} is not supported")


_STRING_ESCAPE = re.compile(r"\\(?:[abfnrtv\"'\\?`]|[0-3][0-7]{2}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})")
_SHORT_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def _read_string(text: str) -> str:
    raw = text[0] in "rR"
    text = text[1:] if raw else text
    fence = 3 if text[:3] in {'"""', "'''"} else 1
    inside = text[fence:-fence]
    return inside if raw else _STRING_ESCAPE.sub(_unescape, inside)


def _unescape(found: re.Match[str]) -> str:
    body = found[0][1:]
    if body[0] in "xuU":
        return chr(int(body[1:], 16))
    return chr(int(body, 8)) if body[0].isdigit() else _SHORT_ESCAPES.get(body, body)


_BUILDERS: Final[dict[str, Callable[[list[Any], set[str]], Step]]] = {
    "expr": _expr,
    "conditionalor": _or,
    "conditionaland": _and,
    "relation": _binary,
    "addition": _binary,
    "multiplication": _binary,
    "unary": _unary,
    "member_dot": _member_dot,
    "member_dot_arg": _member_call,
    "member_index": _member_index,
    "ident_arg": _call,
    "ident": _ident,
    "dot_ident": _ident,
    "list_lit": _list,
    "map_lit": _map_literal,
    "literal": _literal,
}

FUNCTIONS.setdefault("type", type_name)
