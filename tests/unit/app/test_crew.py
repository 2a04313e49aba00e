"""Tasks that live together."""

import asyncio

import pytest

from reconciler.app.crew import Crew, first_of


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def dies() -> None:
    raise ValueError("of this")


async def test_a_death_is_noticed_and_raised_after_all_are_gone() -> None:
    crew = Crew()
    crew.begin(a=forever(), b=dies())
    await crew.one_ended()

    assert not crew.lives
    await crew.dismiss()
    with pytest.raises(ValueError, match="of this"):
        crew.raise_first_death()


async def test_one_part_can_be_dismissed_before_the_others() -> None:
    crew = Crew()
    crew.begin(a=forever(), b=forever())
    assert crew.lives
    await crew.dismiss("a")
    assert not crew.lives
    await crew.dismiss()
    crew.raise_first_death()


async def test_a_crew_that_never_began_is_dismissed_at_once() -> None:
    await Crew().dismiss()


async def test_the_first_of_several_ends_the_others() -> None:
    ended: list[str] = []

    async def waits() -> None:
        try:
            await forever()
        finally:
            ended.append("waits")

    await first_of(waits(), asyncio.sleep(0))
    assert ended == ["waits"]


async def test_the_first_of_several_dies_of_what_it_dies_of() -> None:
    with pytest.raises(ValueError, match="of this"):
        await first_of(forever(), dies())
