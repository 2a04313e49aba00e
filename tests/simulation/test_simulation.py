"""The simulation as CI runs it: some seeds hold, a seed is the same again, and every planted defect is found."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.simulation.defects import DEFECTS

ROOT = Path(__file__).parents[2]


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.simulation", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_what_must_always_hold_holds_over_a_dozen_seeds() -> None:
    ran = simulate("--seeds", "12", "--chunk", "3")
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]


def test_a_seed_replays_exactly() -> None:
    first, second = (simulate("--seed", "4", "--quiet").stdout for _ in range(2))
    assert "digest" in first
    assert first == second


def test_a_long_run_goes_on_where_it_was_left_and_counts_the_same(tmp_path: Path) -> None:
    whole, file = tmp_path / "whole", tmp_path / "parts"
    simulate("--seeds", "5", "--chunk", "3", "--json", str(whole), "--jobs", "1")
    simulate("--seeds", "3", "--chunk", "3", "--json", str(file), "--jobs", "1")
    lines = file.read_text()
    ran = simulate("--seeds", "5", "--chunk", "3", "--json", str(file), "--jobs", "2")
    assert file.read_text().startswith(lines)
    chunks = [[json.loads(line) for line in one.read_text().splitlines()] for one in (whole, file)]
    assert [[chunk["counts"] for chunk in each] for each in chunks] == [[chunk["counts"] for chunk in chunks[0]]] * 2
    assert ran.stdout.startswith("5 seeds, 0 with a violation")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("defect", list(DEFECTS))
def test_a_planted_defect_is_found(defect: str) -> None:
    ran = simulate("--defect", defect, "--seeds", "100")
    assert re.match(rf"{defect}: found by seed ", ran.stdout), ran.stdout


def test_a_violation_is_told_with_its_seed_a_trace_and_how_to_replay_it() -> None:
    ran = simulate("--defect", "ack-before-store", "--seed", str(DEFECTS["ack-before-store"].seed), "--quiet")
    assert ran.returncode == 1
    assert "rule 1: " in ran.stdout
    assert "replay: python -m tests.simulation --seed" in ran.stdout
