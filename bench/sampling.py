"""Where the CPU goes: every few milliseconds of CPU the stack is looked at and counted under a stage and a part."""

import re
import signal
from collections import Counter
from types import FrameType

_EVERY = 0.005
_STAGE = re.compile(r"reconciler/deployments/stages/(\w+)\.py$")
_WHERE = (
    (re.compile(r"reconciler/intake/"), "intake"),
    (re.compile(r"reconciler/reporting/events"), "events"),
    (re.compile(r"reconciler/reporting/(heartbeats|outbox|beats|announc)"), "heartbeats"),
    (re.compile(r"reconciler/clients/feeds"), "feeds of builds and applications"),
    (re.compile(r"reconciler/(deployments|engine)/"), "deployments: decide and store"),
    (re.compile(r"reconciler/environments/"), "environments"),
    (re.compile(r"reconciler/projects/"), "set-ups"),
    (re.compile(r"reconciler/operator/shell|/kopf/"), "kopf"),
    (re.compile(r"/reconciler/"), "other parts"),
    (re.compile(r"/(aio_pika|aiormq|pamqp)/"), "amqp frames"),
    (re.compile(r"/aiohttp/"), "http frames"),
)


class Sampler:
    """Counts samples of CPU by where they fell."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._kept: dict[str, str] = {}

    def start(self) -> None:
        """Begin; the signal is this process's own CPU clock."""
        signal.signal(signal.SIGPROF, self._sample)
        signal.siginterrupt(signal.SIGPROF, False)  # noqa: FBT003 - has no names
        signal.setitimer(signal.ITIMER_PROF, _EVERY, _EVERY)

    def take(self) -> dict[str, int]:
        """Return the counts since the last time."""
        counts, self.counts = dict(self.counts), Counter()
        return counts

    def _sample(self, _: int, frame: FrameType | None) -> None:
        found = ""
        while frame is not None:
            path = frame.f_code.co_filename
            if (label := self._kept.get(path)) is None:
                label = self._kept[path] = _label(path)
            if label.startswith("stage"):
                found = label
                break
            # The innermost part that is known, but frames and other parts only where nothing else called them.
            if label and (not found or found.endswith("frames") or found == "other parts"):
                found = label
            frame = frame.f_back
        self.counts[found or "event loop"] += 1


def _label(path: str) -> str:
    if stage := _STAGE.search(path):
        return f"stage {stage[1]}"
    return next((name for pattern, name in _WHERE if pattern.search(path)), "")
