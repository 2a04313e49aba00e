"""Public addresses come and go with their environments, and so does what asks them."""

from contextlib import AbstractAsyncContextManager
from typing import Any

from reconciler.clients.address import AddressProbe
from reconciler.clients.asks import Reply


class Door:
    """Answers for one origin."""

    def __init__(self, origin: str) -> None:
        self.origin = origin

    async def ask(self, method: str, path: str, **_: Any) -> Reply:
        return Reply(204 if path == "/ready?x=1" else 404, {}, b"")

    def stream(self, path: str, **_: Any) -> AbstractAsyncContextManager[Any]:
        raise AssertionError("nobody streams an address")


class Street:
    """Makes doors, and ends them."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.ended: list[str] = []

    def make(self, origin: str) -> Door:
        self.made.append(origin)
        return Door(origin)

    async def end(self, door: Door) -> None:
        self.ended.append(door.origin)


async def test_an_address_answers_with_its_status() -> None:
    street = Street()
    probe = AddressProbe(street.make, street.end)
    assert await probe.status_of("https://api.example.com/ready?x=1") == 204
    assert await probe.status_of("https://api.example.com") == 404
    assert street.made == ["https://api.example.com"]


async def test_of_many_addresses_those_that_nobody_asked_for_long_are_forgotten() -> None:
    street = Street()
    probe = AddressProbe(street.make, street.end, most=2)
    for host in ("a", "b", "a", "c", "a", "d"):
        await probe.status_of(f"https://{host}.example.com/")
    assert street.ended == ["https://b.example.com", "https://c.example.com"]
    assert len(street.made) == 4
