"""The chain of the audit: each line carries the hash of the one before it, so that none can be taken out or changed.

A line belongs to the `chain` of the incarnation that wrote it. `seq` names it there, `prev` is the hash of the line
before it, `hash` is that of the line itself, over everything else that it says. The first line of a chain `follows` the
head of the chain before, as it stood on the Lease when the incarnation began. Where none stood there, whoever takes
the Lease notes the beginning of its own chain (`CHAIN/0`): what comes after a kill before the first renewal follows
that, and is no second beginning. Pure: no clock, no log, no I/O.

The hash is over canonical JSON (sorted names, no blanks), so a line stays good when a log pipeline writes it anew.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Self

import orjson

HEAD_ANNOTATION = "freeleaps.com/audit-head"
"""On the Lease: the last line that is known to be written."""
_MOST_SKIPPED = 64

Said = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Head:
    """One line of a chain, as what comes after it knows it."""

    chain: str
    seq: int
    hash: str

    @property
    def name(self) -> str:
        """Name the line: `CHAIN/SEQ`."""
        return f"{self.chain}/{self.seq}"

    def text(self) -> str:
        """Write it as the Lease keeps it."""
        return f"{self.name}/{self.hash}"

    @classmethod
    def read(cls, text: str | None) -> Self | None:
        """Read what the Lease keeps; None where nothing does, or something else."""
        chain, _, rest = (text or "").partition("/")
        seq, _, digest = rest.partition("/")
        return cls(chain, int(seq), digest) if chain and seq.isdecimal() and digest else None


def beginning_of(chain: str) -> Head:
    """Return what stands before the first line of a chain."""
    return Head(chain, 0, digest_of({"chain": chain}))


def digest_of(line: Said) -> str:
    """Return the hash that a line must carry: over all that it says but the hash itself."""
    said = {name: value for name, value in line.items() if name != "hash"}
    return sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()


class Chain:
    """The chain of one incarnation, while it is written.

    Attributes:
        name: of the incarnation.
        head: the last line; None before the first one.
    """

    def __init__(self, name: str, follows: Head | None = None) -> None:
        self.name = name
        self.head: Head | None = None
        self.follow(follows)

    def follow(self, head: Head | None) -> None:
        """Say where the chain before ended, as the Lease has it; heard only before the first line.

        That it is where this very chain begins means that there is none before.
        """
        if self.head is None:
            self._follows = head if head != beginning_of(self.name) else None

    def append(self, said: Said, mask: Callable[[str], str] = str) -> str:
        """Return the next line as JSON, and be it the head.

        A secret may look like a piece of a hash or of a number (`1234`). Masked, the line would be a broken one; so a
        number under which that would happen is left out, as the line after it may then be another one.
        """
        first = 1 if self.head is None else self.head.seq + 1
        head, text = self._sealed(said, first)
        for number in range(first + 1, first + _MOST_SKIPPED):
            if mask(text) == text:
                break
            head, text = self._sealed(said, number)
        self.head = head
        return mask(text)

    def _sealed(self, said: Said, number: int) -> tuple[Head, str]:
        before = self.head or self._follows
        first = {} if self.head else {"follows": before.name if before else ""}
        linked = {**said, **first, "chain": self.name, "seq": number, "prev": before.hash if before else ""}
        digest = digest_of(linked)
        return Head(self.name, number, digest), orjson.dumps({**linked, "hash": digest}).decode()
