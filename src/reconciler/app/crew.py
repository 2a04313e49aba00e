"""Tasks that live together: each has a name, the end of one concerns all, and whoever made the crew ends it."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Crew:
    """Begin it, wait until one of it ends, dismiss it."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, **parts: Coroutine[Any, Any, None]) -> None:
        """Let these parts run."""
        for name, part in parts.items():
            self._tasks[name] = asyncio.create_task(part, name=name)

    @property
    def lives(self) -> bool:
        """Whether no part has ended."""
        return not any(task.done() for task in self._tasks.values())

    async def one_ended(self) -> None:
        """Wait until a part ends, by itself or by its death."""
        await asyncio.wait(self._tasks.values(), return_when=asyncio.FIRST_COMPLETED)

    async def dismiss(self, *names: str) -> None:
        """Cancel these parts, or all, and wait until they are gone."""
        tasks = [task for name, task in self._tasks.items() if not names or name in names]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def raise_first_death(self) -> None:
        """Raise what a part died of, if one did."""
        for task in self._tasks.values():
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error


async def first_of(*waits: Coroutine[Any, Any, Any]) -> None:
    """Wait for the first of these to end, and cancel the others. Raises what the one that ended died of."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in done:
        task.result()
