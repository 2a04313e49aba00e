"""The command line of the kill matrix."""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import Any

from kills.points import unreached
from kills.run import Result, run_matrix, run_random
from support.rabbitmq import a_rabbitmq, why_no_rabbitmq


def main() -> int:
    """Run what is asked for; 1 when a promise was broken or a point not reached."""
    arguments = _arguments()
    if (reason := why_no_rabbitmq()) is not None:
        print(f"a real RabbitMQ is needed: {reason}")
        return 1
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        folder = arguments.folder or Path(name)
        with a_rabbitmq(_made(folder / "rabbitmq")) as node:
            runs: list[Coroutine[Any, Any, Result]] = []
            if not arguments.random_only:
                runs.append(run_matrix(node.url, _made(folder / "matrix"), only=arguments.only, say=_say))
            if arguments.random:
                runs.append(run_random(node.url, _made(folder / "random"), arguments.random, arguments.seed, say=_say))
            return max(_told(asyncio.run(run)) for run in runs)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("--random", type=int, default=0, help="kill so often at random times, after the matrix")
    parser.add_argument("--only", default="", help="kill only at points with these words in their name")
    parser.add_argument("--random-only", action="store_true", help="leave the matrix out")
    parser.add_argument("--folder", type=Path, help="a new folder for what the operators said, to be kept")
    parser.add_argument("--seed", type=int, default=1, help="of the random times")
    return parser.parse_args()


def _told(result: Result) -> int:
    spent = sum(getrusage(who).ru_utime + getrusage(who).ru_stime for who in (RUSAGE_SELF, RUSAGE_CHILDREN))
    print(f"{result}, {spent:.0f} s CPU")
    wrong = [*result.verdict.problems, *(f"logged: {line}" for line in result.said)]
    if result.points:
        wrong += [f"not reached: {point}" for point in result.points if point not in result.killed_at]
        wrong += [f"declared and not reached: {side} {moment}" for moment, side in sorted(unreached(result.reached))]
    for line in wrong:
        print(f"  {line}")
    sys.stdout.flush()
    return 1 if wrong else 0


def _say(line: str) -> None:
    print(line, flush=True)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder
