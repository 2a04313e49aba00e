"""Several looks side by side, each ending in an answer."""

import asyncio
import inspect
from collections.abc import Coroutine, Mapping
from datetime import datetime
from typing import Any, TypeVar

from reconciler.domain.answers import Answer, Broken
from reconciler.domain.errors import Conflict
from reconciler.domain.resources import Step
from reconciler.engine.answering import answer_of
from reconciler.engine.patience import Patience

K = TypeVar("K")


async def answers_of(
    looks: Mapping[K, Coroutine[Any, Any, Answer]],
    steps: Mapping[K, Step],
    now: datetime,
    patience: Patience,
    subject: str,
) -> dict[K, Answer]:
    """Await all looks and return their answers; errors become answers, conflicts rise after all have ended.

    A bug in one look is an answer too: the others are not lost for it.
    """
    try:
        settled = await asyncio.gather(
            *(answer_of(look, steps[key], now, patience, f"{subject}/{key}") for key, look in looks.items()),
            return_exceptions=True,
        )
    finally:
        for look in looks.values():
            if inspect.getcoroutinestate(look) == inspect.CORO_CREATED:
                look.close()  # we were cancelled before it began
    answers = dict[K, Answer]()
    for key, one in zip(looks, settled, strict=True):
        match one:
            case Conflict():
                raise one
            case Exception() | asyncio.CancelledError():  # some libraries let those of their own tasks out
                answers[key] = Broken(one)
            case BaseException():
                raise one
            case _:
                answers[key] = one
    return answers
