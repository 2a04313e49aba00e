"""The operator's real endpoint with a wire of ours: breaker, permits, limiter, Retry-After and errors are real."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar, cast

from tests.simulation.credentials import judge
from tests.simulation.loop import Process
from tests.simulation.world import Lost, World, send

from reconciler.clients.endpoint import Endpoint, Reply
from reconciler.clients.http_errors import Asked

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
    """One system under one credential, as one process asks it. Made where the program makes its endpoints."""

    def __init__(self, system: str, base_url: str, *, clock: Process, **how: Any) -> None:
        super().__init__(system, base_url, clock=clock, **how)
        self.process: Process = clock
        self.world: World = clock.replica.world
        self.origin = base_url
        self._left_alone_until = 0.0

    async def call(
        self,
        operation: str,
        effect: Callable[[], T],
        *,
        change: bool = False,
        sent: Callable[[Process], None] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        """Ask for something; `sent` is called with the process when the request really goes out."""
        call = _Call(effect, sent, self.world.loop.time())
        token = _CALL.set(call)
        try:
            await self.ask("POST" if change else "GET", "/", is_change=change, operation=operation, headers=headers)
        finally:
            _CALL.reset(token)
        return cast("T", call.value)

    async def _attempt(self, asked: Asked, request: Any, seconds: float) -> Reply:
        world, call = self.world, _CALL.get()
        self._judge(asked, call)
        judge(world, self.process.name, self.origin, request.headers.get("authorization", ""))
        if call.sent is not None and not self.process.is_dead:
            call.sent(self.process)
        if asked.is_change:
            world.note(f"{self.process.name} sends {self.system} {asked.operation}", count=f"{self.system} changes")
        try:
            answer = await send(world, self.process, self.system, asked.operation, call.effect, seconds)
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
        if self.process.is_dead:
            return
        now = self.world.loop.time()
        if now < self._left_alone_until - _SLACK:
            left = self._left_alone_until - now
            self.world.fail(
                "rule 12", f"{asked.operation} is sent to {self.system} {left:.1f} s before its Retry-After"
            )
        patience = self.bounds.permit_timeout.total_seconds()
        waited = now - call.at
        if waited > 2 * patience + _SLACK and not self._was_frozen(call.at):
            self.world.fail("rule 11", f"{asked.operation} waited {waited:.1f} s for its turn at {self.system}")

    def _was_frozen(self, since: float) -> bool:
        return self.process.woke_at >= since
