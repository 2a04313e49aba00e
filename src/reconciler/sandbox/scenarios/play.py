"""What a scenario is made of, and what it may do: send, wait, expect."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from random import Random

from reconciler.domain.clock import Clock, SystemClock
from reconciler.sandbox.judging import problems
from reconciler.sandbox.report import Report, external_of, outcome_of, view_of
from reconciler.sandbox.running import Sandbox
from reconciler.sandbox.samples import SAMPLES, Request, Requests, Sample
from reconciler.sandbox.watching import OperationView
from reconciler.sandbox.weather import Weather

_LAST_WORDS = 10.0
_OPERATIONS_PER_PROJECT = 10


@dataclass(frozen=True, slots=True)
class Scenario:
    """One story.

    Attributes:
        description: one line.
        play: plays it; what it expects and does not get it says with `Play.expect`.
        operations: how many there are when nobody says.
        variables: settings of the operator that the story needs.
    """

    name: str
    description: str
    play: Callable[["Play"], Awaitable[None]]
    operations: int
    variables: Mapping[str, str] = field(default_factory=dict)


class Play:
    """One performance in a sandbox that is up.

    Attributes:
        operations: how many are asked for.
        dice: everything random of the story.
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
        self._weather = weather
        self._clock = clock or SystemClock()
        self._sent: list[Request] = []
        self._problems: list[str] = []

    @property
    def sent(self) -> tuple[Request, ...]:
        """The operations of this performance, in the order they were first sent."""
        return tuple(self._sent)

    async def perform(self, within: float) -> Report:
        """Play, wait for every end, judge."""
        self.world.set_weather(self._weather)
        try:
            async with asyncio.timeout(within):
                await self.scenario.play(self)
                await self.all_ended()
        except TimeoutError:
            self._problems.append(f"not over after {within:.0f} s")
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS):
                await self.sandbox.until(self._all_announced)
        return self._report()

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
        """Wait for the last word on an operation and return how it stands."""
        await self.office.ended(request.operation_id)
        return outcome_of(self.sandbox, request).view

    async def all_ended(self) -> None:
        """Wait for the last word on every operation."""
        for request in self._sent:
            await self.office.ended(request.operation_id)

    def view(self, request: Request) -> OperationView | None:
        """Return how far an operation is."""
        return view_of(self.sandbox, request)

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
