"""The operator's real endpoint with a wire of ours: breaker, permits, limiter, Retry-After and errors are real."""

from collections.abc import Callable
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, TypeVar, cast

from tests.simulation.loop import Process
from tests.simulation.world import Lost, World, send

from reconciler.clients.endpoint import Bounds, Endpoint, Reply
from reconciler.clients.http_errors import Asked
from reconciler.resilience.breaker import Breaker
from reconciler.resilience.limiter import Limiter

T = TypeVar("T")
_SLACK = 0.01


class _Call:
    """One question on its way through the endpoint."""

    def __init__(self, effect: Callable[[], Any], sent: Callable[[Process], None] | None, at: float) -> None:
        self.effect = effect
        self.sent = sent
        self.at = at
        self.value: Any = None


_CALL: ContextVar[_Call] = ContextVar("call")


class Door(Endpoint):
    """One system under one credential, as one process asks it."""

    def __init__(
        self, world: World, process: Process, system: str, *, concurrency: int = 8, limiter: Limiter | None = None
    ) -> None:
        bounds = Bounds(concurrency=concurrency)
        super().__init__(
            system,
            f"http://{system}",
            bounds=bounds,
            breaker=Breaker(system, clock=process),
            limiter=limiter,
            clock=process,
        )
        self._world = world
        self._process = process
        self._left_alone_until = 0.0

    async def call(
        self,
        operation: str,
        effect: Callable[[], T],
        *,
        change: bool = False,
        sent: Callable[[Process], None] | None = None,
    ) -> T:
        """Ask for something; `sent` is called with the process when the request really goes out."""
        call = _Call(effect, sent, self._world.loop.time())
        token = _CALL.set(call)
        try:
            await self.ask("POST" if change else "GET", "/", is_change=change, operation=operation)
        finally:
            _CALL.reset(token)
        return cast("T", call.value)

    async def _attempt(self, asked: Asked, request: Any, seconds: float) -> Reply:
        world, call = self._world, _CALL.get()
        self._judge(asked, call)
        if call.sent is not None and not self._process.is_dead:
            call.sent(self._process)
        if asked.is_change:
            world.note(f"{self._process.name} sends {self.system} {asked.operation}", count=f"{self.system} changes")
        try:
            answer = await send(world, self._process, self.system, asked.operation, call.effect, seconds)
        except Lost as lost:
            raise asked.error_of_loss("the connection was lost", was_sent=lost.was_sent) from lost
        except TimeoutError as error:
            raise asked.error_of_loss(f"no answer within {seconds:g} s", was_sent=True) from error
        call.value = answer.value
        if answer.status == 429 and answer.retry_after is not None:
            self._left_alone_until = max(self._left_alone_until, world.loop.time() + answer.retry_after)
        headers = {} if answer.retry_after is None else {"retry-after": f"{answer.retry_after:.3f}"}
        return Reply(answer.status or 200, headers, b"{}", self.system)

    def _judge(self, asked: Asked, call: _Call) -> None:
        """Rules 11 and 12, as far as they can be seen where a request goes out."""
        if self._process.is_dead:
            return
        now = self._world.loop.time()
        if now < self._left_alone_until - _SLACK:
            left = self._left_alone_until - now
            self._world.fail(
                "rule 12", f"{asked.operation} is sent to {self.system} {left:.1f} s before its Retry-After"
            )
        patience = self.bounds.permit_timeout.total_seconds()
        waited = now - call.at
        if waited > 2 * patience + _SLACK and not self._was_frozen(call.at):
            self._world.fail("rule 11", f"{asked.operation} waited {waited:.1f} s for its turn at {self.system}")

    def _was_frozen(self, since: float) -> bool:
        return self._process.woke_at >= since


class OpenDoors:
    """Makes endpoints of public addresses, as `app.endpoints.Endpoints` does."""

    def __init__(self, make: Callable[[str], Any]) -> None:
        self._make = make

    def make(self, system: str, origin: str, bounds: Bounds) -> Any:
        return self._make(origin)


def window(limit: int, clock: Process) -> Limiter:
    """The limiter of a DNS account."""
    return Limiter(limit, timedelta(minutes=1), name="dns", clock=clock)
