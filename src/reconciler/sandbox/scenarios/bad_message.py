"""bad-message: every bad message gets its answer, and the good ones between them their end."""

from dataclasses import dataclass
from datetime import timedelta

from reconciler.sandbox.samples import SHOP, Request
from reconciler.sandbox.scenarios.play import Play, Scenario

_LONG_AGO = timedelta(days=8)
_BEFORE = timedelta(hours=1)
_LARGE = 300 * 1024


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message whose operation cannot be read: only the dead letter answers."""

    name: str
    body: bytes
    reason: str
    field: str


_UNREADABLE = (
    Unreadable("not-json", b"\x00 not json", "NotJson", ""),
    Unreadable("cut", b'{"event_type": "DevOpsReconcile"', "NotJson", ""),
    Unreadable("a-list", b"[1, 2]", "NotJson", ""),
    Unreadable("unknown-type", b'{"event_type": "DevOpsDestroy", "payload": {}}', "UnknownType", "event_type"),
    Unreadable("no-payload", b'{"event_type": "DevOpsReconcile", "payload": []}', "InvalidShape", "payload"),
)


async def play(play: Play) -> None:
    """Send bad messages of every kind by seed's order, with good ones between them."""
    first = await play.initialize(SHOP)
    stories = [_unreadable, _wrong_shape, _too_large, _too_late, _reused, _out_of_order, _references, _twice]
    play.dice.shuffle(stories)
    good = max(1, play.operations - 1)
    for number, story in enumerate(stories):
        await story(play, first)
        if number < good:
            await _good(play, number)
    for number in range(len(stories), good):
        await _good(play, number)


async def _good(play: Play, number: int) -> None:
    site = SHOP.sites[number % len(SHOP.sites)]
    play.expect_end(await play.deploy_and_wait(SHOP.name, site.name), "Succeeded")


async def _unreadable(play: Play, _: Request) -> None:
    for bad in _UNREADABLE:
        await play.office.publish(bad.body, "DevOpsReconcile", message_id=bad.name)
        await _is_dead(play, bad.name, bad.reason, bad.field)


async def _wrong_shape(play: Play, _: Request) -> None:
    await _is_refused(play, _deployment(play).with_(revision="main"), "InvalidShape", "payload.revision")


async def _too_large(play: Play, _: Request) -> None:
    await _is_refused(play, _deployment(play).with_(requested_by="x" * _LARGE), "TooLarge", "")


async def _too_late(play: Play, _: Request) -> None:
    request = _deployment(play)
    await _is_refused(play, request.with_(sent_at=request.sent_at - _LONG_AGO), "TooOld", "timestamp")


async def _reused(play: Play, _: Request) -> None:
    """The same id with other content: dead, and the first one goes on as if nothing was."""
    request = await play.deploy(SHOP.name, "alpha")
    await play.office.send(request.with_(revision="f" * 40))
    await _is_dead(play, request.operation_id, "OperationIdReused", "payload.revision")
    play.expect_end(await play.ended(request), "Succeeded")


async def _twice(play: Play, _: Request) -> None:
    """The same message three times is one operation."""
    request = await play.deploy(SHOP.name, "alpha")
    for _again in range(2):
        await play.office.send(request)
    play.expect_end(await play.ended(request), "Succeeded")


async def _out_of_order(play: Play, first: Request) -> None:
    """What is older than what holds ends as superseded, a set-up and a deployment."""
    late = play.requests.initialize(SHOP, first.sent_at - _BEFORE)
    await play.send(late)
    play.expect_end(await play.ended(late), "Superseded")
    play.expect_end(await play.deploy_and_wait(SHOP.name, "prod"), "Succeeded")
    older = _deployment(play, "prod")
    older = await play.send(older.with_(sent_at=older.sent_at - _BEFORE))
    play.expect_end(await play.ended(older), "Superseded")


async def _references(play: Play, _: Request) -> None:
    """What names something that is not there fails, at once or after its patience for a project."""
    wrong = {
        "ComponentNotFound": _deployment(play).with_(components=["worker"]),
        "EnvironmentNotFound": _deployment(play).with_(environment="moon"),
        "ProjectNotFound": _deployment(play).with_(project="nowhere"),
    }
    for request in wrong.values():
        await play.send(request)
    for reason, request in wrong.items():
        play.expect_end(await play.ended(request), "Failed", reason)


def _deployment(play: Play, environment: str = "alpha") -> Request:
    return play.requests.deploy(SHOP.name, environment, play.now())


async def _is_refused(play: Play, request: Request, reason: str, field: str) -> None:
    """See a request answered twice: by a dead letter and by a last word to its sender."""
    await play.send(request)
    await _is_dead(play, request.operation_id, reason, field)
    play.expect_end(await play.ended(request), "Failed", reason)


async def _is_dead(play: Play, name: str, reason: str, field: str) -> None:
    letter = await play.office.dead_letter(name)
    said = (letter.reason, letter.field)
    play.expect(said == (reason, field), f"message {name} is dead of {said}, expected was {(reason, field)}")


BAD_MESSAGE = Scenario(
    "bad-message",
    "Every kind of bad message is answered, the good ones between them succeed, the operator stays up.",
    play,
    operations=4,
    variables={"RECONCILER_PROJECT_WAIT": "2s"},
)
