"""The simulation as CI runs it: some seeds hold, a seed is the same again, and every planted defect is found."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEFECTS = re.findall(r"^        ([a-z_]+),$", (Path(__file__).parent / "defects.py").read_text(), re.MULTILINE)


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.simulation", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_what_must_always_hold_holds_over_sixty_seeds() -> None:
    ran = simulate("--seeds", "60")
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]


def test_a_seed_replays_exactly() -> None:
    first, second = (simulate("--seed", "4", "--quiet").stdout for _ in range(2))
    assert "digest" in first
    assert first == second


@pytest.mark.parametrize("defect", [name.replace("_", "-") for name in DEFECTS])
def test_a_planted_defect_is_found(defect: str) -> None:
    ran = simulate("--defect", defect, "--seeds", "100")
    assert ran.returncode == 0, ran.stdout + ran.stderr[-2000:]
