"""How the library fails, in our words: what counts as a lost connection, and what became of a publish."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from datetime import timedelta

from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import (
    CONNECTION_EXCEPTIONS,
    AMQPConnectionError,
    ChannelClosed,
    ChannelInvalidStateError,
    DeliveryError,
    ProbableAuthenticationError,
    PublishError,
)
from yarl import URL

from reconciler.domain.errors import OutcomeUnknown, Unavailable
from reconciler.domain.words import cut

SYSTEM = "rabbitmq"
LOST = (*CONNECTION_EXCEPTIONS, ChannelInvalidStateError, TimeoutError)
"""What the library raises when the other side is gone or closed something."""
GOODBYE = timedelta(seconds=2)
"""A frozen broker does not answer a close."""


def report_end(channel: AbstractChannel, lost: asyncio.Event, is_current: Callable[[], bool]) -> None:
    """Count a channel that ended while it was in use as a lost connection."""

    def report(*_: object) -> None:
        if is_current():
            lost.set()

    channel.close_callbacks.add(report)


@contextlib.contextmanager
def outcome_of(exchange: str, routing_key: str) -> Iterator[None]:
    """Say in our words what became of a publish."""
    where = f"{exchange or 'the default exchange'} with routing key {routing_key}"
    try:
        yield
    except PublishError as error:
        raise Unavailable(f"no queue takes messages of {where}", system=SYSTEM) from error
    except DeliveryError as error:
        raise Unavailable(f"RabbitMQ did not take a message to {where}", system=SYSTEM) from error
    except ChannelClosed as error:
        raise Unavailable(f"RabbitMQ refused a message to {where}: {error}", system=SYSTEM) from error
    except LOST as error:
        raise OutcomeUnknown(f"no confirm came for a message to {where}", system=SYSTEM) from error
    except asyncio.CancelledError as error:
        if is_cancelled():
            raise
        raise OutcomeUnknown(f"the connection was lost during a message to {where}", system=SYSTEM) from error
    except Exception as error:
        if type(error) is not Exception:
            raise
        # All that aiormq says of what was on its way when a channel was closed without a reason.
        raise OutcomeUnknown(f"the channel was closed during a message to {where}", system=SYSTEM) from error


@contextlib.contextmanager
def unless_lost(note: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Take the loss of the connection for an end, in whatever way the library tells of it, and note it."""
    try:
        yield
    except LOST:
        note()
    except asyncio.CancelledError:
        if is_cancelled():
            raise
        note()
    except Exception as error:
        if type(error) is not Exception:  # all that aiormq says where a channel was closed without a reason
            raise
        note()


def is_cancelled() -> bool:
    """Tell a cancellation of ours from one that aio_pika raises for a connection that it gives up (CHOICES)."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def obey_cancellation() -> None:
    """Raise a cancellation of ours that the library swallowed, as it does when it comes while a channel is closed."""
    if is_cancelled():
        raise asyncio.CancelledError


def reason_of(error: BaseException, url: URL) -> str:
    """Say why there is no connection, without credentials."""
    where = f"{url.host}:{url.port}"
    match error:
        case ProbableAuthenticationError():
            return f"{where} refused the user or the password"
        case TimeoutError():
            return f"{where} does not answer"
        case ChannelClosed():
            return cut(f"{where} refused what was asked: {error}")
        case AMQPConnectionError() | OSError():
            return f"{where} is not reachable ({type(error).__name__})"
        case _:
            return f"the connection to {where} was lost ({type(error).__name__})"
