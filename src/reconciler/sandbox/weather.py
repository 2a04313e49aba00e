"""The weather over one simulated system: what a network and a tired server do to requests, on demand and by seed."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum


class Weather(StrEnum):
    """How a simulated system behaves as a whole."""

    CALM = "calm"
    SLOW = "slow"
    FLAPPING = "flapping"
    DOWN = "down"
    RATE_LIMITED = "rate-limited"


class Strike(StrEnum):
    """What happens to one request instead of a plain answer."""

    NONE = "none"
    REFUSE = "refuse"
    """The connection is cut before anything is done."""
    LOSE_ANSWER = "lose-answer"
    """The request is carried out, then the connection is cut without an answer."""
    UNAVAILABLE = "unavailable"
    """503 as the real system words it; nothing is done."""
    LIMIT = "limit"
    """429 as the real system words it; nothing is done."""


@dataclass
class Planned:
    """A strike planned for the next requests that match."""

    strike: Strike
    times: int
    matches: Callable[[str, str], bool]


@dataclass
class Faults:
    """What one simulated system does wrong. Everything random comes from `seed`."""

    weather: Weather = Weather.CALM
    latency: float = 0.0
    """Seconds before each answer; `slow` weather adds up to a second."""
    retry_after: int | None = None
    """Seconds that a 429 of the weather asks for; None: as the real system words it."""
    flapping: float = 0.3
    """The share of requests that flapping weather strikes."""
    limited: float = 0.5
    """The share of requests that rate-limited weather turns away."""
    seed: int = 0
    planned: list[Planned] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start the dice."""
        self.dice = random.Random(self.seed)

    def plan(self, strike: Strike, *, times: int = 1, method: str = "", path: str = "") -> None:
        """Strike the next `times` requests whose method is `method` and whose path contains `path` (empty: any)."""
        self.planned.append(Planned(strike, times, lambda m, p: (not method or m == method) and path in p))

    def delay(self) -> float:
        """Return the seconds that the next answer takes longer."""
        return self.latency + (self.dice.uniform(0.1, 1.0) if self.weather is Weather.SLOW else 0.0)

    def strike(self, method: str, path: str) -> Strike:
        """Decide what happens to a request."""
        for plan in self.planned:
            if plan.times > 0 and plan.matches(method, path):
                plan.times -= 1
                return plan.strike
        match self.weather:
            case Weather.DOWN:
                return Strike.REFUSE
            case Weather.FLAPPING if self.dice.random() < self.flapping:
                return self.dice.choice([Strike.REFUSE, Strike.UNAVAILABLE, Strike.LOSE_ANSWER])
            case Weather.RATE_LIMITED if self.dice.random() < self.limited:
                return Strike.LIMIT
            case _:
                return Strike.NONE
