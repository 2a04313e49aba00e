"""A failed test is reported whatever the garbage collector finds meanwhile."""

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[2]
FAILING = """
import ast
import gc


class ParsesWhenFreed:
    def __init__(self):
        self.me = self

    def __del__(self):
        parse(20)


def parse(frames_deeper):
    return parse(frames_deeper - 1) if frames_deeper else ast.parse("a")


def leave_another(phase, _):
    if phase == "stop":
        ParsesWhenFreed()


def test_that_fails():
    gc.callbacks.append(leave_another)
    ParsesWhenFreed()
    gc.set_threshold(10)
    assert [1, 2] == [3]
"""


def test_a_failed_test_is_reported_whatever_is_freed_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "test_failing.py").write_text(FAILING)
    command = [sys.executable, "-m", "pytest", "-p", "support.reports", "-p", "no:cacheprovider", "-q", str(tmp_path)]

    run = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(TESTS)}, capture_output=True, text=True, check=False
    )

    assert "1 failed" in run.stdout, run.stdout
    assert "INTERNALERROR" not in run.stdout
    assert run.returncode == 1
