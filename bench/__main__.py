"""`python -m bench [--only NAME] [--quick] [--json FILE]`."""

import argparse
import asyncio
import logging
import os
import platform
import time
from functools import partial
from pathlib import Path

from bench.figures.crashing import crashing
from bench.figures.deploying import deploying
from bench.figures.drift import drift
from bench.figures.guarding import guarding
from bench.figures.lifetimes import lifetimes
from bench.figures.memory import memory
from bench.figures.outage import outage
from bench.figures.starting import starting
from bench.figures.waiting import waiting
from bench.rows import Table

PARTS = {
    "deploying": deploying,
    "waiting": waiting,
    "memory": memory,
    "lifetimes": lifetimes,
    "starting": starting,
    "guarding": guarding,
    "crashing": crashing,
    "outage": outage,
    "drift": drift,
}


async def _measure(names: list[str], table: Table, *, quick: bool) -> None:
    for name in names:
        await PARTS[name](table, quick=quick)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure; nothing is asserted.")
    parser.add_argument("--only", choices=PARTS, action="append", help="measure this part; may be given several times")
    parser.add_argument("--quick", action="store_true", help="smaller numbers, for a look")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rows there as well")
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    table, began = Table(say=partial(print, flush=True)), time.monotonic()
    table.say(f"{os.cpu_count()} cores, Python {platform.python_version()}")
    asyncio.run(_measure(options.only or list(PARTS), table, quick=options.quick))
    table.say(f"\nmeasured in {time.monotonic() - began:.0f} s")
    if options.json:
        table.write(options.json)


if __name__ == "__main__":
    main()
