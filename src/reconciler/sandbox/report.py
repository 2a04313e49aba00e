"""What became of a scenario, as a document (DESIGN section 9) and as text."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from reconciler.domain.messages import EventType
from reconciler.domain.names import record_name
from reconciler.sandbox.office import BackOffice
from reconciler.sandbox.remains import Remains
from reconciler.sandbox.running import Sandbox
from reconciler.sandbox.samples import Request
from reconciler.sandbox.watching import OperationView, deployment, set_up
from reconciler.sandbox.world import DOMAIN, World


@dataclass(frozen=True, slots=True)
class External:
    """What the simulated systems counted.

    Attributes:
        builds: builds that were ever started.
        syncs: syncs that ended, whatever way.
        records: DNS records that point somewhere and are ours, in all zones.
        repositories: image repositories.
    """

    builds: int
    syncs: int
    records: int
    repositories: int

    def document(self) -> dict[str, int]:
        """Return it as JSON."""
        counts = {"builds": self.builds, "syncs": self.syncs}
        return {**counts, "records": self.records, "repositories": self.repositories}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one operation: what is stored of it, and what was heard of it."""

    view: OperationView
    seconds: float
    heartbeats: int
    last_words: int

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        view = self.view
        return {
            "id": view.id,
            "type": view.type.value,
            "state": view.state,
            "reason": view.reason,
            "durationSeconds": round(self.seconds, 3),
            "stages": [
                {
                    "name": stage.name,
                    "component": stage.component,
                    "state": stage.state,
                    "durationSeconds": round(stage.seconds(), 3),
                }
                for stage in view.stages
            ],
            "heartbeats": self.heartbeats,
            "terminalHeartbeats": self.last_words,
            "addresses": list(view.addresses),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a scenario; `problems` say why it is not ok."""

    scenario: str
    seed: int
    outcomes: tuple[Outcome, ...]
    external: External
    problems: tuple[str, ...]
    remains: Remains | None = None
    """What a farewell left, where the scenario has one."""

    @property
    def ok(self) -> bool:
        """Whether everything is as the scenario expects."""
        return not self.problems

    def document(self) -> dict[str, Any]:
        """Return the document of DESIGN section 9."""
        return {
            "scenario": self.scenario,
            "ok": self.ok,
            "seed": self.seed,
            "operations": [outcome.document() for outcome in self.outcomes],
            "external": self.external.document(),
            **({"remains": self.remains.document()} if self.remains else {}),
        }

    def text(self) -> Iterator[str]:
        """Yield the report in lines for a person."""
        yield from self.told()
        counts = ", ".join(f"{count} {name}" for name, count in self.external.document().items())
        yield f"counted by the simulated systems: {counts}"
        if self.remains:
            yield "after all was removed, by the simulated systems' own lists:"
            yield from (f"  {line}" for line in self.remains.text())
        yield from (f"problem: {problem}" for problem in self.problems)

    def told(self) -> Iterator[str]:
        """Yield what became of the operations."""
        yield f"scenario {self.scenario}, seed {self.seed}: {'ok' if self.ok else 'NOT OK'}"
        for outcome in self.outcomes:
            yield from _lines(outcome)


def outcome_of(sandbox: Sandbox, request: Request) -> Outcome:
    """Return what became of a request, stored or not."""
    heard = sandbox.office.operations[request.operation_id]
    view = view_of(sandbox, request) or _unstored(request, sandbox.office)
    beats = heard.beats
    seconds = view.seconds() or (beats[-1].at - sandbox.office.sent[request.operation_id] if beats else 0.0)
    return Outcome(view, seconds, len(beats), len(heard.last_words))


def view_of(sandbox: Sandbox, request: Request) -> OperationView | None:
    """Return how far a request is by what is stored of it, None when nothing is."""
    if request.type is EventType.INITIALIZE:
        body = sandbox.read("DevOpsProject", request.project)
        return set_up(body, request.operation_id) if body else None
    body = sandbox.read("DeploymentRecord", record_name(request.operation_id))
    return deployment(body) if body else None


def external_of(world: World) -> External:
    """Ask the simulated systems what they counted."""
    return External(
        builds=len(world.jenkins.builds),
        syncs=len(world.argocd.syncs),
        records=len(address_records(world)),
        repositories=len(world.dockerhub.repositories),
    )


def address_records(world: World) -> dict[str, str]:
    """Return the DNS records of ours that point somewhere: those with a marker beside them."""
    records = world.godaddy.zone(DOMAIN).records
    marked = {record.name for record in records if record.type == "TXT" and record.name.startswith("_freeleaps-")}
    ours = (each for each in records if _marker(each.type, each.name) in marked)
    return {record.name: record.data for record in ours}


def _marker(kind: str, name: str) -> str:
    return f"_freeleaps-{kind.lower()}" if name == "@" else f"_freeleaps-{kind.lower()}.{name}"


def _unstored(request: Request, office: BackOffice) -> OperationView:
    """Read an operation that was answered but never stored from its last word."""
    words = office.operations[request.operation_id].last_words
    said = words[-1].payload if words else {"phase": "Pending"}
    return OperationView(
        id=request.operation_id,
        type=request.type,
        project=request.project,
        environment=request.environment,
        state=said["phase"],
        reason=said.get("reason", ""),
        message=said.get("message", ""),
        waiting_for="",
        started_at=None,
        finished_at=None,
        stages=(),
        addresses=(),
        images={},
    )


def _lines(outcome: Outcome) -> Iterator[str]:
    view = outcome.view
    where = view.project if view.environment == "-" else f"{view.project}/{view.environment}"
    reason = f" ({view.reason})" if view.reason else ""
    beats = f"{outcome.heartbeats} heartbeats, {outcome.last_words} of them terminal"
    yield f"  {view.id}  {view.type.value} {where}: {view.state}{reason} in {outcome.seconds:.1f} s, {beats}"
    for component in ("", *view.components):
        stages = [f"{stage.name} {stage.state} {stage.seconds():.1f} s" for stage in view.of(component)]
        if stages:
            yield f"    {component or '-'}: {' | '.join(stages)}"
    if view.state != "Succeeded" and view.message:
        yield f"    {view.message}"
    yield from (f"    {address}" for address in view.addresses)
