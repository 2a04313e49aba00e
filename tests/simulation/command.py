"""The command line of the simulation."""

import argparse
import gc
import time
import warnings
from collections import Counter

from tests.simulation.defects import DEFECTS
from tests.simulation.run import Result, run_seed


def main() -> int:
    """Run what is asked for; 1 when a violation was found, or a planted defect was not."""
    arguments = _arguments()
    warnings.simplefilter("ignore", RuntimeWarning)  # a kill leaves coroutines behind that were never begun
    gc.disable()
    if arguments.seed is not None:
        defect = DEFECTS[arguments.defect]() if arguments.defect else None
        return _tell(run_seed(arguments.seed, defect=defect, is_verbose=not arguments.quiet))
    if arguments.defects or arguments.defect:
        names = [arguments.defect] if arguments.defect else list(DEFECTS)
        return max(_find(name, arguments.first, arguments.seeds) for name in names)
    return _run_many(arguments.first, arguments.seeds, keep_going=arguments.keep_going)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="replay one seed and tell everything")
    parser.add_argument("--defect", choices=list(DEFECTS), help="switch a planted defect on")
    parser.add_argument("--defects", action="store_true", help="find every planted defect")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first violation")
    parser.add_argument("--quiet", action="store_true", help="with --seed: tell only the end")
    return parser.parse_args()


def _run_many(first: int, count: int, *, keep_going: bool) -> int:
    began, totals, failed = time.process_time(), Counter[str](), 0
    steps, simulated = 0, 0.0
    for seed in range(first, first + count):
        result = run_seed(seed)
        totals += result.counts
        _collect(seed)
        steps, simulated = steps + result.steps, simulated + result.seconds
        if result.violation:
            failed += 1
            if keep_going:
                print(f"seed {seed}: {result.violation.splitlines()[0]}", flush=True)
            else:
                return _tell(result)
    spent = time.process_time() - began
    print(f"{count} seeds, {failed} with a violation, {steps} steps, {simulated / 3600:.0f} h, {spent:.0f} s CPU")
    print(", ".join(f"{name} {number}" for name, number in sorted(totals.items())))
    return 1 if failed else 0


def _find(name: str, first: int, count: int) -> int:
    began = time.process_time()
    for seed in range(first, first + count):
        result = run_seed(seed, defect=DEFECTS[name]())
        _collect(seed)
        if result.violation:
            spent = time.process_time() - began
            print(f"{name}: found by seed {seed} ({spent:.0f} s): {result.violation.splitlines()[0]}", flush=True)
            return 0
    print(f"{name}: NOT FOUND in {count} seeds", flush=True)
    return 1


def _collect(seed: int) -> None:
    """Take the garbage out now and then: while a seed runs that costs more than it frees."""
    if seed % 10 == 0:
        gc.collect()


def _tell(result: Result) -> int:
    print(f"\nseed {result.seed}, {result.steps} steps, {result.seconds:.0f} s simulated, digest {result.digest[:16]}")
    if not result.violation:
        print("everything holds")
        return 0
    print(result.tale)
    print(f"\n{result.violation}\n\nreplay: python -m tests.simulation --seed {result.seed}")
    return 1
