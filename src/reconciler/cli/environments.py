"""`reconciler extend|pin|unpin|expire|release`: what people want of an environment, asked of the cluster and awaited.

Each command sets an annotation and waits until the operator has echoed it in the status. Exit codes: 0 done; 1 refused
(the reason is printed), or there is no such environment; 69 the API server does not answer; 75 the operator did not
answer in time (the wish stays with the environment, and is handled once an operator runs); 78 no way to a cluster.
"""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from reconciler.clients.kubernetes import Credentials, Kubernetes
from reconciler.domain.annotations import EXPIRE, EXTEND, PINNED, RELEASE
from reconciler.domain.clock import rfc3339
from reconciler.domain.errors import Invalid, NotFound, ReconcilerError
from reconciler.domain.keys import ENVIRONMENT, Body
from reconciler.domain.lifetimes import NoDuration, extension_of
from reconciler.domain.names import environment_name
from reconciler.domain.resources import Environment
from reconciler.domain.resources.common import format_duration, parse_duration
from reconciler.engine.invalid import problems
from reconciler.settings.reading import EXIT_CODE

NAMESPACE = "freeleaps-devops-system"
UNAVAILABLE, NOT_ANSWERED = 69, 75
_LOOK_AGAIN = 0.2
_OPTIONS = (
    click.argument("environment", metavar="ENV"),
    click.option(
        "--kubeconfig",
        envvar="KUBECONFIG",
        type=click.Path(path_type=Path),
        help="The way to the cluster; default: $KUBECONFIG, else the pod's own.",
    ),
    click.option("-n", "--namespace", default=NAMESPACE, show_default=True, help="Where the environment is."),
    click.option("--within", default="30s", show_default=True, help="How long to wait for the operator."),
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of an environment.

    Attributes:
        value: of the annotation; None takes it off.
        done: says in words, to who has the environment before and after, what came of it.
        is_end: whether the environment may be gone by it.
    """

    annotation: str
    value: str | None
    done: Callable[[Environment, Environment], str]
    is_end: bool = False

    def is_echoed(self, environment: Environment) -> bool:
        """Tell whether the operator has handled it."""
        return environment.status.handled.get(self.annotation) == self.value


class UnheardError(Exception):
    """The operator did not answer in time."""


class RefusedError(Exception):
    """The operator, or what is there, says no; the words say why."""


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command("extend")
@_options
@click.argument("by", metavar="DURATION")
def extend(by: str, **where: Any) -> None:
    """Let ENV (`shop--alpha` or `shop/alpha`) live longer by DURATION (`24h`, `7d`), counted from its end."""
    try:
        extension_of(by)
    except NoDuration as error:
        raise click.BadParameter(str(error), param_hint="DURATION") from error
    _fulfil(Wish(EXTEND, f"{by}/{_token()}", lambda _, after: _end_of(after)), **where)


@click.command("pin")
@_options
def pin(**where: Any) -> None:
    """Keep ENV from expiring until it is unpinned."""
    _fulfil(Wish(PINNED, "true", lambda _, after: f"{after.name} does not expire"), **where)


@click.command("unpin")
@_options
def unpin(**where: Any) -> None:
    """Let ENV expire again: at its end, or after a warning where that is over."""
    _fulfil(Wish(PINNED, None, _unpinned), **where)


@click.command("expire")
@_options
def expire(**where: Any) -> None:
    """End ENV now: what runs there is removed."""
    _fulfil(Wish(EXPIRE, _token(), lambda _, after: f"{after.name} expires now", is_end=True), **where)


@click.command("release")
@_options
def release(**where: Any) -> None:
    """Lift the hold of ENV, which a deployment that was rolled back has left."""
    _fulfil(Wish(RELEASE, _token(), _released), **where)


def _unpinned(_: Environment, after: Environment) -> str:
    if after.spec.pinned:
        raise RefusedError(
            f"{after.name} is pinned by its spec: change spec.pinned, of its project where that declares it"
        )
    return _end_of(after)


def _released(before: Environment, after: Environment) -> str:
    if before.status.hold is None:
        return f"{after.name} was not on hold"
    return f"{after.name} is free again, after {before.status.hold.operation}"


def _end_of(environment: Environment) -> str:
    ends, name = environment.status.expires_at, environment.name
    if environment.is_pinned:
        return f"{name} does not expire while it is pinned{f'; its end would be {rfc3339(ends)}' if ends else ''}"
    return f"{name} expires at {rfc3339(ends)}" if ends else f"{name} has no end"


def _token() -> str:
    return secrets.token_hex(4)


def _fulfil(wish: Wish, *, environment: str, kubeconfig: Path | None, namespace: str, within: str) -> None:
    name = environment_name(*environment.split("/", 1)) if "/" in environment else environment
    try:
        patience = parse_duration(within)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(str(error), param_hint="--within") from error
    try:
        credentials = Credentials.from_kubeconfig(kubeconfig) if kubeconfig else Credentials.in_cluster()
    except Invalid as error:
        click.echo(f"Error: {error.message}; give --kubeconfig", err=True)
        raise SystemExit(EXIT_CODE) from error
    try:
        click.echo(asyncio.run(_asked(credentials, namespace, name, wish, patience)))
    except NotFound as error:
        raise click.ClickException(f"there is no Environment {name} in {namespace}") from error
    except RefusedError as error:
        raise click.ClickException(f"refused: {error}") from error
    except UnheardError as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(NOT_ANSWERED) from error
    except ReconcilerError as error:
        click.echo(f"Error: {error.message}", err=True)
        raise SystemExit(UNAVAILABLE) from error


async def _asked(credentials: Credentials, namespace: str, name: str, wish: Wish, within: timedelta) -> str:
    kubernetes = Kubernetes(credentials)
    try:
        before = _read(await kubernetes.get(ENVIRONMENT, namespace, name))
        if before.is_deleting:
            raise RefusedError(f"{name} is being deleted")
        patch = {"metadata": {"annotations": {wish.annotation: wish.value}, "uid": before.metadata.uid}}
        body = await kubernetes.patch(ENVIRONMENT, namespace, name, patch)
        return await _answered(kubernetes, _read(body), before, wish, within)
    finally:
        await kubernetes.close()


async def _answered(
    kubernetes: Kubernetes, after: Environment, before: Environment, wish: Wish, within: timedelta
) -> str:
    """Wait until the operator has echoed the wish; return what came of it. Raises RefusedError, UnheardError."""
    try:
        async with asyncio.timeout(within.total_seconds()):
            while not wish.is_echoed(after):
                await asyncio.sleep(_LOOK_AGAIN)
                found = await kubernetes.find(ENVIRONMENT, after.namespace, after.name)
                if found is None or found["metadata"]["uid"] != before.metadata.uid:
                    return _gone(before, wish)
                after = _read(found)
    except TimeoutError:
        raise UnheardError(_silence(after, within)) from None
    if why := after.status.refusals.get(wish.annotation):
        raise RefusedError(why)
    return wish.done(before, after)


def _read(body: Body) -> Environment:
    try:
        return Environment(body)
    except ValidationError as error:
        raise RefusedError(f"correct its spec first: {problems(error)}") from error


def _gone(before: Environment, wish: Wish) -> str:
    if not wish.is_end:
        raise RefusedError(f"{before.name} was deleted meanwhile")
    return f"{before.name} is gone"


def _silence(environment: Environment, within: timedelta) -> str:
    return (
        f"no operator has answered in {format_duration(within)}; "
        f"the wish stays with {environment.name}, and is handled once an operator runs"
    )
