"""`reconciler audit verify`: whether anybody removed, changed, moved or cut off lines of the audit.

Exit codes: 0 every line is there as it was written; 1 it is not, each fault is printed; 2 it cannot be told: a file,
the cluster or the Lease cannot be read, or there is no audit line at all.
"""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import click

from reconciler.clients.kubernetes import Credentials, Kubernetes
from reconciler.domain.errors import ReconcilerError
from reconciler.domain.keys import LEASE
from reconciler.operator.leadership import LEASE_NAME
from reconciler.reporting.audit_chain import HEAD_ANNOTATION, Head
from reconciler.reporting.audit_check import Line, Verdict, verify
from reconciler.reporting.audit_reading import audit_lines

NAMESPACE = "freeleaps-devops-system"
FAULTY, CANNOT_TELL = 1, 2
_MOST_OPEN = 20


@click.group("audit")
def audit() -> None:
    """Check the lines that tell of every change outside."""


@audit.command("verify")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--lease", is_flag=True, help="Compare with the last line that the Lease in the cluster knows.")
@click.option(
    "--head", "given", metavar="CHAIN/SEQ/HASH", help="Compare with this last line, as this command printed it before."
)
@click.option("--part", is_flag=True, help="The files do not go back to the first line ever written.")
@click.option(
    "--kubeconfig",
    envvar="KUBECONFIG",
    type=click.Path(path_type=Path),
    help="The way to the cluster, for --lease; default: $KUBECONFIG, else the pod's own.",
)
@click.option("-n", "--namespace", default=NAMESPACE, show_default=True, help="Where the operator runs, for --lease.")
def verify_command(
    *, files: tuple[str, ...], lease: bool, given: str | None, part: bool, kubeconfig: Path | None, namespace: str
) -> None:
    """Find what was removed from, changed in or cut off the audit in FILEs (`-` is standard input).

    FILEs are logs of the operator, JSON or plain, of one replica or of several, also as a log pipeline keeps them;
    lines that are no audit lines are passed over. Lines of one incarnation must stand in their order.
    """
    head = _head(given, from_lease=lease, kubeconfig=kubeconfig, namespace=namespace)
    lines = [line for file in files for line in _lines_of(file)]
    if not lines and head is None:
        _cannot_tell("there is no audit line in what was given")
    verdict = verify(lines, head, is_part=part)
    for fault in verdict.faults:
        click.echo(fault)
    _summarize(verdict)
    if verdict.faults:
        raise SystemExit(FAULTY)


def _summarize(verdict: Verdict) -> None:
    for intended in verdict.open[:_MOST_OPEN]:
        click.echo(f"no end is written of: {intended}")
    if len(verdict.open) > _MOST_OPEN:
        click.echo(f"and of {len(verdict.open) - _MOST_OPEN} more")
    chains = f"{verdict.lines} lines in {len(verdict.heads)} chains"
    last = f"; the last is {verdict.heads[-1].text()}" if verdict.heads else ""
    click.echo(f"{chains}, {len(verdict.faults)} faults{last}")


def _head(given: str | None, *, from_lease: bool, kubeconfig: Path | None, namespace: str) -> Head | None:
    if given is not None:
        if (head := Head.read(given)) is None:
            raise click.BadParameter("it is CHAIN/SEQ/HASH", param_hint="--head")
        return head
    if not from_lease:
        return None
    try:
        credentials = Credentials.from_kubeconfig(kubeconfig) if kubeconfig else Credentials.in_cluster()
        text = asyncio.run(_noted_on_lease(credentials, namespace))
    except ReconcilerError as error:
        _cannot_tell(f"the Lease cannot be read: {error.message}")
    if (head := Head.read(text)) is None:
        _cannot_tell(f"Lease {namespace}/{LEASE_NAME} knows of no audit line yet")
    return head


async def _noted_on_lease(credentials: Credentials, namespace: str) -> str:
    kubernetes = Kubernetes(credentials)
    try:
        lease = await kubernetes.get(LEASE, namespace, LEASE_NAME)
    finally:
        await kubernetes.close()
    return str((lease["metadata"].get("annotations") or {}).get(HEAD_ANNOTATION, ""))


def _lines_of(file: str) -> Iterator[Line]:
    if file == "-":
        yield from audit_lines("standard input", sys.stdin)
        return
    try:
        with Path(file).open(encoding="utf-8", errors="replace") as lines:
            yield from audit_lines(file, lines)
    except OSError as error:
        _cannot_tell(f"{file} cannot be read: {error.strerror}")


def _cannot_tell(why: str) -> NoReturn:
    click.echo(f"Error: {why}", err=True)
    raise SystemExit(CANNOT_TELL)
