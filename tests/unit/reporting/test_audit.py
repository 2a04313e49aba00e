import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from reconciler.domain.answers import Facts, Nudge
from reconciler.domain.resources import Claim
from reconciler.reporting.audit import AUDIT_LOGGER, Asked, AuditTrail
from reconciler.reporting.audit_chain import Chain, Head
from reconciler.reporting.audit_check import Line, verify

AT = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
CLAIM = Claim(key="op-1/api/1", replica="pod-0", incarnation="i1", at=AT)


class ClockAt:
    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return 0.0


async def nothing() -> Facts:
    return {}


NUDGE = Nudge("op-1/api/1", nothing, "start build of api", system="jenkins", before="no build")


def trail(**more: Any) -> AuditTrail:
    return AuditTrail(clock=ClockAt(AT + timedelta(seconds=1.5)), chain=Chain("i1"), **more)


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [orjson.loads(record.getMessage()) for record in caplog.records if record.name == AUDIT_LOGGER]


def test_a_change_is_two_lines_of_one_identity(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, AUDIT_LOGGER)
    audit = trail(asked_by=lambda subject: Asked(subject, "anna@example.com"))
    audit.intended("op-1", NUDGE, CLAIM)
    audit.outcome("op-1", NUDGE, CLAIM, "Done", {"externalId": "17"})
    before, after = lines(caplog)
    assert before["audit"] == "intended"
    assert before["identity"] == after["identity"] == "op-1/api/1"
    assert (before["operation"], before["requestedBy"]) == ("op-1", "anna@example.com")
    assert (before["what"], before["system"], before["before"]) == ("start build of api", "jenkins", "no build")
    assert "result" not in before
    assert (after["audit"], after["result"], after["after"]) == ("outcome", "Done", {"externalId": "17"})
    assert after["seconds"] == 1.5


def test_what_another_process_intended_is_resolved(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, AUDIT_LOGGER)
    trail().resolved("op-1", CLAIM, "Found", {"externalId": "17"}, system="jenkins")
    (line,) = lines(caplog)
    assert (line["audit"], line["result"], line["identity"]) == ("resolved", "Found", "op-1/api/1")


def test_secrets_are_masked_in_the_whole_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, AUDIT_LOGGER)
    trail(mask=lambda text: text.replace("hunter2", "***")).outcome("op-1", NUDGE, CLAIM, "said hunter2", {})
    assert "hunter2" not in caplog.text
    assert lines(caplog)[0]["result"] == "said ***"


def test_lines_are_links_of_one_chain_that_follows_the_one_before(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, AUDIT_LOGGER)
    audit = trail()
    audit.chain.follow(before := Head("i0", 4, "c0ffee"))
    audit.intended("op-1", NUDGE, CLAIM)
    audit.outcome("op-1", NUDGE, CLAIM, "Done", {})
    first, second = lines(caplog)
    assert (first["chain"], first["seq"], first["follows"], first["prev"]) == ("i1", 1, before.name, before.hash)
    assert (second["seq"], second["prev"]) == (2, first["hash"])
    assert audit.chain.head == Head("i1", 2, second["hash"])


def test_a_secret_that_looks_like_a_number_or_a_piece_of_a_hash_breaks_no_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, AUDIT_LOGGER)
    audit = trail(mask=lambda text: text.replace("12", "***").replace("ab", "***"))
    for _ in range(40):
        audit.intended("op-1", NUDGE, CLAIM)
    said = lines(caplog)
    assert all("ab" not in line["hash"] and line["seq"] != 12 for line in said)
    assert verify([Line(line) for line in said], audit.chain.head).faults == ()
