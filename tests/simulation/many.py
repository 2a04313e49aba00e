"""Many seeds on all cores, in chunks that are written down as they are done, so that a long run can go on later."""

import gc
import json
import multiprocessing
import os
import subprocess
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tests.simulation.run import run_seed

CHUNK = 25
_CHUNKS_OF_A_PROCESS = 40
"""Then a fresh one takes its place: what the runs leave in memory does not add up."""


@dataclass(frozen=True, slots=True)
class Found:
    """A violation."""

    seed: int
    what: str
    tale: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """What came of some seeds in a row; a line of the file."""

    first: int
    seeds: int
    commit: str = ""
    steps: int = 0
    simulated: float = 0.0
    cpu: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    found: tuple[Found, ...] = ()


class Tally:
    """All chunks together."""

    def __init__(self) -> None:
        self.seeds = self.steps = 0
        self.simulated = self.cpu = 0.0
        self.counts: Counter[str] = Counter()
        self.found: list[Found] = []

    def add(self, chunk: Chunk) -> None:
        self.seeds += chunk.seeds
        self.steps += chunk.steps
        self.simulated += chunk.simulated
        self.cpu += chunk.cpu
        self.counts += Counter(chunk.counts)
        self.found += chunk.found

    def told(self) -> str:
        """Tell it in three lines."""
        head = (
            f"{self.seeds} seeds, {len(self.found)} with a violation; {self.simulated / 3600:.0f} h simulated in "
            f"{self.steps} steps, {self.cpu:.0f} s CPU"
        )
        counts = ", ".join(f"{name} {number}" for name, number in sorted(self.counts.items()))
        return "\n".join([head, counts, *(f"seed {one.seed}: {one.what.splitlines()[0]}" for one in self.found)])


def run_many(
    first: int, count: int, *, jobs: int, keeps_going: bool, file: Path | None = None, each: int = CHUNK
) -> Tally:
    """Run `count` seeds, but not again what the file has of this commit. Stop at the first violation, or go on."""
    tally, commit = Tally(), commit_of_this()
    done = {chunk.first: chunk for chunk in _written(file) if chunk.commit == commit}
    asked = [Chunk(at, min(each, first + count - at), commit) for at in range(first, first + count, each)]
    for chunk in asked:
        if _is_done(chunk, done):
            tally.add(done[chunk.first])
    left = [chunk for chunk in asked if not _is_done(chunk, done)]
    for chunk in _run_all(left, jobs, keeps_going=keeps_going):
        tally.add(chunk)
        if file is not None:
            with file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(asdict(chunk)) + "\n")
        if chunk.found and not keeps_going:
            break
    return tally


def commit_of_this() -> str:
    """Return the commit that is simulated, with a `+` where files were changed since; empty outside of a clone."""
    root = Path(__file__).parent
    said = [
        subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False).stdout.strip()
        for words in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
    ]
    return said[0] + ("+" if said[1] else "")


def cores() -> int:
    """Return how many processes can run at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _run_all(chunks: Iterable[Chunk], jobs: int, *, keeps_going: bool) -> Iterator[Chunk]:
    """Yield chunks as they are done; whoever stops asking ends what still runs."""
    todo = iter(chunks)
    spawn = multiprocessing.get_context("spawn")  # inherits PYTHONHASHSEED, and nothing that was run here
    pool = ProcessPoolExecutor(jobs, mp_context=spawn, max_tasks_per_child=_CHUNKS_OF_A_PROCESS)
    under_way: set[Future[Chunk]] = set()
    try:
        under_way = {pool.submit(_run_chunk, chunk, keeps_going) for chunk in islice(todo, jobs)}
        while under_way:
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            under_way |= {pool.submit(_run_chunk, chunk, keeps_going) for chunk in islice(todo, len(done))}
            yield from (one.result() for one in done)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _run_chunk(asked: Chunk, keeps_going: bool) -> Chunk:  # noqa: FBT001 - sent to another process
    warnings.simplefilter("ignore", RuntimeWarning)  # a kill leaves coroutines behind that were never begun
    gc.disable()  # while a seed runs that costs more than it frees
    began, counts = time.process_time(), Counter[str]()
    seeds = steps = 0
    simulated, found = 0.0, list[Found]()
    for seed in range(asked.first, asked.first + asked.seeds):
        result = run_seed(seed)
        seeds, steps, simulated = seeds + 1, steps + result.steps, simulated + result.seconds
        counts += result.counts
        if result.violation:
            found.append(Found(seed, result.violation, result.tale))
            if not keeps_going:
                break
    gc.collect()
    cpu = time.process_time() - began
    return Chunk(asked.first, seeds, asked.commit, steps, simulated, cpu, dict(counts), tuple(found))


def _is_done(chunk: Chunk, done: dict[int, Chunk]) -> bool:
    return chunk.first in done and done[chunk.first].seeds >= chunk.seeds


def _written(file: Path | None) -> Iterator[Chunk]:
    if file is None or not file.exists():
        return
    for line in file.read_text(encoding="utf-8").splitlines():
        read: dict[str, Any] = json.loads(line)
        yield Chunk(**{**read, "found": tuple(Found(**one) for one in read["found"])})
