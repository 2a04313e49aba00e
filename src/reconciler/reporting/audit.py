"""The audit: two lines for every change outside, one before it and one after, as JSON on the logger `reconciler.audit`.

    {"audit": "intended", "what": "start build of api", "system": "jenkins", "identity": "op-1/api/1",
     "operation": "op-1", "requestedBy": "anna@example.com", "before": "", "replica": "...", "claimedAt": "...", ...}
    {"audit": "outcome", ..., "result": "Done", "after": {"externalId": "17"}, "seconds": 0.214}

`resolved` stands for `outcome` when the process that intended it is gone, or lost the answer, and a later look found
out how it ended. All lines of one incarnation are a chain (`audit_chain`), which `reconciler audit verify` checks.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.domain.answers import Facts, Nudge
from reconciler.domain.clock import Clock, rfc3339_micro
from reconciler.domain.resources import Claim
from reconciler.reporting.audit_chain import Chain

AUDIT_LOGGER = "reconciler.audit"


@dataclass(frozen=True, slots=True)
class Asked:
    """On whose behalf something is done."""

    operation: str = ""
    requested_by: str = ""


def _nobody(subject: str) -> Asked:
    return Asked(operation=subject)


def _unmasked(text: str) -> str:
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditTrail:
    """Writes the lines.

    Attributes:
        chain: of this incarnation; each line is the next link of it.
        mask: hides secrets in text; applied to every word of a line before it is sealed.
        asked_by: says who asked for what is done under a subject.
    """

    clock: Clock
    chain: Chain
    mask: Callable[[str], str] = _unmasked
    asked_by: Callable[[str], Asked] = _nobody
    log: logging.Logger = field(default_factory=lambda: logging.getLogger(AUDIT_LOGGER))

    def intended(self, subject: str, nudge: Nudge, claim: Claim) -> None:
        """Write what is about to be done; the claim is stored."""
        self._write("intended", subject, nudge, claim, {})

    def outcome(self, subject: str, nudge: Nudge, claim: Claim, result: str, facts: Facts) -> None:
        """Write how it ended."""
        seconds = (self.clock.now() - claim.at).total_seconds()
        self._write("outcome", subject, nudge, claim, {"result": result, "after": dict(facts), "seconds": seconds})

    def resolved(self, subject: str, claim: Claim, result: str, facts: Facts, *, system: str = "") -> None:
        """Write how something ended that another process, or this one before it lost the connection, intended."""
        seconds = (self.clock.now() - claim.at).total_seconds()
        after = {"system": system, "result": result, "after": dict(facts), "seconds": seconds}
        self._line({"audit": "resolved", **self._who(subject, claim), **after})

    def _write(self, line: str, subject: str, nudge: Nudge, claim: Claim, after: dict[str, Any]) -> None:
        what = {"what": nudge.what, "system": nudge.system, "before": nudge.before}
        self._line({"audit": line, **what, **self._who(subject, claim), **after})

    def _who(self, subject: str, claim: Claim) -> dict[str, Any]:
        asked = self.asked_by(subject)
        return {
            "identity": claim.key,
            "subject": subject,
            "operation": asked.operation,
            "requestedBy": asked.requested_by,
            "replica": claim.replica,
            "incarnation": claim.incarnation,
            "claimedAt": rfc3339_micro(claim.at),
        }

    def _line(self, said: dict[str, Any]) -> None:
        line = _masked({**said, "at": rfc3339_micro(self.clock.now())}, self.mask)
        self.log.info("%s", self.chain.append(line, self.mask))


def _masked(said: Mapping[str, Any], mask: Callable[[str], str]) -> dict[str, Any]:
    masked: dict[str, Any] = {}
    for name, value in said.items():
        match value:
            case str():
                masked[name] = mask(value)
            case Mapping():
                masked[name] = _masked(value, mask)
            case _:
                masked[name] = value
    return masked
