"""Checks `docs/promises.md`: every promise names a test that keeps it, and every such test is there.

`python -m tests.promises` collects the tests and fails on one that is absent. A whole test run (`make test`) fails as
well when a test that keeps a promise was skipped: see `tests/support/promised.py`.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "promises.md"
_TEST = re.compile(r"`(tests/[\w/]+\.py::[\w:]+)(?:\[[^\]`]*\])?`")
_LINE = re.compile(r"^\| (?!promise|---)(?P<promise>[^|]+) \| (?P<tests>[^|]*) \|$", re.MULTILINE)


def promised() -> dict[str, list[str]]:
    """Return the tests of each promise, without parameters."""
    return {
        found["promise"].strip(): _TEST.findall(found["tests"])
        for found in _LINE.finditer(PAGE.read_text(encoding="utf-8"))
    }


def collected() -> set[str]:
    """Return the ids of all tests, without parameters."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "--no-header", "-p", "no:cacheprovider"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        sys.exit(f"the tests cannot be collected:\n{listed.stdout[-4000:]}{listed.stderr[-2000:]}")
    return {line.partition("[")[0] for line in listed.stdout.splitlines() if "::" in line}


def main() -> None:
    """Print what is missing and exit with 1, or count the promises."""
    promises, known = promised(), collected()
    without = [promise for promise, tests in promises.items() if not tests]
    absent = sorted({test for tests in promises.values() for test in tests if test not in known})
    for promise in without:
        print(f"no test keeps: {promise}")
    for test in absent:
        print(f"absent: {test}")
    if without or absent or not promises:
        sys.exit(1)
    print(f"{len(promises)} promises, kept by {len({t for ts in promises.values() for t in ts})} tests")


if __name__ == "__main__":
    main()
