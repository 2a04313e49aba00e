"""`python -m bench.operator`: the operator alone in a process, with a look at where its CPU goes."""

import argparse
import asyncio
import cProfile
import gc
import os
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.children import say, serve
from bench.sampling import Sampler
from reconciler.app.heap import settle_heap
from reconciler.app.operator import Operator
from reconciler.app.working import Workers
from reconciler.cli.run import credentials_of
from reconciler.domain.keys import DEPLOYMENT_RECORD, Key
from reconciler.settings import Settings, load
from reconciler.telemetry.logs import set_up_logs

_UNLIMITED = 1_000_000


def settings_of(environ: Mapping[str, str]) -> Settings:
    """Read the settings; the provider's limit for DNS is lifted, because hundreds of first records are made here."""
    settings = load(environ)
    return settings.model_copy(
        update={"godaddy": settings.godaddy.model_copy(update={"requests_per_minute": _UNLIMITED})}
    )


class FirstLooks:
    """When each deployment was looked at first in this life, by name: seconds of the clock that all processes share."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}

    def listen(self) -> None:
        """Hear of every look that ended well from now on."""
        ordinary = Workers.look

        async def look(workers: Workers, key: Key) -> datetime | None:
            due = await ordinary(workers, key)
            if key.kind == DEPLOYMENT_RECORD.kind:
                self.at.setdefault(key.name, time.monotonic())
            return due

        Workers.look = look  # type: ignore[method-assign]


async def _main(profile: Path | None, *, sampling: bool) -> None:
    settings = settings_of(os.environ)
    settle_heap()
    operator, sampler, looks = Operator(settings, credentials_of(settings)), Sampler(), FirstLooks()
    looks.listen()
    set_up_logs(operator.secrets, level="error", format_="json")
    profiler = cProfile.Profile() if profile else None

    async def answer(command: str, asked: Mapping[str, Any]) -> Any:
        match command:
            case "samples":
                return sampler.take()
            case "record":
                return operator.cache.read(Key("DeploymentRecord", asked["namespace"], asked["name"]))
            case "looks":
                samples = (one for family in operator.metrics.registry.collect() for one in family.samples)
                return sum(one.value for one in samples if one.name == "reconciler_looks_total")
            case "first looks":
                return looks.at
            case "collect":
                return gc.collect()
            case "profile" if profiler and profile:
                return profiler.enable() if asked["on"] else profiler.dump_stats(profile)
            case _:
                raise ValueError(command)

    running = asyncio.create_task(operator.run())
    ready = asyncio.create_task(operator.ready.wait())
    await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
    if not running.done():
        await operator.shell.watching()
        await operator.rabbitmq.connected()
        if sampling:
            sampler.start()
        say({"web": operator.web.url})
        await serve(answer)
        operator.stop()
    await running


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--profile", type=Path)
    parser.add_argument("--sampling", action="store_true")
    options = parser.parse_args()
    asyncio.run(_main(options.profile, sampling=options.sampling))
