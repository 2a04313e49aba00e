"""A scenario as it goes on, for a terminal: stages with their times, what is waited for, heartbeats as they leave."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from reconciler.domain.messages import EventType
from reconciler.domain.resources import StageName
from reconciler.sandbox.office import Beat
from reconciler.sandbox.scenarios import Chore, Play
from reconciler.sandbox.watching import OperationView, StageView

_FRAMES_PER_SECOND = 10
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_MOST_BEATS, _FEWEST_BEATS = 12, 3
_HEADER_LINES = 4
_GLYPHS = {"Done": ("✓", "green"), "Failed": ("✗", "bold red"), "Skipped": ("-", "dim"), "Pending": ("·", "dim")}
_PLAIN = {"✓": "+", "✗": "x", "·": "."}
_ENDS = {"Succeeded": "bold green", "Failed": "bold red", "Superseded": "yellow", "Cancelled": "yellow"}


class LiveView:
    """Draws a performance anew some times a second, in place."""

    def __init__(self, console: Console, play: Play, title: str, now: Callable[[], datetime]) -> None:
        self._console = console
        self._play = play
        self._title = title
        self._now = now
        self._began = now()
        self._beats: deque[Beat] = deque(maxlen=_MOST_BEATS)
        self._count = 0
        self._ascii = console.options.ascii_only
        play.office.listen(self._hear)

    @asynccontextmanager
    async def shown(self) -> Any:
        """Draw inside of it; the last picture stays."""
        with Live(console=self._console, auto_refresh=False, transient=False) as live:
            drawing = asyncio.create_task(self._draw(live), name="live view")
            try:
                yield
            finally:
                drawing.cancel()
                await asyncio.wait([drawing])
                live.update(self.picture(), refresh=True)

    def picture(self) -> RenderableType:
        """Return how everything stands now."""
        views = [view for request in self._play.sent if (view := self._play.view(request)) is not None]
        parts = [self._header(), *(part for view in views for part in self._operation(view)), *self._chores()]
        room = self._console.height - _HEADER_LINES - sum(map(_height, views)) - len(self._play.chores) - 2
        return Group(*parts, *self._heartbeats(max(_FEWEST_BEATS, min(_MOST_BEATS, room))))

    async def _draw(self, live: Live) -> None:
        while True:
            live.update(self.picture(), refresh=True)
            await asyncio.sleep(1 / _FRAMES_PER_SECOND)

    def _hear(self, beat: Beat) -> None:
        self._beats.append(beat)
        self._count += 1

    def _header(self) -> RenderableType:
        elapsed = (self._now() - self._began).total_seconds()
        text = Text(
            f"{self._title}\nThe operator is real; every system around it is simulated here, on loopback.",
            no_wrap=True,
            overflow="ellipsis",
        )
        return Panel(
            text,
            title="freeleaps-devops-reconciler",
            title_align="left",
            subtitle=f"{elapsed:.1f} s",
            subtitle_align="right",
            border_style="blue",
        )

    # Operations

    def _operation(self, view: OperationView) -> Iterator[RenderableType]:
        yield self._caption(view)
        if view.type is EventType.INITIALIZE:
            yield self._row(view)
        elif view.components:
            yield self._table(view)
        yield self._waits(view)

    def _caption(self, view: OperationView) -> Text:
        where = view.project if view.environment == "-" else f"{view.project} to {view.environment}"
        verb = "Set up" if view.type is EventType.INITIALIZE else "Deploy"
        text = Text.assemble(" ", (f"{verb} {where}", "bold"), ("  " + view.id + "  ", "dim"))
        return text.append(f"{view.state} {view.seconds(self._now()):.1f} s", _ENDS.get(view.state, "cyan"))

    def _waits(self, view: OperationView) -> Text:
        """Say what it waits for, or where it is, or why it failed; one line, always."""
        if not view.is_over:
            said, style = f"waits for {view.waiting_for}" if view.waiting_for else "", "yellow"
        elif view.state == "Succeeded":
            said, style = "  ".join(view.addresses), "underline"
        else:
            said, style = view.message, "red"
        return Text.assemble("   ", (said, style), no_wrap=True, overflow="ellipsis")

    def _row(self, view: OperationView) -> Text:
        text = Text("  ")
        for stage in view.stages:
            text.append_text(Text.assemble(f" {stage.name} ", self._cell(stage), "  "))
        return text

    def _table(self, view: OperationView) -> Table:
        table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
        table.add_column("   component", min_width=12)
        known = {stage.name for stage in view.stages}
        names = [name for name in StageName if name is not StageName.ROLLBACK or name.value in known]
        for name in names:
            table.add_column(name.value, min_width=8)
        shared = {stage.name: stage for stage in view.of("")}
        for component in view.components:
            stages = {**shared, **{stage.name: stage for stage in view.of(component)}}
            table.add_row(f"   {component}", *(self._cell(stages.get(name.value)) for name in names))
        return table

    def _cell(self, stage: StageView | None) -> Text:
        if stage is None:
            return Text("")
        glyph, style = _GLYPHS.get(stage.state) or (self._spin(), "cyan")
        seconds = f" {stage.seconds(self._now()):.1f} s" if stage.state not in {"Pending", "Skipped"} else ""
        return Text(f"{self._plain(glyph)}{seconds}", style)

    def _spin(self) -> str:
        return _SPINNER[int(self._now().timestamp() * _FRAMES_PER_SECOND) % len(_SPINNER)]

    def _chores(self) -> Iterator[RenderableType]:
        for chore in self._play.chores:
            glyph = Text(self._plain("✓"), "green") if chore.ended else Text(self._plain(self._spin()), "cyan")
            yield Text.assemble(" ", glyph, (f" {chore.what}", "bold"), f"  {chore.seconds(self._now()):.1f} s")

    def _plain(self, glyph: str) -> str:
        return _PLAIN.get(glyph, "*" if not glyph.isascii() else glyph) if self._ascii else glyph

    # Heartbeats

    def _heartbeats(self, room: int) -> Iterator[RenderableType]:
        """Yield a title and as many lines as there is room for: what is below does not jump."""
        yield Text(f" Heartbeats on RabbitMQ: {self._count}", "bold")
        newest = list(self._beats)[-room:]
        for beat in newest:
            style = _ENDS.get(beat.payload["phase"], "") if beat.is_last else "dim"
            yield Text(f"   {line_of(beat)}", style, no_wrap=True, overflow="ellipsis")
        yield from (Text("") for _ in range(room - len(newest)))


def _height(view: OperationView) -> int:
    """Return the lines of an operation: caption, stages, what it waits for."""
    return 3 if view.type is EventType.INITIALIZE else 2 + (1 + len(view.components) if view.components else 0)


def line_of(beat: Beat) -> str:
    """Return a heartbeat in one line."""
    said = beat.payload
    at = datetime.fromisoformat(said["timestamp"]).astimezone(UTC)
    stage = "/".join(part for part in (said["stage"], said["component"]) if part)
    if beat.is_last:
        words = said["phase"] if said["phase"] == "Succeeded" else f"{said['phase']}: {said['message']}"
    elif said["waiting_for"]:
        words = f"{stage} waits for {said['waiting_for']}"
    else:
        words = f"{stage} {said['state']}: {said['message']}" if said["message"] else stage or said["phase"]
    return f"{at:%H:%M:%S}.{at.microsecond // 100000} {beat.routing_key} {said['progress']:>3} % {words}"


def chore_line(chore: Chore) -> str:
    """Return what was done at the farewell in one line."""
    ended = chore.ended or chore.began
    return f"{ended:%H:%M:%S}.{ended.microsecond // 100000} {chore.what}: done in {chore.seconds(ended):.1f} s"


def plain_lines(play: Play, say: Callable[[str], None]) -> None:
    """Say each heartbeat in a line, as it comes, for what is no terminal."""
    play.office.listen(lambda beat: say(line_of(beat)))
