"""Every condition, and every reason that one or a step can have: what it means and what ends it. Printed by the docs.

A test holds both lists against the source: what is used and not declared fails it, and so does what is declared and
not used.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class EndedBy(StrEnum):
    """Who ends the state that a reason stands for."""

    ITSELF = "itself"
    PERSON = "a person"
    NOBODY = "it stays"


PROJECT = "DevOpsProject"
ENVIRONMENT = "Environment"
RECORD = "DeploymentRecord"
JENKINS, ARGO, REGISTRY = "JenkinsSettings", "ArgoSettings", "ContainerRegistry"
GIT, ZONE = "GitCredential", "DNSZone"
_OWNERS = (JENKINS, ARGO, REGISTRY)
_KEEPERS = (*_OWNERS, ENVIRONMENT)
_SETTINGS = (*_OWNERS, GIT, ZONE)
_ALL = (PROJECT, ENVIRONMENT, RECORD, *_SETTINGS)
_ASKERS = (*_SETTINGS, ENVIRONMENT, RECORD)
RELAYS = PROJECT
"""The kind whose steps are settings: beside its own reasons it shows theirs."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A condition: its type, the kinds that have it, and what it says when it is True."""

    type: str
    on: tuple[str, ...]
    sentence: str


CONDITIONS: tuple[Shown, ...] = (
    Shown("Ready", _ALL, "As it should be; of a deployment: it succeeded."),
    Shown("Reconciling", _ALL, "The operator is at it, or waits for something that ends by itself."),
    Shown("Stalled", _ALL, "It does not go on without a person, or has ended badly."),
    Shown("Drifted", _KEEPERS, "Something outside differs from what is wanted and is left so for now."),
    Shown("CredentialsRefused", _SETTINGS, "Newer credentials are refused; the former stay in use."),
    Shown("JenkinsReachable", (PROJECT, RECORD, JENKINS), "Jenkins answers. Absent while it never failed."),
    Shown("ArgoReachable", (PROJECT, ENVIRONMENT, RECORD, ARGO), "Argo CD answers. Absent while it never failed."),
    Shown("RegistryReachable", (PROJECT, RECORD, REGISTRY), "The registry answers. Absent while it never failed."),
    Shown(
        "DNSReachable", (PROJECT, ENVIRONMENT, RECORD, ZONE), "The DNS provider answers. Absent while it never failed."
    ),
)
"""All conditions, in the order in which a reader wants them."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a reason means.

    Attributes:
        word: CamelCase, as in the condition or the step.
        on: the kinds that show it.
        ended_by: who must do something before it goes on.
        sentence: for a person; one line.
    """

    word: str
    on: tuple[str, ...]
    ended_by: EndedBy
    sentence: str


def conditions(kind: str) -> Iterator[Shown]:
    """Yield the conditions of a kind."""
    yield from (shown for shown in CONDITIONS if kind in shown.on)


def meanings(kind: str) -> Iterator[Meaning]:
    """Yield what a kind can say, in the order of the list."""
    yield from (meaning for meaning in MEANINGS if kind in meaning.on)


_ITSELF, _PERSON, _NOBODY = EndedBy.ITSELF, EndedBy.PERSON, EndedBy.NOBODY
MEANINGS: tuple[Meaning, ...] = (
    # How it stands.
    Meaning("Ready", (PROJECT, *_SETTINGS), _NOBODY, "Everything is as the spec wants it."),
    Meaning("Reconciling", (PROJECT, *_SETTINGS), _ITSELF, "Work goes on; nothing in particular is waited for."),
    Meaning("Waiting", _ASKERS, _ITSELF, "It waits, for no reason that has a word of its own."),
    Meaning("Unknown", _ALL, _ITSELF, "No reason was given."),
    Meaning("Idle", (ENVIRONMENT,), _NOBODY, "Nothing is deployed to it at the moment; what is current runs."),
    Meaning("Deploying", (ENVIRONMENT,), _ITSELF, "A deployment, `status.holder`, may change it."),
    Meaning(
        "OnHold", (ENVIRONMENT, RECORD), _PERSON, "A deployment was rolled back; a newer request or `release` lifts it."
    ),
    Meaning("Repairing", (ENVIRONMENT,), _ITSELF, "What is current is being put right outside."),
    Meaning("Expiring", (ENVIRONMENT,), _ITSELF, "Its life is over; Applications and records are being removed."),
    Meaning(
        "Expired", (ENVIRONMENT,), _NOBODY, "Its life is over and it is empty; the next deployment brings it back."
    ),
    Meaning("Removing", (PROJECT, ENVIRONMENT), _ITSELF, "It is being deleted; the message names what it waits for."),
    Meaning("LeftBehind", (ENVIRONMENT, JENKINS, ARGO), _NOBODY, "It goes; what is left outside is swept later."),
    Meaning("Kept", (ENVIRONMENT, *_OWNERS), _NOBODY, "It goes; what the message names stays outside on purpose."),
    Meaning("Pending", (RECORD,), _ITSELF, "Stored, not looked at yet, or not startable yet; see the queue stage."),
    Meaning("Queued", (RECORD,), _ITSELF, "Another deployment holds the environment."),
    Meaning("Running", (RECORD,), _ITSELF, "Its stages are under way."),
    Meaning("RollingBack", (RECORD,), _ITSELF, "What was current is being put back."),
    Meaning("Deployed", (RECORD,), _NOBODY, "It succeeded: the revision runs and is current."),
    Meaning("Answers", _ALL, _NOBODY, "On `…Reachable` conditions: the system answers again."),
    # Drift.
    Meaning("Drifted", _KEEPERS, _PERSON, "Something outside differs, and `driftPolicy: Report` leaves it so."),
    Meaning("AsWanted", _KEEPERS, _NOBODY, "On `Drifted`: it is as wanted again."),
    Meaning(
        "DriftFought", _KEEPERS, _PERSON, "Somebody undoes our repairs again and again; they come more and more rarely."
    ),
    # Credentials.
    Meaning("CredentialsRefused", _SETTINGS, _PERSON, "The system refuses what the Secret holds now; correct it."),
    Meaning("CredentialsAccepted", _SETTINGS, _NOBODY, "On `CredentialsRefused`: what the Secret holds is in use."),
    # The spec and what it refers to.
    Meaning("InvalidSpec", _ALL, _PERSON, "The spec breaks a rule; the message names field and rule."),
    Meaning(
        "ProjectNotFound", (JENKINS, ARGO, RECORD), _PERSON, "There is no DevOpsProject of the name in `projectRef`."
    ),
    Meaning(
        "SettingsNotFound", (PROJECT, ENVIRONMENT, RECORD), _PERSON, "Settings that a project names are not there."
    ),
    Meaning("ForAnotherProject", (PROJECT, RECORD), _PERSON, "The project names settings of another project."),
    Meaning("EnvironmentNotFound", (RECORD,), _NOBODY, "The project has no such environment and no `preview`."),
    Meaning("TooManyPreviews", (RECORD,), _NOBODY, "The project has as many previews as it may."),
    Meaning("ComponentNotFound", (RECORD,), _NOBODY, "The project has no component of that name."),
    Meaning(
        "ZoneNotFound",
        (ZONE, RECORD, ENVIRONMENT),
        _PERSON,
        "The account does not have the zone, or no DNSZone holds the host.",
    ),
    Meaning("ZoneLocked", (ZONE,), _PERSON, "The provider has the zone, and it cannot be changed there."),
    Meaning("Missing", _ASKERS, _ITSELF, "A Secret, a key in it or a credential is not there; named in the message."),
    Meaning(
        "NameTaken",
        (*_OWNERS, RECORD, ENVIRONMENT),
        _PERSON,
        "What we would make is there and another's; the owner is named.",
    ),
    Meaning("RemovalNotConfirmed", (PROJECT,), _PERSON, "More than half of several environments would go at once."),
    # Records in DNS.
    Meaning("RemovalHeldBack", (ENVIRONMENT,), _PERSON, "More than half of its records would go; confirm it."),
    Meaning(
        "ConflictingRecord",
        (RECORD, ENVIRONMENT),
        _PERSON,
        "A record of another type stands at the host and is not ours.",
    ),
    Meaning(
        "ValuesChanged", (RECORD, ENVIRONMENT), _PERSON, "The record has our mark, but not the values that we wrote."
    ),
    Meaning(
        "CnameAtApex",
        (RECORD, ENVIRONMENT),
        _PERSON,
        "A zone's own name cannot be a CNAME; give an IP address as target.",
    ),
    Meaning("Contradiction", (RECORD, ENVIRONMENT), _PERSON, "Two components want different records at one host."),
    Meaning("InvalidRecord", (RECORD, ENVIRONMENT), _PERSON, "Host, target or owner id make no valid record."),
    # Systems around.
    Meaning(
        "Unavailable", _ASKERS, _ITSELF, "The system does not answer, or not usefully; asked again later and later."
    ),
    Meaning("RateLimited", _ASKERS, _ITSELF, "A limit is reached; asked again when it allows."),
    Meaning("CircuitOpen", _ASKERS, _ITSELF, "The system failed so often that it is not asked for a while."),
    Meaning("OutcomeUnknown", _ASKERS, _ITSELF, "A change may or may not have arrived; it is looked for first."),
    Meaning("NotSent", _ASKERS, _ITSELF, "A change was held back because the right to make it had run out."),
    Meaning("ReadLag", (*_OWNERS, RECORD, ENVIRONMENT), _ITSELF, "A change was made and cannot be seen yet."),
    Meaning("Busy", _ASKERS, _ITSELF, "Another operation is in the way; ours comes after it."),
    Meaning("AlreadyExists", _ASKERS, _ITSELF, "It appeared while we were about to make it; looked at again."),
    Meaning("Refused", _ASKERS, _PERSON, "Credentials or rights do not suffice; asked again every 5 minutes."),
    Meaning("NotFound", _ASKERS, _PERSON, "The system says that what was asked for does not exist."),
    Meaning("Invalid", _ASKERS, _PERSON, "The system will never accept the request; its words are in the message."),
    Meaning("InternalError", _ALL, _PERSON, "A bug in the operator; other work goes on. See its log."),
    # A deployment's way.
    Meaning("Paused", (RECORD,), _PERSON, "It, its environment or its project has `freeleaps.com/paused`."),
    Meaning("BuildQueued", (RECORD,), _ITSELF, "The build waits in Jenkins' queue."),
    Meaning("Building", (RECORD,), _ITSELF, "The build runs."),
    Meaning("BuildFailed", (RECORD,), _NOBODY, "The build failed; its address is in the message."),
    Meaning("BuildAborted", (RECORD,), _NOBODY, "Builds were stopped in Jenkins until the attempts ran out."),
    Meaning(
        "BuildGone", (RECORD,), _ITSELF, "The build disappeared from Jenkins; one more attempt, within the budget."
    ),
    Meaning("PipelineDropsParameters", (RECORD,), _NOBODY, "The pipeline redefines the job's parameters without ours."),
    Meaning("ParametersMissing", (RECORD,), _PERSON, "A job that is not ours does not declare our parameters."),
    Meaning("ImageNotFound", (RECORD,), _ITSELF, "The registry does not show the image of the build yet."),
    Meaning("Syncing", (RECORD,), _ITSELF, "Argo CD syncs."),
    Meaning("SyncFailed", (RECORD,), _NOBODY, "Argo CD's sync failed; its words are in the message."),
    Meaning("Rollout", (RECORD,), _ITSELF, "Synced; the new version is not healthy and complete yet."),
    Meaning("Degraded", (RECORD,), _NOBODY, "The application was Degraded for longer than `RECONCILER_DEGRADED_FOR`."),
    Meaning("NotServed", (RECORD,), _ITSELF, "The address does not answer as `verify` wants yet."),
    Meaning("VerifyFailed", (RECORD,), _NOBODY, "The address did not answer as `verify` wants in its time."),
    Meaning(
        "DeadlineExceeded", (RECORD, PROJECT), _NOBODY, "A stage or the whole took too long; the last wait is named."
    ),
    Meaning("WindingUp", (RECORD,), _ITSELF, "It has ended; what is being built for it is stopped first."),
    # A deployment's other ends.
    Meaning("Cancelled", (RECORD,), _NOBODY, "`spec.cancel`, a deleted record, or builds that were stopped for it."),
    Meaning("Superseded", (RECORD, PROJECT), _NOBODY, "Something asked for later is current, or came first."),
    Meaning(
        "EnvironmentBusy", (RECORD,), _NOBODY, "The environment was being deployed, and its concurrency is Reject."
    ),
    Meaning(
        "ProjectRemoved", (PROJECT,), _NOBODY, "The project was deleted while one of its operations was under way."
    ),
    Meaning("EnvironmentRemoved", (RECORD,), _NOBODY, "The environment was removed while it waited or ran."),
    Meaning("SlotLost", (RECORD,), _NOBODY, "Another took the environment over while nobody looked after this one."),
    Meaning("NothingToGoBackTo", (RECORD,), _NOBODY, "It failed and nothing had been current before."),
    Meaning("CleanupTimeout", (ENVIRONMENT,), _ITSELF, "Not everything went in one pass; named, and tried again."),
)
"""All reasons, in the order in which a resource meets them."""
