"""What is asked before this program is called live or ready: its parts register, and are asked at each probe."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from reconciler.domain.clock import rfc3339
from reconciler.domain.health import Condition, PartState

_log = logging.getLogger(__name__)

Ask = Callable[[], PartState]
IsAlive = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class _Part:
    ask: Ask
    essential: bool


class Health:
    """The parts of this program and the systems around it.

    A part that is away makes the program degraded, not unready: only an essential one that failed does.
    """

    def __init__(self) -> None:
        self._parts: dict[str, _Part] = {}
        self._living: dict[str, IsAlive] = {}

    def register(self, name: str, ask: Ask, *, essential: bool = False) -> None:
        """Show a part as `name` (`kopf_operator`, `rabbitmq_connection`, …); `ask` must not wait."""
        self._parts[name] = _Part(ask, essential)

    def must_live(self, name: str, is_alive: IsAlive) -> None:
        """Call the program dead when `is_alive` says no: a task that must run has ended."""
        self._living[name] = is_alive

    def parts(self) -> dict[str, PartState]:
        """Ask every part."""
        return {name: _asked(name, part.ask) for name, part in self._parts.items()}

    def unready(self) -> list[str]:
        """Name the essential parts that failed."""
        return [
            name
            for name, state in self.parts().items()
            if self._parts[name].essential and state.state is Condition.FAILED
        ]

    def dead(self) -> list[str]:
        """Name the parts that must live and do not."""
        return [name for name, is_alive in self._living.items() if not is_alive()]

    def report(self) -> dict[str, object]:
        """Return what `/readyz?verbose` shows."""
        unready = self.unready()
        return {
            "status": "not ready" if unready else "ready",
            "unready": unready,
            "parts": {name: _shown(state) for name, state in self.parts().items()},
        }


def _asked(name: str, ask: Ask) -> PartState:
    try:
        return ask()
    except Exception as exc:  # noqa: BLE001 - a part that cannot even say how it is must not hide the others
        _log.exception("the state of %s cannot be told", name)
        return PartState(Condition.FAILED, f"cannot be told: {type(exc).__name__}")


def _shown(state: PartState) -> dict[str, str | None]:
    since: datetime | None = state.since
    return {"state": state.state.value, "detail": state.detail, "since": rfc3339(since) if since else None}
