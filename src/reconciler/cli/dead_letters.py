"""`reconciler dead-letters`: messages that could not be accepted, with the reason in words; send again or drop them.

Exit codes: 0 done; 1 no such letter, or not all could be done; 69 the broker does not answer; 78 wrong configuration.
"""

import asyncio
import json
import os
import re
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from reconciler.app.broker import amqp_url
from reconciler.cli.config import read_or_exit
from reconciler.clients.rabbitmq import DeadLetters
from reconciler.clients.rabbitmq.dead_letters import Letter
from reconciler.domain.clock import rfc3339
from reconciler.domain.errors import NotFound, ReconcilerError, Unavailable
from reconciler.intake.dead_letters import DeadLetter, Origin, headers_for_replay, read
from reconciler.settings import Settings
from reconciler.telemetry.masking import HIDDEN, Secrets

UNAVAILABLE = 69
_NEEDED_ELSEWHERE = {"JENKINS_ENDPOINT": "none", "ARGOCD_ENDPOINT": "none"}
_SECRETIVE = re.compile(r"passw|secret|token|api_?key|credential|private_?key|authorization", re.IGNORECASE)
_SECRET_IN_TEXT = re.compile(
    r"""((?:passw\w*|\w*secret|\w*token|api_?key|credentials?|private_?key|authorization)["']?\s*[:=]\s*)"""
    r"""("[^"]*"|'[^']*'|[^\s,;&}"']+)""",
    re.IGNORECASE,
)
_USER_IN_URL = re.compile(r"//[^/@\s\"]*@")
_HELD = """

While the command runs it holds the letters it has read, and nobody else sees them; all that it does not settle goes
back in its place. Numbers are places in the queue, and change when an older letter goes."""


@dataclass(frozen=True, slots=True)
class Held:
    """A letter in hand, and what it says."""

    letter: Letter
    read: DeadLetter


@click.group("dead-letters")
def dead_letters() -> None:
    """Look at messages that could not be accepted, send them again or drop them (broker: RABBITMQ_* variables)."""


@dead_letters.command("list", epilog=_HELD)
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON, with everything that `show` shows.")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="Print at most so many.")
def list_(*, as_json: bool, limit: int) -> None:
    """List the dead letters, oldest first, with the reason in words."""
    settings = _settings()
    mask = _mask_of(settings)

    async def look(box: DeadLetters) -> int:
        held = await _take(box)
        shown = held[:limit]
        if as_json:
            click.echo(json.dumps([_document(one, mask) for one in shown], indent=2))
        else:
            _print_table([one.read for one in shown], mask)
            if len(held) > len(shown):
                click.echo(f"and {len(held) - len(shown)} more; see --limit")
        return 0

    _run(settings, look)


@dead_letters.command("show", epilog=_HELD)
@click.argument("which", metavar="NUMBER|MESSAGE_ID")
def show(which: str) -> None:
    """Print one letter: why it died, its headers and its body, with secrets hidden."""
    settings = _settings()
    mask = _mask_of(settings)

    async def look(box: DeadLetters) -> int:
        for one in _chosen(await _take(box), [which]):
            click.echo(_page(one, mask))
        return 0

    _run(settings, look)


@dead_letters.command("replay", epilog=_HELD)
@click.argument("which", metavar="[NUMBER|MESSAGE_ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that are there now.")
@click.option("--exchange", default=None, help="Where to, instead of where it came from.")
@click.option("--key", default=None, help="With which routing key, instead of its own.")
def replay(which: tuple[str, ...], *, everything: bool, exchange: str | None, key: str | None) -> None:
    """Send letters again as they came, with a new count of attempts.

    A letter leaves the dead letters only after the broker has confirmed that a queue took it. What was sent more than
    the dedupe window ago (7 days) dies again as TooOld: let the sender ask anew.
    """
    _one_of(which, everything=everything)
    settings = _settings()

    async def send(box: DeadLetters) -> int:
        failed = 0
        for one in _chosen(await _take(box), which):
            origin = _target(one.read, exchange, key, settings.rabbitmq.exchange)
            if origin is None:
                failed += _complain(one, "nobody noted where it came from: give --key (and --exchange)")
                continue
            try:
                await box.send(one.letter, origin.exchange, origin.routing_key, headers_for_replay(one.letter.headers))
            except ReconcilerError as error:
                failed += _complain(one, error.message)
            else:
                click.echo(f"sent again: {_name(one.read)} to {_place(origin)}")
        return 1 if failed else 0

    _run(settings, send)


@dead_letters.command("drop", epilog=_HELD)
@click.argument("which", metavar="[NUMBER|MESSAGE_ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that are there now.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def drop(which: tuple[str, ...], *, everything: bool, yes: bool) -> None:
    """Take letters off the queue for good; nobody is told."""
    _one_of(which, everything=everything)
    settings = _settings()
    if everything and not yes:
        click.confirm("Drop all dead letters for good?", abort=True)

    async def settle(box: DeadLetters) -> int:
        for one in _chosen(await _take(box), which):
            await box.settle(one.letter)
            click.echo(f"dropped: {_name(one.read)}")
        return 0

    _run(settings, settle)


# Taking and choosing.


def _settings() -> Settings:
    """Read what concerns the broker; nothing else needs to be set here."""
    broker = {name: value for name, value in os.environ.items() if name.startswith("RABBITMQ_")}
    return read_or_exit(_NEEDED_ELSEWHERE | broker)


def _run(settings: Settings, use: Callable[[DeadLetters], Coroutine[Any, Any, int]]) -> None:
    async def with_box() -> int:
        async with DeadLetters(amqp_url(settings), settings.rabbitmq.dead_queue) as box:
            return await use(box)

    try:
        code = asyncio.run(with_box())
    except Unavailable as error:
        click.echo(f"Error: {error.message}", err=True)
        code = UNAVAILABLE
    except NotFound as error:
        raise click.ClickException(error.message) from error
    raise SystemExit(code)


async def _take(box: DeadLetters) -> list[Held]:
    """Take all there are, before anything is done with one: what dies again then is not taken twice.

    Always all: where a broker puts back at the end of the queue, the order of all that goes back is still the same.
    """
    held: list[Held] = []
    while (letter := await box.take()) is not None:
        held.append(Held(letter, read(len(held) + 1, letter)))
    return held


def _chosen(held: Sequence[Held], which: Sequence[str]) -> list[Held]:
    """Return what is meant, oldest first; all when nothing is named. A message id goes before a number."""
    if not which:
        return list(held)
    numbers: set[int] = set()
    for name in which:
        found = [one.read.number for one in held if name in {one.read.message_id, str(one.read.number)}]
        by_id = [one.read.number for one in held if one.read.message_id == name]
        found = by_id or found
        if not found:
            raise click.ClickException(f"there is no dead letter {name}; there are {len(held)}")
        if len(found) > 1:
            raise click.ClickException(f"{len(found)} letters have the id {name}: name them by number, {found}")
        numbers.update(found)
    return [one for one in held if one.read.number in numbers]


def _one_of(which: Sequence[str], *, everything: bool) -> None:
    if bool(which) == everything:
        raise click.UsageError("name letters by number or message id, or give --all")


def _target(letter: DeadLetter, exchange: str | None, key: str | None, usual: str) -> Origin | None:
    if key is not None:
        return Origin(usual if exchange is None else exchange, key)
    if letter.origin is None:
        return None
    return letter.origin if exchange is None else Origin(exchange, letter.origin.routing_key)


# Printing.


def _complain(one: Held, why: str) -> int:
    click.echo(f"not sent: {_name(one.read)}: {why}", err=True)
    return 1


def _name(letter: DeadLetter) -> str:
    about = letter.operation_id or letter.message_id or "without id"
    return f"{letter.number} ({about})"


def _place(origin: Origin | None) -> str:
    if origin is None:
        return "-"
    return f"{origin.exchange}/{origin.routing_key}" if origin.exchange else f"queue {origin.routing_key}"


def _print_table(letters: Sequence[DeadLetter], mask: Callable[[str], str]) -> None:
    if not letters:
        click.echo("there are no dead letters")
        return
    heads = ("#", "when", "operation", "type", "reason", "field", "remedy", "origin")
    rows = [
        (
            str(letter.number),
            rfc3339(letter.when) if letter.when else "-",
            letter.operation_id or "-",
            letter.type or "-",
            mask(f"{letter.reason}: {letter.words}"),
            letter.field or "-",
            mask(letter.remedy) or "-",
            _place(letter.origin),
        )
        for letter in letters
    ]
    console = Console()
    if not console.is_terminal:
        click.echo("\n".join("\t".join(row) for row in (heads, *rows)))
        return
    table = Table(*heads)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _document(one: Held, mask: Callable[[str], str]) -> dict[str, Any]:
    said = asdict(one.read) | {"when": rfc3339(one.read.when) if one.read.when else None}
    return said | {
        "words": mask(one.read.words),
        "remedy": mask(one.read.remedy),
        "headers": _shown_headers(one.letter, mask),
        "body": _shown_body(one.letter, mask),
    }


def _page(one: Held, mask: Callable[[str], str]) -> str:
    letter = one.read
    facts = {
        "number": letter.number,
        "message id": letter.message_id or "-",
        "when": rfc3339(letter.when) if letter.when else "-",
        "operation": letter.operation_id or "-",
        "type": letter.type or "-",
        "reason": mask(f"{letter.reason}: {letter.words}"),
        "field": letter.field or "-",
        "remedy": mask(letter.remedy) or "-",
        "attempts": letter.attempts,
        "origin": _place(letter.origin),
    }
    lines = [f"{name:<11} {value}" for name, value in facts.items()]
    headers = [f"  {name}: {value}" for name, value in sorted(_shown_headers(one.letter, mask).items())]
    body = _shown_body(one.letter, mask)
    text = body if isinstance(body, str) else json.dumps(body, indent=2, ensure_ascii=False)
    return "\n".join([*lines, "headers", *headers, f"body ({len(one.letter.body)} bytes)", text])


def _shown_headers(letter: Letter, mask: Callable[[str], str]) -> dict[str, Any]:
    shown = _without_secrets({name: _printable(value) for name, value in letter.headers.items()}, mask)
    return dict(shown)


def _shown_body(letter: Letter, mask: Callable[[str], str]) -> Any:
    """Return the body as JSON where it is JSON, else as text."""
    try:
        return _without_secrets(json.loads(letter.body), mask)
    except (ValueError, RecursionError):
        text = letter.body.decode("utf-8", "backslashreplace")
        return _without_secrets(_SECRET_IN_TEXT.sub(rf"\1{HIDDEN}", text), mask)


def _without_secrets(value: Any, mask: Callable[[str], str]) -> Any:
    """Hide what the process knows as a secret, and every value that is named like one."""
    match value:
        case str():
            return _USER_IN_URL.sub(f"//{HIDDEN}@", mask(value))
        case dict():
            return {
                mask(name): HIDDEN if _is_secretive(name) else _without_secrets(inner, mask)
                for name, inner in value.items()
            }
        case list():
            return [_without_secrets(inner, mask) for inner in value]
        case _:
            return value


def _is_secretive(name: str) -> bool:
    """Tell whether something is named like a secret, and not like a reference to one."""
    return bool(_SECRETIVE.search(name)) and not name.lower().endswith("ref")


def _printable(value: Any) -> Any:
    """Return a header's value as JSON can hold it."""
    match value:
        case bytes() | bytearray():
            return bytes(value).decode("utf-8", "backslashreplace")
        case dict():
            return {str(name): _printable(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_printable(inner) for inner in value]
        case None | bool() | int() | float() | str():
            return value
        case _:
            return str(value)


def _mask_of(settings: Settings) -> Callable[[str], str]:
    return Secrets(settings.secrets()).mask
