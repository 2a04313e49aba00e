from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from reconciler.cli.audit import audit
from reconciler.reporting.audit_chain import Chain

CHAIN = Chain("i1")
LINES = [CHAIN.append({"audit": "intended", "what": f"start build {one}"}) for one in range(4)]
HEAD = CHAIN.head.text() if CHAIN.head else ""


def verify(*arguments: str, given: list[str] | None = None) -> Result:
    return CliRunner().invoke(audit, ["verify", *arguments], input="\n".join(given or []))


@pytest.mark.parametrize(
    ("given", "more", "code", "said"),
    [
        (["other words", *LINES], (), 0, "4 lines in 1 chains, 0 faults"),
        (LINES, ("--head", HEAD), 0, f"the last is {HEAD}"),
        ([*LINES[:1], *LINES[2:]], (), 1, "standard input:2: removed: i1/2"),
        (LINES[:3], ("--head", HEAD), 1, "cut off: i1/4"),
        ([LINES[0].replace("build 0", "build 9"), *LINES[1:]], (), 1, "standard input:1: changed: i1/1"),
        (LINES[2:], (), 1, "removed: i1/3"),
        (LINES[2:], ("--part",), 0, "2 lines in 1 chains, 0 faults"),
        (["nothing of it"], (), 2, "no audit line"),
        (LINES, ("--head", "nonsense"), 2, "CHAIN/SEQ/HASH"),
        (LINES, ("no-such-file",), 2, "no-such-file cannot be read"),
        (LINES, ("--lease", "--kubeconfig", "no-such-file"), 2, "the Lease cannot be read"),
    ],
)
def test_the_exit_code_says_whether_it_is_in_order(
    given: list[str], more: tuple[str, ...], code: int, said: str
) -> None:
    outcome = verify("-", *more, given=given)
    assert outcome.exit_code == code
    assert said in outcome.output


def test_files_of_several_replicas_are_one_audit(tmp_path: Path) -> None:
    second = Chain("i2", CHAIN.head)
    first, then = tmp_path / "pod-0.log", tmp_path / "pod-1.log"
    first.write_text("\n".join(LINES))
    then.write_text(second.append({"audit": "intended"}))
    assert verify(str(then), str(first)).exit_code == 0
    assert verify(str(then)).exit_code == 1
