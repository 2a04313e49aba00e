"""`reconciler leftovers list|sweep`: what could not be removed outside, and how to have it tried again now.

Exit codes: 0 nothing is left of what was asked about; 1 something is (the reason is printed), or there is no such
leftover; 69 the API server does not answer; 75 the operator did not answer in time; 78 no way to a cluster.
"""

import asyncio
import json
import secrets
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from reconciler.clients.kubernetes import Credentials, Kubernetes
from reconciler.domain.annotations import RECONCILE_AT
from reconciler.domain.errors import Invalid, ReconcilerError
from reconciler.domain.keys import CONFIG_MAP, Body
from reconciler.domain.leftovers import LABEL, Leftover, leftover_of
from reconciler.domain.resources.common import format_duration, parse_duration
from reconciler.settings.reading import EXIT_CODE

_NAMESPACE = "freeleaps-devops-system"
_UNAVAILABLE, _NOT_ANSWERED = 69, 75
_LOOK_AGAIN = 0.2
_COLUMNS = ("NAME", "KIND", "OBJECT", "ENDPOINT", "OWNER", "SINCE", "ATTEMPTS", "WHY")


def _options(command: Callable[..., None]) -> Callable[..., None]:
    kubeconfig = click.option(
        "--kubeconfig",
        envvar="KUBECONFIG",
        type=click.Path(path_type=Path),
        help="The way to the cluster; default: $KUBECONFIG, else the pod's own.",
    )
    namespace = click.option(
        "-n", "--namespace", default=_NAMESPACE, show_default=True, help="The operator's own namespace."
    )
    return kubeconfig(namespace(command))


@click.group()
def leftovers() -> None:
    """What could not be removed outside: list it, have it swept."""


@leftovers.command("list")
@_options
@click.option("--json", "as_json", is_flag=True, help="As JSON, whole.")
def list_(*, kubeconfig: Path | None, namespace: str, as_json: bool) -> None:
    """List what is left, oldest first, and why."""

    async def show(kubernetes: Kubernetes) -> int:
        found = await _all(kubernetes, namespace)
        if as_json:
            click.echo(json.dumps([{"leftover": one.name, **one.entries()} for one in found], indent=2))
        elif found:
            _print_table([_row(one) for one in found])
        else:
            click.echo("nothing is left")
        return 0

    _run(kubeconfig, show)


@leftovers.command("sweep")
@click.argument("name", required=False)
@_options
@click.option("--within", default="60s", show_default=True, help="How long to wait for the operator.")
def sweep(name: str | None, *, kubeconfig: Path | None, namespace: str, within: str) -> None:
    """Have one leftover, or all, tried again now by the operator that runs; wait for what comes of it."""
    try:
        patience = parse_duration(within)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(str(error), param_hint="--within") from error

    async def ask(kubernetes: Kubernetes) -> int:
        found = [one for one in await _all(kubernetes, namespace) if name in (None, one.name)]
        if name and not found:
            raise click.ClickException(f"there is no leftover {name} in {namespace}")
        token = secrets.token_hex(4)
        for one in found:
            patch = {"metadata": {"annotations": {RECONCILE_AT: token}}}
            await kubernetes.patch(CONFIG_MAP, namespace, one.name, patch)
        return await _outcome(kubernetes, namespace, found, token, patience)

    _run(kubeconfig, ask)


async def _outcome(
    kubernetes: Kubernetes, namespace: str, asked: Sequence[Leftover], token: str, patience: timedelta
) -> int:
    """Say of each what came of it, and return the exit code."""
    waiting, code = {one.name: one for one in asked}, 0
    try:
        async with asyncio.timeout(patience.total_seconds()):
            while waiting:
                for name in tuple(waiting):
                    body = await kubernetes.find(CONFIG_MAP, namespace, name)
                    now = leftover_of(body) if body else None
                    if body is None:
                        click.echo(f"swept: {waiting.pop(name).thing}")
                    elif now and now.handled == token:
                        click.echo(f"still there: {waiting.pop(name).thing}: {now.why}", err=True)
                        code = 1
                await asyncio.sleep(_LOOK_AGAIN)
    except TimeoutError:
        words = f"no operator has answered in {format_duration(patience)} about {', '.join(sorted(waiting))}"
        click.echo(f"Error: {words}; it is tried once one runs", err=True)
        return _NOT_ANSWERED
    return code


async def _all(kubernetes: Kubernetes, namespace: str) -> list[Leftover]:
    bodies, _ = await kubernetes.list_(CONFIG_MAP, namespace, label_selector=LABEL)
    return sorted(_readable(bodies), key=lambda one: (one.since, one.name))


def _readable(bodies: Sequence[Body]) -> list[Leftover]:
    found = []
    for body in bodies:
        if (one := leftover_of(body)) is not None:
            found.append(one)
        else:
            click.echo(f"{body['metadata']['name']} cannot be read: correct or delete it", err=True)
    return found


def _row(leftover: Leftover) -> tuple[str, ...]:
    thing = leftover.thing
    marker = thing.marker
    age = datetime.now(UTC) - leftover.since
    return (
        leftover.name,
        thing.kind,
        thing.name,
        thing.where.endpoint,
        f"{marker.kind}/{marker.namespace}/{marker.name}",
        f"{format_duration(timedelta(minutes=int(age.total_seconds() // 60)))} ago",
        str(leftover.attempts),
        leftover.why,
    )


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    table = [_COLUMNS, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(_COLUMNS))]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _run(kubeconfig: Path | None, use: Callable[[Kubernetes], Coroutine[Any, Any, int]]) -> None:
    try:
        credentials = Credentials.from_kubeconfig(kubeconfig) if kubeconfig else Credentials.in_cluster()
    except Invalid as error:
        click.echo(f"Error: {error.message}; give --kubeconfig", err=True)
        raise SystemExit(EXIT_CODE) from error

    async def asked() -> int:
        kubernetes = Kubernetes(credentials)
        try:
            return await use(kubernetes)
        finally:
            await kubernetes.close()

    try:
        code = asyncio.run(asked())
    except ReconcilerError as error:
        click.echo(f"Error: {error.message}", err=True)
        code = _UNAVAILABLE
    raise SystemExit(code)
