"""Many with one question: an answer is everybody's, and so is a failure of those who waited for it."""

import asyncio
from collections.abc import Callable

from reconciler.domain.errors import CircuitOpen, ReconcilerError, Unavailable
from reconciler.resilience.together import Together

SILENT = Unavailable("it does not answer", system="dns")


class Question:
    """Asked together, of a system that answers with an error once it is let."""

    def __init__(self, failure: Callable[[], ReconcilerError] = lambda: SILENT) -> None:
        self.together = Together()
        self.failure = failure
        self.asked = 0
        self.answers = asyncio.Event()

    async def ask(self) -> None:
        async with self.together.asking():
            self.asked += 1
            await self.answers.wait()
            raise self.failure()

    async def ask_at_once(self, how_many: int) -> list[BaseException | None]:
        asking = asyncio.gather(*(self.ask() for _ in range(how_many)), return_exceptions=True)
        await asyncio.sleep(0)
        self.answers.set()
        return await asking


async def test_those_who_waited_for_a_question_that_failed_do_not_ask_again() -> None:
    question = Question()
    assert await question.ask_at_once(5) == [SILENT] * 5
    assert question.asked == 1


async def test_who_comes_after_a_failure_asks() -> None:
    question = Question()
    await question.ask_at_once(2)
    await question.ask_at_once(1)
    assert question.asked == 2


async def test_an_open_breaker_turns_each_away_itself() -> None:
    question = Question(lambda: CircuitOpen("not asked", system="dns"))
    await question.ask_at_once(3)
    assert question.asked == 3
