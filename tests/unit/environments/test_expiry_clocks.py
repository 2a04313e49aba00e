"""Lifetimes end by the API server's clock; our own says only when to look."""

from datetime import timedelta

from support.moments import EIGHT
from support.scene import World


async def test_with_our_clock_ahead_of_the_servers_it_is_looked_at_when_the_server_says_so() -> None:
    world = World()
    world.store.set_status(world.environment, expiresAt=(EIGHT + timedelta(minutes=1)).isoformat())
    world.store.server_ahead = timedelta(minutes=-10)
    world.clock.advance(120)
    assert await world.look(world.environment) == world.clock.now() + timedelta(minutes=9)
