"""A process that has loaded `reconciler run` and bears one life of it after another; most of a start is loading.

Started by `lives.py`. One JSON line in: `{"environ": {...}, "log": path, "notes": path, "kill_at": [point, ...]}`; then
out: `{"pid": n}`, and `{"ended": code}` when that life is over, negative for a signal. A life notes every point that it
reaches, each once, and kills itself at the first of those it is to be killed at.
"""

import ctypes
import gc
import json
import os
import signal
import sys
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import aio_pika  # noqa: F401 - loaded here, so that no life has to
import aiormq.channel
import kopf  # noqa: F401

import reconciler.app.operator  # noqa: F401
from kills.points import CONFIRM, Point
from reconciler.cli import main as reconciler_command
from reconciler.resilience.moments import listen

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Bear lives until nobody asks for more."""
    _die_with_parent()
    gc.freeze()  # the lives share what is loaded as long as nobody touches it
    for line in sys.stdin:
        wanted = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _live(wanted)
        _say(pid=pid)
        _, status = os.waitpid(pid, 0)
        _say(ended=os.waitstatus_to_exitcode(status))


def _say(**what: int) -> None:
    print(json.dumps(what), flush=True)


def _live(wanted: Mapping[str, Any]) -> NoReturn:
    _die_with_parent()
    log = os.open(wanted["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, target in ((0, nothing), (1, log), (2, log)):
        os.dup2(target, number)
    os.environ.clear()
    os.environ.update(wanted["environ"])
    notes = Notes(wanted["notes"], wanted["kill_at"])
    listen(notes.passing)
    _hear_confirms(notes)
    code = 1
    try:
        reconciler_command(["run"], standalone_mode=False)
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        os._exit(code)


_OWN_QUEUE = "amq.gen-"
"""How the broker names the queue in which a replica hears itself."""


class Notes:
    """Notes the points a life reaches, and ends it at one of them."""

    def __init__(self, path: str, kill_at: Iterable[str]) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._kill_at = frozenset(map(Point.read, kill_at))
        self._noted: set[Point] = set()

    def passing(self, moment: str, side: str, about: str) -> None:
        """Hear of a moment, but for those of the proof of life: its messages are nobody's operation."""
        if about.startswith(_OWN_QUEUE):
            return
        point = Point.at(moment, side, about)
        if point not in self._noted:
            self._noted.add(point)
            os.write(self._file, f"{point}\n".encode())
        if point in self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def _hear_confirms(notes: Notes) -> None:
    """Hear of a confirm that came from the broker before anybody here knows of it."""
    channel: Any = aiormq.channel.Channel
    take = channel._on_confirm_frame

    async def heard(self: Any, frame: Any) -> None:
        notes.passing(CONFIRM, "before", "of a message")
        await take(self, frame)

    channel._on_confirm_frame = heard


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
