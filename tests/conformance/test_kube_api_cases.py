"""The official cases (`contracts/kube-api-cases.yaml`), against the sandbox and against a real kube-apiserver."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.envtest import RealApi

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
TOOL = SHARED / "tools" / "kube_api_cases.py"
CASES = SHARED / "contracts" / "kube-api-cases.yaml"
LONGEST = 600

ABSENT_IN_A_BARE_SERVER = ("rbac", "watchlist", "gc", "nsctl")
"""Tags of what a kube-apiserver without controllers, on an older etcd, does not have."""

KNOWN_DIFFERENCES = {
    "CEL rule and transition rule": 'servers before 1.36 write `Invalid value: "object": <message>`',
    "list and get with odd resourceVersion": "a fresh etcd has compacted nothing, so revision 1 can still be listed",
}

pytestmark = pytest.mark.skipif(
    not (CASES.exists() and TOOL.exists()), reason=f"there are no official cases in {SHARED}"
)


@pytest.fixture
def sandbox_url() -> Iterator[str]:
    command = [sys.executable, "-m", "reconciler.sandbox.kube"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def failed_cases(url: str, token: str, *skipped_tags: str) -> set[str]:
    """Run the official tool, print what it says, and return the names of the cases that failed."""
    skips = [part for tag in skipped_tags for part in ("--skip", tag)]
    command = [sys.executable, str(TOOL), "--server", url, "--token", token, *skips, str(CASES)]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=False, env=environment)
    print(done.stdout)
    assert re.search(r"\d+ passed, \d+ failed", done.stdout), done.stderr
    return set(re.findall(r"^FAIL +[\d.]+s (.+)$", done.stdout, re.MULTILINE))


def test_the_sandbox_passes_all_official_cases(sandbox_url: str) -> None:
    assert failed_cases(sandbox_url, "sandbox", "rbac") == set()


def test_a_real_api_passes_the_same_cases(real_api: RealApi) -> None:
    failed = failed_cases(real_api.url, real_api.token, *ABSENT_IN_A_BARE_SERVER)
    assert failed - KNOWN_DIFFERENCES.keys() == set()
