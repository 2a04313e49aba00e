import asyncio
import gc
import warnings

from reconciler.domain.answers import Answer, Done
from reconciler.domain.resources import SetupStep
from reconciler.engine.looking import answers_of
from reconciler.engine.patience import Patience
from support.moments import EIGHT


async def test_looks_that_are_cancelled_before_they_began_leave_nothing_behind() -> None:
    async def look() -> Answer:
        return Done()

    step = SetupStep(name="job")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        looking = asyncio.create_task(answers_of({"job": look()}, {"job": step}, EIGHT, Patience(), "shop"))
        await asyncio.sleep(0)  # it has made the tasks, and none of them has run
        looking.cancel()
        await asyncio.wait([looking])
        gc.collect()
    assert [str(one.message) for one in told] == []
