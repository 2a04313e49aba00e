"""The audit as the lives of a run write it, each into its own file; at the end it must be whole."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
from tests.simulation.loop import PROCESS
from tests.simulation.world import World

from reconciler.domain.keys import LEASE, Body
from reconciler.reporting.audit import AUDIT_LOGGER
from reconciler.reporting.audit_chain import HEAD_ANNOTATION, Head
from reconciler.reporting.audit_check import Line, verify


class _File(logging.Handler):
    """Gives each line to the process that writes it."""

    def emit(self, record: logging.LogRecord) -> None:
        process = PROCESS.get()
        if process is None or process.is_dead:
            return
        said = orjson.loads(record.getMessage())
        process.audit.append(Line(said, process.name, len(process.audit) + 1))
        if said["audit"] == "intended":
            process.intents.add(said["identity"])


@contextmanager
def audited() -> Iterator[None]:
    """Have the audit written while it lasts."""
    logger, file = logging.getLogger(AUDIT_LOGGER), _File()
    level, propagates = logger.level, logger.propagate
    logger.addHandler(file)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(file)
        logger.setLevel(level)
        logger.propagate = propagates


def check_audit(world: World, lines: list[Line], leases: list[Body]) -> None:
    """Rule 13, at the end: nothing is missing in the lines of all lives, and whatever was intended has an end.

    The Lease knows the last line that must be there.
    """
    notes = [body["metadata"].get("annotations") or {} for body in leases if body["kind"] == LEASE.kind]
    head = next((Head.read(note.get(HEAD_ANNOTATION)) for note in notes), None)
    verdict = verify(lines, head)
    if verdict.faults:
        world.fail("rule 13", f"the audit is not whole: {verdict.faults[0]}")
    if verdict.open:
        world.fail("rule 13", f"the audit has no end of {verdict.open[0]}")
