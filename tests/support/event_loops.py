"""Keeps looptime from opening an event loop for a test that has none, which nobody would close."""

import asyncio

import pytest


@pytest.fixture(scope="session", autouse=True)
def no_event_loop_out_of_nowhere() -> None:
    """Say that there is no current loop: else asking for it makes one, as looptime 0.9 does around sync tests."""
    asyncio.set_event_loop(None)
