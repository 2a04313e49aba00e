"""Changes: what would be done to one object so that it becomes what is wanted. Pure.

The same values are printed by `reconciler plan`, told as drift, and stand behind every nudge: they are made by
comparing what is wanted with what a provider's client has read, after its own normalisation, so nothing flaps.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum, StrEnum
from hashlib import blake2s
from typing import Any

_LONGEST_VALUE = 60
_CONTEXT = 10
_FINGERPRINT_BYTES = 8


class Action(StrEnum):
    """What is done to an object."""

    CREATE = "Create"
    UPDATE = "Update"
    DELETE = "Delete"

    @property
    def sign(self) -> str:
        """What stands before the object in a diff."""
        return {Action.CREATE: "+", Action.UPDATE: "~", Action.DELETE: "-"}[self]

    @property
    def verb(self) -> str:
        """What is done, for a sentence."""
        return {Action.CREATE: "make", Action.UPDATE: "change", Action.DELETE: "remove"}[self]


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that differs.

    Attributes:
        path: of the field, dotted; `destinations[]` is one element of a list, `parameters.TAG` one entry of a map.
        before: the value as text; empty where there was none.
        after: the value as text; empty where there will be none.
    """

    path: str
    before: str
    after: str

    def text(self) -> str:
        """Write it in a line: `script_path: Jenkinsfile -> ci/Jenkinsfile`, `destinations[]: + in-cluster/alpha`."""
        before, after = _told(self.before, self.after)
        if not self.before:
            return f"{self.path}: + {after}"
        if not self.after:
            return f"{self.path}: - {before}"
        return f"{self.path}: {before} -> {after}"


@dataclass(frozen=True, slots=True)
class Change:
    """What would be done to one object.

    Attributes:
        system: where it is: `jenkins`, `argocd`, `registry`, `dns`, or `kubernetes` for what a project makes there.
        kind: of the object, in our words: `Job`, `AppProject`, `Record`, `Environment`.
        name: of the object within its kind.
        fields: what differs; empty for what is made or removed whole.
    """

    system: str
    kind: str
    name: str
    action: Action
    fields: tuple[FieldChange, ...] = ()

    @property
    def title(self) -> str:
        """The object with the sign of what is done to it: `~ Job freeleaps/shop`."""
        return f"{self.action.sign} {self.kind} {self.name}"

    def text(self) -> str:
        """Write it in one line: `~ Job freeleaps/shop  script_path: Jenkinsfile -> ci/Jenkinsfile`."""
        return "  ".join([self.title, "; ".join(one.text() for one in self.fields)]).rstrip()

    def what(self) -> str:
        """Write what is done as a phrase for people and the audit: `change Job freeleaps/shop: script_path`."""
        named = f": {', '.join(self.paths)}" if self.fields else ""
        return f"{self.action.verb} {self.kind} {self.name}{named}"

    @property
    def paths(self) -> tuple[str, ...]:
        """Name the fields that differ, each once."""
        return tuple(dict.fromkeys(one.path for one in self.fields))

    def before(self) -> str:
        """Write what was there, for the audit."""
        return "; ".join(f"{one.path}: {_told(one.before, one.after)[0]}" for one in self.fields if one.before)


def difference(wanted: Any, actual: Any, path: str = "") -> tuple[FieldChange, ...]:
    """Return the fields in which two values of one shape differ, in the shape's own order.

    Dataclasses are compared field by field, mappings by key, tuples as sets; two tuples with the same elements in
    another order differ as a whole. `actual` may be None: then every field of `wanted` that says something is named.
    """
    return tuple(_differences(wanted, actual, path))


def fingerprint(*wanted: Any) -> str:
    """Return a short text that is the same only for the same values; what a repr hides is not in it."""
    return blake2s(repr(wanted).encode(), digest_size=_FINGERPRINT_BYTES).hexdigest()


def _differences(wanted: Any, actual: Any, path: str) -> Iterator[FieldChange]:
    if wanted == actual:
        return
    shape = wanted if wanted is not None else actual
    if is_dataclass(shape):
        for one in fields(shape):
            yield from _differences(
                getattr(wanted, one.name, None), getattr(actual, one.name, None), _joined(path, one.name)
            )
    elif isinstance(shape, Mapping):
        have, want = actual or {}, wanted or {}
        for key in dict.fromkeys([*want, *have]):
            yield from _differences(want.get(key), have.get(key), _joined(path, str(key)))
    elif _is_named(wanted) and _is_named(actual):
        yield from _differences(_by_name(wanted), _by_name(actual), path)
    elif isinstance(shape, tuple | list):
        yield from _elements(tuple(wanted or ()), tuple(actual or ()), path)
    elif _text(wanted) != _text(actual):
        yield FieldChange(path, _text(actual), _text(wanted))


def _elements(wanted: tuple[Any, ...], actual: tuple[Any, ...], path: str) -> Iterator[FieldChange]:
    gone = [_text(one) for one in actual if one not in wanted]
    new = [_text(one) for one in wanted if one not in actual]
    if not gone and not new and wanted != actual:
        yield FieldChange(path, ", ".join(map(_text, actual)), ", ".join(map(_text, wanted)))
    yield from (FieldChange(f"{path}[]", one, "") for one in gone)
    yield from (FieldChange(f"{path}[]", "", one) for one in new)


def _is_named(value: Any) -> bool:
    """Tell whether a value is a list of maps that each have a name, as specs have them."""
    return isinstance(value, tuple | list) and all(isinstance(one, Mapping) and "name" in one for one in value)


def _by_name(value: Any) -> dict[str, Any]:
    return {str(one["name"]): one for one in value}


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Enum():
            return str(value.value)
        case tuple() | list():
            return "/".join(map(_text, value))
        case Mapping():
            return ", ".join(f"{key}={_text(one)}" for key, one in value.items())
        case _ if is_dataclass(value):
            return ", ".join(f"{one.name}={_text(getattr(value, one.name))}" for one in fields(value))
        case _:
            return str(value)


def _told(before: str, after: str) -> tuple[str, str]:
    """Return both values on one line each, cut so that the place where they begin to differ is seen."""
    before, after = (repr(text)[1:-1] if "\n" in text else text for text in (before, after))
    if max(len(before), len(after)) <= _LONGEST_VALUE:
        return before, after
    same = next((at for at, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), None)
    skip = max(0, (min(len(before), len(after)) if same is None else same) - _CONTEXT) if before and after else 0
    return _cut(before, skip), _cut(after, skip)


def _cut(text: str, skip: int) -> str:
    shown = f"…{text[skip:]}" if skip else text
    return shown if len(shown) <= _LONGEST_VALUE else f"{shown[: _LONGEST_VALUE - 1]}…"
