"""The `tree=` parameter: which fields of an answer are wanted, `a,b[c,d]{from,to}`, half-open ranges."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_NAME = re.compile(r"[A-Za-z_*][A-Za-z0-9_]*")
_RANGE = re.compile(r"\{(\d*)(?:(,)(\d*))?\}")


class MalformedTreeError(ValueError):
    """The parameter cannot be read; the real server answers 500."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of one field: the fields within, and which part of a list."""

    within: "Tree"
    part: slice = field(default_factory=lambda: slice(None))


Tree = dict[str, Wanted]
Exposed = dict[str, Callable[[], Any]]
"""The fields of one thing, each computed only when it is wanted. `_class` is always shown."""
Expose = Callable[[Any], Exposed | None]
"""Returns a thing's fields, or None when the value is plain JSON."""


def read_tree(text: str) -> Tree:
    """Read a whole `tree=` parameter. Raises MalformedTreeError."""
    tree, rest = _read_fields(text)
    if rest:
        raise MalformedTreeError(f"unexpected {rest[:10]!r}")
    return tree


def _read_fields(text: str) -> tuple[Tree, str]:
    tree: Tree = {}
    while True:
        name = _NAME.match(text)
        if name is None:
            raise MalformedTreeError(f"a field is expected before {text[:10]!r}")
        wanted, text = _read_wanted(text[name.end() :])
        tree[name.group()] = wanted
        if not text.startswith(","):
            return tree, text
        text = text[1:]


def _read_wanted(text: str) -> tuple[Wanted, str]:
    within: Tree = {}
    if text.startswith("["):
        within, text = _read_fields(text[1:])
        if not text.startswith("]"):
            raise MalformedTreeError("a ] is missing")
        text = text[1:]
    part = slice(None)
    if text.startswith("{"):
        part, text = _read_part(text)
    return Wanted(within, part), text


def _read_part(text: str) -> tuple[slice, str]:
    found = _RANGE.match(text)
    if found is None:
        raise MalformedTreeError("a range is {from,to}")
    first, comma, last = found.groups()
    if not comma:
        if not first:
            raise MalformedTreeError("an empty range")
        return slice(int(first), int(first) + 1), text[found.end() :]
    return slice(int(first or 0), int(last) if last else None), text[found.end() :]


def render(thing: Any, tree: Tree, expose: Expose) -> Any:
    """Write the wanted fields of a thing as JSON; unknown fields are left out without a word."""
    fields = expose(thing)
    if fields is None:
        return thing
    everything = dict.fromkeys(fields, tree["*"]) if "*" in tree else {}
    shown = {"_class": fields["_class"]()} if "_class" in fields else {}
    for name, wanted in {**everything, **tree}.items():
        if name in fields and name != "_class":
            shown[name] = _render_value(fields[name](), wanted, expose)
    return shown


def _render_value(value: Any, wanted: Wanted, expose: Expose) -> Any:
    if isinstance(value, list | tuple):
        return [render(each, wanted.within, expose) for each in value[wanted.part]]
    return render(value, wanted.within, expose)
