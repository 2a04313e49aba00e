"""Reading messages whose properties the library cannot read: any such message ends the connection, each time it comes.

A consumer must not take it (the broker's delivery limit makes it a dead letter), but whoever looks at the dead letters
has to. Properties are read one after the other: those before the unreadable one are kept, the rest is left out.
"""

import contextlib
import struct
from collections.abc import Iterator

from pamqp.header import ContentHeader

from reconciler.domain.messages import UNREADABLE_HEADER


@contextlib.contextmanager
def reading_anything() -> Iterator[None]:
    """Read what can be read, in the whole process, for as long as this lasts: for a command, not for the operator."""
    strict = ContentHeader.unmarshal

    def lenient(header: ContentHeader, frame: bytes) -> None:
        try:
            strict(header, frame)
        except (struct.error, ValueError, OverflowError, OSError) as error:
            properties = header.properties
            properties.headers = {**(properties.headers or {}), UNREADABLE_HEADER: f"{type(error).__name__}: {error}"}

    ContentHeader.unmarshal = lenient  # type: ignore[method-assign, assignment]  # the library has no other place to say it
    try:
        yield
    finally:
        ContentHeader.unmarshal = strict  # type: ignore[method-assign]
