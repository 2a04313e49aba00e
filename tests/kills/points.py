"""Points: where the operator is killed, as the code's own hooks name them, without the names of what it was about."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from reconciler.resilience.moments import Moment, Side

CONFIRM = "confirm"
"""A confirm of the broker is read: told by the launcher, because it happens in the library."""


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """One side of a moment, and what it is about: `after act: start the build of COMPONENT`."""

    moment: str
    side: str
    about: str

    @classmethod
    def at(cls, moment: str, side: str, about: str) -> Self:
        """Return the point of a moment as it is told."""
        return cls(str(moment), str(side), folded(about))

    @classmethod
    def read(cls, text: str) -> Self:
        """Return a point from what `str` made of it."""
        side, _, rest = text.partition(" ")
        moment, _, about = rest.partition(": ")
        return cls(moment, side, about)

    def __str__(self) -> str:
        return f"{self.side} {self.moment}: {self.about}"


DECLARED = frozenset({(moment.value, side.value) for moment in Moment for side in Side} | {(CONFIRM, "before")})
"""All moments and sides that must be reached; the confirm's other side is the publish's."""

_NAMES = (
    (re.compile(r"\bkills[0-9a-f]{6}\."), ""),
    (re.compile(r"sha256:[0-9a-f]+"), "DIGEST"),
    (re.compile(r"https?://\S+"), "URL"),
    (re.compile(r"\b(freeleaps|team-p\d+)\b"), "FOLDER"),
    (re.compile(r"\bp\d+\b"), "PROJECT"),
    (re.compile(r"\b(api|worker)\b"), "COMPONENT"),
    (re.compile(r"\b(A|TXT) \S+ in acme\.example.*"), r"\1 RECORD"),
    (re.compile(r"\d+"), "N"),
)


def folded(about: str) -> str:
    """Return what a moment is about without names of projects, components and numbers."""
    for pattern, word in _NAMES:
        about = pattern.sub(word, about)
    return about


def unreached(reached: Iterable[Point]) -> set[tuple[str, str]]:
    """Return the declared moments and sides that none of the points is of."""
    return set(DECLARED - {(point.moment, point.side) for point in reached})
