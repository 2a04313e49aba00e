"""A plan: what would be changed, what could not be told, and how it is printed. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from reconciler.domain.changes import Action, Change

_SYSTEMS = ("kubernetes", "jenkins", "argocd", "registry", "dns")
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Untold:
    """Something that could not be compared, and why.

    Attributes:
        resource: whose it is, `DNSZone shop`.
        why: what stands in the way, for a person.
    """

    resource: str
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done, and what nobody can tell.

    Attributes:
        notes: what a reader should know besides: paused, drift that is only reported.
    """

    changes: tuple[Change, ...] = ()
    untold: tuple[Untold, ...] = ()
    notes: tuple[str, ...] = ()

    def __add__(self, other: "Plan") -> "Plan":
        return Plan(
            _each_once(self.changes, other.changes),
            _each_once(self.untold, other.untold),
            _each_once(self.notes, other.notes),
        )

    @property
    def summary(self) -> str:
        """Say it in one line: `Plan: 3 to create, 1 to update, 0 to delete, 1 cannot be told: DNSZone shop`."""
        count = {action: sum(one.action is action for one in self.changes) for action in Action}
        parts = [f"{count[action]} to {action.value.lower()}" for action in Action]
        if not self.untold:
            return f"Plan: {', '.join(parts)}."
        named = [one.resource for one in self.untold[:_MOST_NAMED]]
        more = [f"and {len(self.untold) - _MOST_NAMED} more"] if len(self.untold) > _MOST_NAMED else []
        return f"Plan: {', '.join(parts)}, {len(self.untold)} cannot be told: {', '.join([*named, *more])}."

    def lines(self) -> Iterator[str]:
        """Write it like a diff: by system, each object with its sign, each field that differs below it."""
        ordered = sorted(self.changes, key=lambda one: _place(one.system))
        for system, changes in groupby(ordered, key=lambda one: one.system):
            yield system
            for change in changes:
                yield f"  {change.title}"
                yield from (f"      {field.text()}" for field in change.fields)
            yield ""
        if self.untold:
            yield "cannot be told"
            yield from (f"  ? {one.resource}: {one.why}" for one in self.untold)
            yield ""
        yield from (f"Note: {note}" for note in self.notes)
        yield self.summary

    def document(self) -> dict[str, Any]:
        """Write it as JSON."""
        return {
            "changes": [asdict(change) | {"fields": [asdict(one) for one in change.fields]} for change in self.changes],
            "untold": [asdict(one) for one in self.untold],
            "notes": list(self.notes),
            "summary": self.summary,
        }


def plan_of(parts: Iterable[Plan]) -> Plan:
    """Return one plan of several; what many projects share is told once."""
    whole = Plan()
    for part in parts:
        whole += part
    return whole


def _each_once(first: Sequence[Any], second: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys((*first, *second)))


def _place(system: str) -> int:
    return _SYSTEMS.index(system) if system in _SYSTEMS else len(_SYSTEMS)
