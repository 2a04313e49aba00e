"""W3C Trace Context, as far as we hand it on: read, write, a child of it. No SDK is needed for that."""

import re
import secrets
from dataclasses import dataclass

_SHAPE = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


@dataclass(frozen=True, slots=True)
class TraceParent:
    """Where in which trace we are. Lower-case hex: 32 digits, 16 digits."""

    trace_id: str
    parent_id: str
    is_sampled: bool = True

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.parent_id}-{'01' if self.is_sampled else '00'}"

    def child(self) -> "TraceParent":
        """Return a new place in the same trace."""
        return TraceParent(self.trace_id, secrets.token_hex(8), self.is_sampled)


def new_trace() -> TraceParent:
    """Return the first place of a new trace."""
    return TraceParent(secrets.token_hex(16), secrets.token_hex(8))


def parse(header: str | None) -> TraceParent | None:
    """Read a `traceparent` header; None when there is none or it is not valid by the specification."""
    found = _SHAPE.fullmatch((header or "").strip())
    if found is None:
        return None
    version, trace_id, parent_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(parent_id, 16):
        return None
    return TraceParent(trace_id, parent_id, bool(int(flags, 16) & 1))


def continued(header: str | None) -> TraceParent:
    """Return a child of the sender's trace, or the start of a new one."""
    parent = parse(header)
    return parent.child() if parent else new_trace()
