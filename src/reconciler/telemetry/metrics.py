"""Every metric, declared once. `Metrics` is an object with its own registry: two of them in one process do not meet.

No label holds a name that users choose (project, environment, operation): the number of series is bounded.
Resilience, agenda and intake know no metrics library; their hooks fit the methods here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

_REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LOOK_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_STAGE_SECONDS = (1, 5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
_LAG_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)

BREAKER_STATES = {"closed": 0, "half-open": 1, "open": 2}
"""How a breaker's state is written as a number; keyed by `resilience.breaker.State`'s values."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A metric's declaration, for the reference page."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str


class Metrics:
    """What is counted and measured."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._declared: list[Declared] = []
        ProcessCollector(registry=self.registry)

        self._looks = self._counter("looks", "Looks that ended, by lane of the agenda.", "lane", "outcome")
        self._look_wait = self._histogram(
            "look_wait_seconds", "From a look's due time to its start.", _LOOK_SECONDS, "lane"
        )
        self._look_seconds = self._histogram("look_seconds", "From a look's start to its end.", _LOOK_SECONDS, "lane")
        self._agenda_due = self._gauge("agenda_due", "Keys that are due and wait for their turn.", "lane")
        self._agenda_running = self._gauge("agenda_running", "Looks under way.", "lane")
        self._agenda_scheduled = self._gauge("agenda_scheduled", "Keys that are due later.")
        self._agenda_parked = self._gauge("agenda_parked", "Keys given up after too many unexpected errors.")
        self._bugs = self._counter("bugs", "Errors that nobody expected, in looks and acts.", "error")
        self._requests = self._counter(
            "endpoint_requests", "Requests to outside systems.", "system", "operation", "outcome"
        )
        self._request_seconds = self._histogram(
            "endpoint_request_seconds",
            "How long a request took, with its wait for a permit.",
            _REQUEST_SECONDS,
            "system",
            "operation",
        )
        self._kubernetes_requests = self._counter(
            "kubernetes_requests", "Requests to the API server.", "verb", "kind", "status"
        )
        self._breaker_state = self._gauge("breaker_state", "0 closed, 1 half-open, 2 open.", "system")
        self._breaker_changes = self._counter("breaker_changes", "Changes of a breaker's state.", "system", "state")
        self._permits_in_use = self._gauge(
            "permits_in_use", "Requests under way through the fullest endpoint of a system.", "system"
        )
        self._permits_waiting = self._gauge("permits_waiting", "Requests that wait for a permit.", "system")
        self._limiter_left = self._gauge(
            "limiter_places_left", "Requests that our own limit still allows now, by the key with the fewest.", "system"
        )
        self._limiter_free_in = self._gauge(
            "limiter_next_free_seconds", "Until our own limit allows another request; 0 now.", "system"
        )
        self._limiter_waiting = self._gauge(
            "limiter_waiting", "Errands that our own limit turned away and that are expected back.", "system"
        )
        self._messages = self._counter("messages", "Messages settled.", "type", "outcome")
        self._heartbeats = self._counter("heartbeats", "Heartbeats sent.", "outcome")
        self._heartbeat_queue = self._gauge(
            "heartbeat_queue", "Operations that are heard of, or whose end is not announced yet."
        )
        self._deployments = self._counter("deployments", "Deployments that ended.", "end")
        self._stage_seconds = self._histogram(
            "stage_seconds", "How long a stage took, from its start to its end.", _STAGE_SECONDS, "stage", "end"
        )
        self._leftovers = self._gauge("leftovers", "External objects that could not be removed and wait to be swept.")
        self._leftover_changes = self._counter(
            "leftover_changes", "Leftovers that came (`left`) and went (`gone`).", "system", "outcome"
        )
        self._connected = self._gauge("connected", "1 while a system of `/readyz` answers.", "system")
        self._leading = self._gauge("leading", "1 while this replica works; 0 while it stands by.")
        self._proof_age = self._gauge(
            "proof_age_seconds", "Since a canary last came back the whole way (messages, resources).", "part"
        )
        self._proof_restarts = self._counter(
            "proof_restarts", "Restarts of a part whose canary did not come back.", "part"
        )
        self._loop_lag = self._histogram("event_loop_lag_seconds", "How late the event loop turned.", _LAG_SECONDS)

    def look_ended(self, lane: str, outcome: str, *, waited: timedelta, took: timedelta) -> None:
        """Count and measure a look; what `agenda.Looked` holds."""
        self._looks.labels(lane, outcome).inc()
        self._look_wait.labels(lane).observe(waited.total_seconds())
        self._look_seconds.labels(lane).observe(took.total_seconds())

    def agenda(self, *, due: Mapping[str, int], running: Mapping[str, int], scheduled: int, parked: int) -> None:
        """Note how full the agenda is; `due` and `running` by lane."""
        for lane, count in due.items():
            self._agenda_due.labels(lane).set(count)
        for lane, count in running.items():
            self._agenda_running.labels(lane).set(count)
        self._agenda_scheduled.set(scheduled)
        self._agenda_parked.set(parked)

    def bug_met(self, error: str) -> None:
        """Count an unexpected error by its class."""
        self._bugs.labels(error).inc()

    def requests_of(self, system: str) -> Callable[[str, str, float], None]:
        """Return the observer of an endpoint: it takes operation, outcome and seconds."""

        def observe(operation: str, outcome: str, seconds: float) -> None:
            self._requests.labels(system, operation, outcome).inc()
            self._request_seconds.labels(system, operation).observe(seconds)

        return observe

    def kubernetes_asked(self, verb: str, kind: str, status: str) -> None:
        """Count a request to the API server; `status` is HTTP's number or an error's name."""
        self._kubernetes_requests.labels(verb, kind, status).inc()

    def breaker_turned(self, system: str, state: str) -> None:
        """Count a change of a breaker's state."""
        self._breaker_changes.labels(system, state).inc()

    def breaker_is(self, system: str, state: Callable[[], str]) -> None:
        """Ask at each scrape for the state of a system's breakers."""
        self._breaker_state.labels(system).set_function(lambda: BREAKER_STATES[state()])

    def permits_are(self, system: str, *, in_use: Callable[[], float], waiting: Callable[[], float]) -> None:
        """Ask at each scrape how many permits of a system are in use, and how many wait for one."""
        self._permits_in_use.labels(system).set_function(in_use)
        self._permits_waiting.labels(system).set_function(waiting)

    def limiter_is(
        self, system: str, *, left: Callable[[], float], free_in: Callable[[], float], waiting: Callable[[], float]
    ) -> None:
        """Ask at each scrape how our own limit stands; `free_in` in seconds. NaN where no key was used yet."""
        self._limiter_left.labels(system).set_function(left)
        self._limiter_free_in.labels(system).set_function(free_in)
        self._limiter_waiting.labels(system).set_function(waiting)

    def message_settled(self, type_: str, outcome: str) -> None:
        """Count a message; the type is empty where it could not be read."""
        self._messages.labels(type_ or "unknown", outcome).inc()

    def heartbeat_sent(self, outcome: str) -> None:
        """Count a heartbeat: `confirmed`, `failed`."""
        self._heartbeats.labels(outcome).inc()

    def work_is(self, *, heard_of: Callable[[], float], left: Callable[[], float]) -> None:
        """Ask at each scrape how many operations are heard of, and how many leftovers there are; 0 on standby."""
        self._heartbeat_queue.set_function(heard_of)
        self._leftovers.set_function(left)

    def deployment_ended(self, end: str) -> None:
        """Count a deployment by its end (`Succeeded`, `Failed`, ...)."""
        self._deployments.labels(end).inc()

    def stage_ended(self, stage: str, end: str, seconds: float) -> None:
        """Measure a stage that is over (`Done`, `Failed`, `Skipped`)."""
        self._stage_seconds.labels(stage, end).observe(seconds)

    def leftover(self, system: str, outcome: str) -> None:
        """Count a leftover that came (`left`) or went (`gone`)."""
        self._leftover_changes.labels(system, outcome).inc()

    def connected(self, system: str, *, is_connected: bool) -> None:
        """Note whether a system answers."""
        self._connected.labels(system).set(is_connected)

    def leads(self, is_leading: bool) -> None:  # noqa: FBT001 - fits `operator.leadership`
        """Note whether this replica leads."""
        self._leading.set(is_leading)

    def connected_while(self, system: str, is_connected: Callable[[], bool]) -> None:
        """Ask at each scrape whether a system answers."""
        self._connected.labels(system).set_function(lambda: float(is_connected()))

    def proof_is(self, part: str, age: Callable[[], float]) -> None:
        """Ask at each scrape how old the last proof of life of a part is, in seconds."""
        self._proof_age.labels(part).set_function(age)

    def part_restarted(self, part: str) -> None:
        """Count a restart for want of a proof of life."""
        self._proof_restarts.labels(part).inc()

    def loop_lagged(self, seconds: float) -> None:
        """Measure how late the loop turned."""
        self._loop_lag.observe(seconds)

    def render(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def declared(self) -> tuple[Declared, ...]:
        """Return the declarations, in their order."""
        return tuple(self._declared)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        full = self._note(f"{name}_total", "counter", labels, text)
        return Counter(full, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(self._note(name, "gauge", labels, text), text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        full = self._note(name, "histogram", labels, text)
        return Histogram(full, text, labels, buckets=buckets, registry=self.registry)

    def _note(self, name: str, kind: str, labels: tuple[str, ...], text: str) -> str:
        full = f"reconciler_{name}"
        self._declared.append(Declared(full, kind, labels, text))
        return full
