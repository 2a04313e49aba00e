"""The sandbox as its user has it: the program in a process of its own, and kubectl beside it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

NAMESPACE = "freeleaps-devops-system"
PATIENCE = 60.0
PROGRAM = str(Path(sys.executable).with_name("reconciler"))


def start(*arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Start the program with a clean environment."""
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **variables}
    return subprocess.Popen(
        [PROGRAM, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@dataclass
class Played:
    """How a scenario ended."""

    status: int
    document: dict[str, Any]
    errors: str

    @property
    def external(self) -> dict[str, int]:
        counts: dict[str, int] = self.document["external"]
        return counts

    def ends(self) -> list[str]:
        return [operation["state"] for operation in self.document["operations"]]


def play(process: subprocess.Popen[str], within: float) -> Played:
    """Wait for a scenario that was started with --json."""
    output, errors = process.communicate(timeout=within)
    return Played(process.returncode, json.loads(output), errors)


@dataclass
class Running:
    """A sandbox that stays up, and kubectl with its kubeconfig.

    Attributes:
        ready_after: seconds from its start until the kubeconfig was written.
    """

    process: subprocess.Popen[str]
    home: Path
    kubeconfig: Path
    ready_after: float
    errors: str = ""
    output: str = ""
    _ended: bool = field(default=False)

    def kubectl(self, *arguments: str, fails: bool = False) -> str:
        done = subprocess.run(
            self.command(*arguments), env=self.environment(), capture_output=True, text=True, check=False, timeout=90
        )
        text = done.stdout + done.stderr
        assert (done.returncode != 0) is fails, f"kubectl {' '.join(arguments)}: {text}"
        return text

    def command(self, *arguments: str) -> list[str]:
        return ["kubectl", "--kubeconfig", str(self.kubeconfig), "-n", NAMESPACE, *arguments]

    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8"}

    def apply(self, *bodies: dict[str, Any]) -> str:
        path = self.home / "bodies.yaml"
        path.write_text(yaml.safe_dump_all(bodies))
        return self.kubectl("apply", "-f", str(path))

    def table(self, *arguments: str) -> list[dict[str, str]]:
        """Return what `kubectl get` prints, by column: cells begin where their head begins."""
        lines = self.kubectl("get", *arguments).splitlines()
        heads = [head for head in lines[0].replace("WAITING FOR", "WAITING_FOR").split() if head]
        starts = [lines[0].replace("WAITING FOR", "WAITING_FOR").index(head) for head in heads]
        spans = list(zip(heads, starts, [*starts[1:], None], strict=True))
        return [{head: line[begin:end].strip() for head, begin, end in spans} for line in lines[1:]]

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        if not self._ended:
            self._ended = True
            self.process.send_signal(number)
            self.output, self.errors = self.process.communicate(timeout=30)
        return self.process.returncode


@contextmanager
def sandbox(folder: Path, *arguments: str) -> Iterator[Running]:
    """Run a sandbox that is ready; it is ended with the block."""
    kubeconfig, begun = folder / "kubeconfig", time.monotonic()
    process = start("sandbox", "run", "--write-kubeconfig", str(kubeconfig), *arguments)
    try:
        while not kubeconfig.exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() - begun < PATIENCE
            time.sleep(0.02)
        running = Running(process, folder, kubeconfig, time.monotonic() - begun)
        yield running
        running.end()
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
