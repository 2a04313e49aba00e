"""The command line of the simulation."""

import argparse
import gc
import time
import warnings
from pathlib import Path

from tests.simulation.defects import DEFECTS
from tests.simulation.many import CHUNK, Found, cores, run_many
from tests.simulation.run import Result, run_seed


def main() -> int:
    """Run what is asked for; 1 when a violation was found, or a planted defect was not."""
    arguments = _arguments()
    warnings.simplefilter("ignore", RuntimeWarning)  # a kill leaves coroutines behind that were never begun
    gc.disable()
    if arguments.seed is not None:
        defect = DEFECTS[arguments.defect].plant() if arguments.defect else None
        return _tell(run_seed(arguments.seed, defect=defect, is_verbose=not arguments.quiet))
    if arguments.defects or arguments.defect:
        names = [arguments.defect] if arguments.defect else list(DEFECTS)
        return max([_find(name, arguments.first, arguments.seeds) for name in names])
    return _run_many(arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many seeds")
    parser.add_argument("--from", type=int, dest="first", help="the first seed; default 0, or a defect's own")
    parser.add_argument("--jobs", type=int, default=cores(), help="processes at once; default: one per core")
    parser.add_argument("--json", type=Path, metavar="FILE", help="append what was run; run nothing of it again")
    parser.add_argument("--chunk", type=int, default=CHUNK, help="seeds that a process takes at once: a line there")
    parser.add_argument("--seed", type=int, help="replay one seed and tell everything")
    parser.add_argument("--defect", choices=list(DEFECTS), help="switch a planted defect on")
    parser.add_argument("--defects", action="store_true", help="find every planted defect")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first violation")
    parser.add_argument("--quiet", action="store_true", help="with --seed: tell only the end")
    return parser.parse_args()


def _run_many(arguments: argparse.Namespace) -> int:
    tally = run_many(
        arguments.first or 0,
        arguments.seeds,
        jobs=arguments.jobs,
        keeps_going=arguments.keep_going,
        file=arguments.json,
        each=arguments.chunk,
    )
    print(tally.told(), flush=True)
    if tally.found and not arguments.keep_going:
        _tell_found(tally.found[0])
    return 1 if tally.found else 0


def _find(name: str, first: int | None, count: int) -> int:
    began, defect = time.process_time(), DEFECTS[name]
    start = defect.seed if first is None else first
    for seed in range(start, start + count):
        result = run_seed(seed, defect=defect.plant())
        gc.collect()
        if result.violation.startswith(("bug", "endless")):
            print(f"{name}: BROKEN at seed {seed}, it is found by an accident: {result.violation}", flush=True)
            return 1
        if result.violation:
            spent = time.process_time() - began
            print(f"{name}: found by seed {seed} ({spent:.0f} s): {result.violation.splitlines()[0]}", flush=True)
            return 0
    print(f"{name}: NOT FOUND in {count} seeds from {start}", flush=True)
    return 1


def _tell(result: Result) -> int:
    print(f"\nseed {result.seed}, {result.steps} steps, {result.seconds:.0f} s simulated, digest {result.digest[:16]}")
    if not result.violation:
        print("everything holds")
        return 0
    _tell_found(Found(result.seed, result.violation, result.tale))
    return 1


def _tell_found(found: Found) -> None:
    print(f"\n{found.tale}\n\n{found.what}\n\nreplay: python -m tests.simulation --seed {found.seed}", flush=True)
