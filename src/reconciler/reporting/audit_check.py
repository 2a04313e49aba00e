"""Finds what was done to an audit: lines that were removed, changed, moved or cut off, each named. Pure.

What it cannot find: lines that an incarnation which was killed wrote after it last renewed the Lease (at most a few
seconds of them), when they are cut off the end. Nothing else knows of these.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from reconciler.reporting.audit_chain import Head, Said, beginning_of, digest_of


class Kind(StrEnum):
    """What is wrong."""

    CHANGED = "changed"
    REMOVED = "removed"
    MOVED = "moved"
    CUT_OFF = "cut off"
    UNREADABLE = "unreadable"
    BEGINS_ANEW = "begins anew"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an audit, and where it stands."""

    said: Said
    file: str = ""
    number: int = 0

    @property
    def head(self) -> Head:
        """Return how what comes after it knows it. Raises KeyError, ValueError, TypeError when it is no link."""
        return Head(str(self.said["chain"]), int(self.said["seq"]), str(self.said["hash"]))

    @property
    def is_first(self) -> bool:
        """Whether it is the first one of its chain."""
        return "follows" in self.said

    @property
    def place(self) -> str:
        """Say where it stands."""
        return f"{self.file}:{self.number}"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: what, which line (`CHAIN/SEQ`), where to look, in words."""

    kind: Kind
    line: str
    place: str
    words: str

    def __str__(self) -> str:
        return f"{self.place}: {self.kind}: {self.line}: {self.words}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of it.

    Attributes:
        lines: how many there were.
        heads: the last line of each chain, in the order in which the chains began.
        open: identities of changes that were intended and of which nobody wrote how they ended.
    """

    lines: int
    heads: tuple[Head, ...]
    faults: tuple[Fault, ...]
    open: tuple[str, ...]


def verify(lines: Sequence[Line], head: Head | None = None, *, is_part: bool = False) -> Verdict:
    """Check all lines, in the order in which they stand.

    Args:
        lines: of one or several files; lines of one chain in their order.
        head: the last line that must be there, as the Lease says.
        is_part: the files may begin in the middle of a chain, and lack the chains before.
    """
    check = _Check(lines, is_part=is_part)
    faults = [*check.links(), *check.joints(), *check.ending(head)]
    return Verdict(len(lines), check.heads(), tuple(faults), check.unended())


class _Check:
    def __init__(self, lines: Sequence[Line], *, is_part: bool) -> None:
        self._is_part = is_part
        self._broken: list[Fault] = []
        self._chains: dict[str, list[tuple[int, Line]]] = defaultdict(list)
        self._at: dict[tuple[str, int], list[tuple[int, Line]]] = defaultdict(list)
        for position, line in enumerate(lines):
            try:
                named = line.head
            except (KeyError, TypeError, ValueError):
                self._broken.append(
                    Fault(Kind.UNREADABLE, "a line", line.place, "it has no chain, seq and hash of its own")
                )
                continue
            self._chains[named.chain].append((position, line))
            self._at[named.chain, named.seq].append((position, line))

    def links(self) -> Iterator[Fault]:
        """Yield what is wrong inside of chains."""
        yield from self._broken
        for chain in self._chains.values():
            before: Line | None = None
            for _, line in chain:
                named = line.head
                if digest_of(line.said) != named.hash:
                    yield _fault(Kind.CHANGED, line, "what it says does not have the hash that it carries")
                if before is None:
                    yield from self._beginning(line)
                elif named.seq <= before.head.seq:
                    yield _fault(Kind.MOVED, line, f"it stands after {before.head.name}")
                    continue
                elif line.said.get("prev") != before.head.hash:
                    yield from self._gap(before, line)
                before = line

    def joints(self) -> Iterator[Fault]:
        """Yield what is wrong between chains: each must follow a line that is there, with its hash."""
        genesis = False
        for chain in self._chains.values():
            position, first = min(chain, key=lambda one: one[1].head.seq)
            if not first.is_first:
                continue
            if not first.said["follows"]:
                if genesis or first.said.get("prev"):
                    yield _fault(Kind.BEGINS_ANEW, first, "it names no chain before it, and there is one")
                genesis = True
                continue
            yield from self._followed(position, first)

    def ending(self, head: Head | None) -> Iterator[Fault]:
        """Yield what is wrong with the end: the line that the Lease knows must be there."""
        if head is None or head == beginning_of(head.chain):
            return
        there = self._at.get((head.chain, head.seq), ())
        if not there:
            last = max((line.head.seq for _, line in self._chains.get(head.chain, ())), default=None)
            words = f"the last one here is {head.chain}/{last}" if last is not None else "nothing of its chain is here"
            yield Fault(Kind.CUT_OFF, head.name, "the end", f"the Lease knows it; {words}")
        elif all(line.head.hash != head.hash for _, line in there):
            yield _fault(Kind.CHANGED, there[0][1], "the Lease knows it with another hash")

    def heads(self) -> tuple[Head, ...]:
        """Return the last line of each chain."""
        return tuple(max((line.head for _, line in chain), key=lambda one: one.seq) for chain in self._chains.values())

    def unended(self) -> tuple[str, ...]:
        """Return what was intended and has no end."""
        left: dict[Any, str] = {}
        for chain in self._chains.values():
            for _, line in chain:
                act = (line.said.get("subject"), line.said.get("identity"), line.said.get("claimedAt"))
                if line.said.get("audit") == "intended":
                    left[act] = f"{line.said.get('identity')} ({line.head.name}, {line.said.get('what')})"
        for chain in self._chains.values():
            for _, line in chain:
                if line.said.get("audit") != "intended":
                    act = (line.said.get("subject"), line.said.get("identity"), line.said.get("claimedAt"))
                    left.pop(act, None)
        return tuple(left.values())

    def _beginning(self, line: Line) -> Iterator[Fault]:
        if line.is_first or self._is_part or self._is_elsewhere(line):
            return
        named = line.head
        yield _fault(Kind.REMOVED, line, f"what stood before {named.name} in its chain is not here")

    def _gap(self, before: Line, line: Line) -> Iterator[Fault]:
        last, named = before.head, line.head
        if self._is_elsewhere(line):
            return
        if named.seq == last.seq + 1:
            yield _fault(Kind.CHANGED, before, f"{named.name} ({line.place}) follows it with another hash")
            return
        lost = f"{last.seq + 1}" if named.seq == last.seq + 2 else f"{last.seq + 1} to {named.seq - 1}"
        words = f"it stood between {last.name} ({before.place}) and {named.name}"
        yield Fault(Kind.REMOVED, f"{last.chain}/{lost}", line.place, words)

    def _is_elsewhere(self, line: Line) -> bool:
        """Whether the line that this one follows in its chain is here, though not before it: that one was moved."""
        prev = line.said.get("prev")
        return any(one.head.hash == prev for _, one in self._chains[line.head.chain])

    def _followed(self, position: int, first: Line) -> Iterator[Fault]:
        chain, _, seq = str(first.said["follows"]).partition("/")
        if Head(chain, 0, str(first.said.get("prev"))) == beginning_of(chain) and seq == "0":
            return
        there = self._at.get((chain, int(seq) if seq.isdecimal() else -1), ())
        if not there:
            if not (self._is_part and self._is_before(chain, seq)):
                words = f"{first.head.name} ({first.place}) follows it, and it is not here"
                yield Fault(Kind.CUT_OFF, f"{chain}/{seq}", first.place, words)
        elif all(line.head.hash != first.said.get("prev") for _, line in there):
            words = f"{first.head.name} follows it with another hash"
            yield _fault(Kind.CHANGED, there[0][1], words)
        elif all(line.file == first.file and place > position for place, line in there):
            yield _fault(Kind.MOVED, first, f"it stands before {chain}/{seq}, which it follows")

    def _is_before(self, chain: str, seq: str) -> bool:
        """Whether a line stood before everything that is here of its chain."""
        return all(line.head.seq > int(seq) for _, line in self._chains.get(chain, ()) if seq.isdecimal())


def _fault(kind: Kind, line: Line, words: str) -> Fault:
    what = line.said.get("what") or line.said.get("identity") or ""
    return Fault(kind, line.head.name, line.place, f"{words} ({what})" if what else words)
