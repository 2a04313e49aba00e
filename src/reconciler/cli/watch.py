"""A scenario played for somebody who watches, and what they are told at the end."""

from collections.abc import Iterator
from datetime import UTC, datetime

from rich.console import Console

from reconciler.cli.guide import program
from reconciler.cli.live import LiveView, chore_line, plain_lines
from reconciler.sandbox.report import Report
from reconciler.sandbox.scenarios import Play

_NEXT = (
    ("Keep a sandbox up, for kubectl, a broker client and a browser", "sandbox run"),
    ("See deployments wait for a system that is away, and go on", "sandbox run --scenario outage --live"),
    ("What else it can play", "sandbox scenarios"),
    ("What it needs to run against your own systems", "config check"),
)


async def watch(play: Play, within: float, console: Console) -> Report:
    """Play before a watcher: in place on a terminal, else line by line. Print the summary."""
    title = play.scenario.description
    if console.is_terminal and not console.is_dumb_terminal:
        async with LiveView(console, play, title, lambda: datetime.now(UTC)).shown():
            report = await play.perform(within)
    else:
        _say(console, f"freeleaps-devops-reconciler: {title}")
        _say(console, "The operator is real; every system around it is simulated here, on loopback.")
        plain_lines(play, lambda line: _say(console, line))
        play.listen(lambda chore: _say(console, chore_line(chore)))
        report = await play.perform(within)
        _say(console, "\n".join(report.told()))
    _say(console, "\n".join(_summary(report)))
    return report


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _summary(report: Report) -> Iterator[str]:
    counts = report.external
    addresses = dict.fromkeys(address for one in report.outcomes for address in one.view.addresses)
    yield ""
    if addresses:
        yield "Addresses" if report.remains is None else "Addresses, while they stood"
        yield from (f"  {address}" for address in addresses)
    yield "Counted by the simulated systems"
    yield f"  {counts.builds} builds in Jenkins, {counts.syncs} syncs in Argo CD"
    yield f"  {counts.records} DNS records at GoDaddy, {counts.repositories} repositories at Docker Hub"
    if report.remains:
        yield "Left in the simulated systems, by their own lists"
        yield from (f"  {line}" for line in report.remains.text())
    yield f"Heartbeats: {sum(one.heartbeats for one in report.outcomes)}"
    yield from (f"problem: {problem}" for problem in report.problems)
    yield f"Result: {'all as it should be' if report.ok else 'NOT as it should be'}"
    yield ""
    yield "Next"
    for why, command in _NEXT:
        yield from (f"  {why}:", f"    {program()} {command}")
