"""What becomes of a request: how long it takes, and whether it arrives, is done, and is answered. Drawn from a seed."""

from dataclasses import dataclass, field
from random import Random

SYSTEMS = ("kubernetes", "jenkins", "argocd", "registry", "dns", "address")
"""Systems that are asked; the broker has a weather of its own."""
_KINDS = ("flaky", "flaky", "down", "hanging", "busy", "limited", "denied", "slow")


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one request.

    Attributes:
        out: seconds until it arrives.
        back: seconds until its answer arrives.
        arrives: whether it is done there.
        answers: whether an answer comes back; else the connection is lost, or (`hangs`) nothing comes at all.
        refused: the connection is never made.
        status: an answer that says no, with nothing done; 0: what the system itself says.
        retry_after: seconds, said with `status`.
    """

    out: float
    back: float
    arrives: bool = True
    answers: bool = True
    refused: bool = False
    hangs: bool = False
    status: int = 0
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Spell:
    """Some time of bad weather."""

    begins: float
    ends: float
    kind: str


@dataclass
class Weather:
    """The weather of all systems until `calm_at`; after it all is well."""

    random: Random
    calm_at: float
    badness: float
    spells: dict[str, list[Spell]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for system in SYSTEMS:
            count = self.random.choice((0, 0, 1, 2, 3)) if self.badness else 0
            self.spells[system] = [self._spell(system) for _ in range(count)]

    def _spell(self, system: str) -> Spell:
        begins = self.random.uniform(0, self.calm_at)
        longest = 120 if system == "kubernetes" else 400
        kind = self.random.choice(_KINDS)
        return Spell(begins, min(self.calm_at, begins + self.random.uniform(5, longest)), kind)

    def keep_away(self, system: str, begins: float, ends: float, kind: str) -> None:
        """Have one spell more, whatever else was drawn for that time."""
        self.spells[system].insert(0, Spell(begins, min(ends, self.calm_at), kind))

    def fate(self, system: str, now: float) -> Fate:
        """Draw what becomes of a request sent now."""
        spell = next((one for one in self.spells[system] if one.begins <= now < one.ends), None)
        draw = self.random
        out, back = draw.uniform(0.005, 0.1), draw.uniform(0.005, 0.1)
        if now >= self.calm_at or (spell is None and draw.random() > self.badness):
            return Fate(out, back)
        kind = spell.kind if spell else "flaky"
        if kind == "flaky" and spell is not None and draw.random() > 0.4:
            return Fate(out, back)
        return self._bad(kind, out, back)

    def _bad(self, kind: str, out: float, back: float) -> Fate:
        draw = self.random
        match kind:
            case "down":
                return Fate(out, back, arrives=False, refused=True)
            case "hanging":
                return Fate(out, back, arrives=draw.random() < 0.3, answers=False, hangs=True)
            case "busy":
                wait = draw.choice((None, draw.uniform(1, 40)))
                return Fate(out, back, arrives=False, status=503, retry_after=wait)
            case "limited":
                return Fate(out, back, arrives=False, status=429, retry_after=draw.uniform(2, 90))
            case "denied":
                return Fate(out, back, arrives=False, status=draw.choice((401, 403)))
            case "slow":
                return Fate(draw.uniform(0.1, 18), draw.uniform(0.1, 18))
            case _:
                return self._flaky(out, back)

    def _flaky(self, out: float, back: float) -> Fate:
        draw = self.random
        match draw.randrange(8):
            case 0:
                return Fate(out, back, arrives=False, refused=True)
            case 1:
                return Fate(out, back, arrives=False, answers=False)
            case 2 | 3:
                return Fate(draw.uniform(0.01, 6), back, answers=False)
            case 4:
                return Fate(out, back, arrives=draw.random() < 0.5, answers=False, hangs=True)
            case 5:
                return Fate(out, back, arrives=draw.random() < 0.5, status=draw.choice((500, 502, 504)))
            case 6:
                return Fate(out, back, arrives=False, status=draw.choice((429, 503)), retry_after=draw.uniform(1, 20))
            case _:
                return Fate(draw.uniform(0.1, 8), draw.uniform(0.1, 8))
