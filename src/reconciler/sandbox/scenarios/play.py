"""What a scenario is made of, and what it may do: send, wait, expect."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from random import Random

from reconciler.domain.clock import Clock, SystemClock
from reconciler.domain.names import application_name, record_name
from reconciler.sandbox.judging import problems
from reconciler.sandbox.remains import Standing, remains, standing
from reconciler.sandbox.report import Report, external_of, outcome_of, view_of
from reconciler.sandbox.running import Sandbox
from reconciler.sandbox.samples import SAMPLES, Request, Requests, Sample
from reconciler.sandbox.watching import OperationView
from reconciler.sandbox.weather import Weather
from reconciler.sandbox.world import World

_LAST_WORDS = 10.0
_FAREWELL = 120.0
_OPERATIONS_PER_PROJECT = 10


@dataclass(frozen=True, slots=True)
class Scenario:
    """One story.

    Attributes:
        description: one line.
        play: plays it; what it expects and does not get it says with `Play.expect`.
        operations: how many there are when nobody says.
        variables: settings of the operator that the story needs.
        apart: the operator lives in a process of its own, because the story kills it.
        before: prepares the world before anything is asked for.
        farewell: removes again what the story made, after it was judged; what then stands is compared with before.
    """

    name: str
    description: str
    play: Callable[["Play"], Awaitable[None]]
    operations: int
    variables: Mapping[str, str] = field(default_factory=dict)
    apart: bool = False
    before: Callable[[World], None] = lambda _: None
    farewell: Callable[["Play"], Awaitable[None]] | None = None


@dataclass
class Chore:
    """One thing that is done at the farewell, for who watches."""

    what: str
    began: datetime
    ended: datetime | None = None

    def seconds(self, now: datetime) -> float:
        """Return how long it took, or takes until `now`."""
        return max(0.0, ((self.ended or now) - self.began).total_seconds())


class Play:
    """One performance in a sandbox that is up.

    Attributes:
        operations: how many are asked for.
        dice: everything random of the story.
        weather: over all systems, where the story does not change it.
        chores: what was done at the farewell, and is being done.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        scenario: Scenario,
        *,
        seed: int = 0,
        operations: int = 0,
        weather: Weather = Weather.CALM,
        clock: Clock | None = None,
    ) -> None:
        """Prepare; without a number of operations the scenario has its own."""
        self.sandbox = sandbox
        self.world, self.office = sandbox.world, sandbox.office
        self.scenario = scenario
        self.seed = seed
        self.operations = operations or scenario.operations
        self.dice = Random(seed)
        self.requests = Requests(self.dice)
        self.weather = weather
        self._clock = clock or SystemClock()
        self._sent: list[Request] = []
        self._problems: list[str] = []
        self._kept: dict[str, OperationView] = {}
        self._listeners: list[Callable[[Chore], None]] = []
        self.chores: list[Chore] = []

    @property
    def sent(self) -> tuple[Request, ...]:
        """The operations of this performance, in the order they were first sent."""
        return tuple(self._sent)

    async def perform(self, within: float) -> Report:
        """Play, wait for every end, judge."""
        self.scenario.before(self.world)
        before = standing(self.world)
        self.world.set_weather(self.weather)
        try:
            async with asyncio.timeout(within):
                await self.scenario.play(self)
                await self.all_ended()
        except TimeoutError:
            self._problems.append(f"not over after {within:.0f} s")
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS):
                await self.sandbox.until(self._all_announced)
        report = self._report()
        return report if self.scenario.farewell is None else await self._leave(report, self.scenario.farewell, before)

    async def _leave(self, report: Report, farewell: Callable[["Play"], Awaitable[None]], before: Standing) -> Report:
        """Remove what was made, and judge by the simulators' own lists what is left."""
        self._problems.clear()
        self._kept = {outcome.view.id: outcome.view for outcome in report.outcomes}
        try:
            async with asyncio.timeout(_FAREWELL):
                await farewell(self)
        except TimeoutError:
            self._problems.append(f"not removed after {_FAREWELL:.0f} s")
        found = remains(self.world, before)
        return replace(report, problems=(*report.problems, *self._problems, *found.problems), remains=found)

    # What a story may do.

    def now(self) -> datetime:
        """Return the time."""
        return self._clock.now()

    async def send(self, request: Request) -> Request:
        """Send a request, as one of the operations that are reported."""
        if all(request.operation_id != other.operation_id for other in self._sent):
            self._sent.append(request)
        await self.office.send(request)
        return request

    async def initialize(self, sample: Sample) -> Request:
        """Ask for a project and wait until its set-up ended."""
        request = await self.send(self.requests.initialize(sample, self._clock.now()))
        await self.office.ended(request.operation_id)
        return request

    async def deploy(self, project: str, environment: str) -> Request:
        """Ask for a deployment and wait until it is stored, so that the next one is a later one."""
        request = await self.send(self.requests.deploy(project, environment, self._clock.now()))
        await self.office.heard_of(request.operation_id)
        return request

    async def deploy_and_wait(self, project: str, environment: str) -> OperationView:
        """Ask for a deployment and wait until it ended."""
        request = await self.deploy(project, environment)
        return await self.ended(request)

    async def ended(self, request: Request) -> OperationView:
        """Wait for the last word on an operation, and until its end is seen by who looks on; return how it stands."""
        await self.office.ended(request.operation_id)
        await self.sandbox.until(lambda: (view := self.view(request)) is None or view.is_over)
        return outcome_of(self.sandbox, request).view

    async def all_ended(self) -> None:
        """Wait for the last word on every operation."""
        for request in self._sent:
            await self.office.ended(request.operation_id)

    def view(self, request: Request) -> OperationView | None:
        """Return how far an operation is; once it is removed, how it ended."""
        return self._kept.get(request.operation_id) or view_of(self.sandbox, request)

    @asynccontextmanager
    async def chore(self, what: str) -> AsyncIterator[None]:
        """Do something at the farewell, before the eyes of who watches."""
        chore = Chore(what, self._clock.now())
        self.chores.append(chore)
        yield
        chore.ended = self._clock.now()
        for listener in self._listeners:
            listener(chore)

    def listen(self, listener: Callable[[Chore], None]) -> None:
        """Tell `listener` of every chore that is done."""
        self._listeners.append(listener)

    async def cancel(self, request: Request) -> None:
        """Ask for the end of a deployment, as a person does."""
        await self.sandbox.edit("DeploymentRecord", record_name(request.operation_id), {"spec": {"cancel": True}})

    async def until_at(self, request: Request, stage: str, state: str = "Waiting") -> None:
        """Wait until a stage of a deployment, of any component, is in a state."""
        await self.sandbox.until(lambda: any(_is_at(self.view(request), stage, state)))

    def builds_of(self, request: Request) -> list[str]:
        """Return how the builds of a deployment ended, or `building`, as Jenkins counted them."""
        builds = self.world.jenkins.builds
        return [one.state for one in builds if one.parameters.get("OPERATION_ID") == request.operation_id]

    def live_images(self, sample: Sample, environment: str) -> dict[str, tuple[str, ...]]:
        """Return what runs in an environment, by application, as Argo CD has it."""
        names = (application_name(sample.name, environment, part.name) for part in sample.parts)
        return {name: self.world.argocd.live_images(name) for name in names}

    def samples(self) -> tuple[Sample, ...]:
        """Return as many projects as the operations are worth."""
        return SAMPLES[: 1 + (self.operations - 1) // _OPERATIONS_PER_PROJECT]

    def expect(self, is_so: object, otherwise: str) -> None:
        """Note a problem unless something is so."""
        if not is_so:
            self._problems.append(otherwise)

    def expect_end(self, view: OperationView, state: str, reason: str = "") -> None:
        """Note a problem unless an operation ended as it should."""
        self.expect(
            view.state == state and (not reason or view.reason == reason),
            f"{view.id} ended as {view.state} {view.reason}, expected was {state} {reason}".rstrip(),
        )

    def _all_announced(self) -> bool:
        stored = [view_of(self.sandbox, request) for request in self._sent]
        return all(view is None or view.is_over for view in stored)

    def _report(self) -> Report:
        outcomes = tuple(outcome_of(self.sandbox, request) for request in self._sent)
        self.expect(self.sandbox.is_up, "the operator is not up any more")
        found = (*self._problems, *problems(self.world, outcomes))
        return Report(self.scenario.name, self.seed, outcomes, external_of(self.world), found)


def _is_at(view: OperationView | None, stage: str, state: str) -> Iterator[bool]:
    for one in view.stages if view else ():
        yield (one.name, one.state) == (stage, state)
