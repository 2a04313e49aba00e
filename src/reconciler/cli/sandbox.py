"""`reconciler sandbox`: the operator in a world on loopback."""

import asyncio
import json
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import SystemRandom
from typing import TypeVar

import click
from rich.console import Console

from reconciler.cli.guide import guide
from reconciler.cli.run import stop_on_signals
from reconciler.cli.watch import watch
from reconciler.domain.errors import ReconcilerError
from reconciler.sandbox.apart import NotReady
from reconciler.sandbox.running import Sandbox
from reconciler.sandbox.samples import SAMPLES, Requests
from reconciler.sandbox.scenarios import SCENARIOS, Play
from reconciler.sandbox.weather import Weather
from reconciler.sandbox.world import World
from reconciler.settings import ConfigurationError

_INTERRUPTED = 130
_WEATHERS = [weather.value for weather in Weather if weather is not Weather.DOWN]
_PROJECTS = {sample.name: sample for sample in SAMPLES}
_FILE = click.Path(dir_okay=False, path_type=Path)
T = TypeVar("T")


@click.group()
def sandbox() -> None:
    """Try everything on this machine: the operator among simulated systems."""


@sandbox.command("scenarios")
def scenarios() -> None:
    """List the scenarios."""
    width = max(map(len, SCENARIOS))
    for scenario in SCENARIOS.values():
        click.echo(f"{scenario.name:<{width}}  {scenario.description}")


@sandbox.command("message")
@click.argument("kind", type=click.Choice(["initialize", "deploy"]))
@click.option("--project", type=click.Choice(list(_PROJECTS)), default="shop", show_default=True)
@click.option("--environment", default="alpha", show_default=True, help="Where to deploy to.")
def message(kind: str, project: str, environment: str) -> None:
    """Print a ready-made message, with a new operation id; send it with `reconciler send`."""
    requests, now = Requests(SystemRandom()), datetime.now(UTC)
    sample = _PROJECTS[project]
    request = (
        requests.initialize(sample, now) if kind == "initialize" else requests.deploy(sample.name, environment, now)
    )
    click.echo(json.dumps(request.document(), indent=2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `run` was told."""

    scenario: str | None
    seed: int
    operations: int
    weather: Weather
    pace: float | None
    within: float
    as_json: bool
    live: bool
    write_kubeconfig: Path | None
    write_environment: Path | None
    kubeconfig: Path | None
    rabbitmq: str
    port_base: int

    def world(self, pace: float) -> World:
        """Make the world that they mean, at a pace where none is named."""
        chosen = pace if self.pace is None else self.pace
        return World(seed=self.seed, pace=chosen, kubeconfig=self.kubeconfig, rabbitmq=self.rabbitmq)


@sandbox.command("run")
@click.option("--scenario", type=click.Choice(list(SCENARIOS)), help="Play a scenario, report, and end.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of everything random.")
@click.option("--operations", type=click.IntRange(0, 500), default=0, help="How many; each scenario has its default.")
@click.option(
    "--weather",
    type=click.Choice(_WEATHERS),
    callback=lambda _context, _option, value: Weather(value),
    default="calm",
    show_default=True,
    help="Over Jenkins, Argo CD, the registry and DNS.",
)
@click.option("--pace", type=click.FloatRange(0, 10), help="0: instant (scenarios); 1: to be followed (else).")
@click.option("--within", type=click.FloatRange(1), default=300.0, show_default=True, help="Seconds for a scenario.")
@click.option("--json", "as_json", is_flag=True, help="Print the scenario's report as JSON.")
@click.option("--live", is_flag=True, help="Show the scenario as it goes on, at pace 1.")
@click.option("--write-kubeconfig", type=_FILE, metavar="FILE", help="Written when everything is ready.")
@click.option(
    "--write-environment", type=_FILE, metavar="FILE", help="The operator's variables, as `NAME=value` lines."
)
@click.option("--kubeconfig", type=_FILE, metavar="FILE", help="Use this real API server; CRDs are applied to it.")
@click.option("--rabbitmq", default="", metavar="URL", help="Use this real broker: amqp://user:password@host:port/")
@click.option("--port-base", type=click.IntRange(0, 65000), default=0, help="First of seven ports; 0: free ones.")
def run(**given: object) -> None:
    """Keep a sandbox up until interrupted, or play a scenario in it and report."""
    if given["live"] and given["as_json"]:
        raise click.UsageError("--live shows, --json prints at the end: choose one")
    options = Options(**given)  # type: ignore[arg-type]  # click has checked them
    try:
        sys.exit(asyncio.run(play_scenario(options) if options.scenario else _stay(options)))
    except (NotReady, ReconcilerError, ConfigurationError, OSError) as error:
        raise click.ClickException(str(error)) from error


async def _stay(options: Options) -> int:
    """Keep everything up until a signal, then end in order."""
    stop = asyncio.Event()
    stop_on_signals(stop.set)
    world = options.world(pace=1.0)
    async with Sandbox(
        world, port_base=options.port_base, install_signals=lambda: stop_on_signals(stop.set)
    ) as sandbox:
        world.set_weather(options.weather)
        kubeconfig = Path(world.kubeconfig)
        if options.write_environment is not None:
            _put(options.write_environment, "".join(f"{name}={value}\n" for name, value in world.environ().items()))
        if options.write_kubeconfig is not None:
            kubeconfig = _put(options.write_kubeconfig, _read(kubeconfig))
        click.echo(guide(sandbox, kubeconfig))
        await unless(stop, sandbox.ended())
        click.echo("Stopping ...")
    click.echo("Stopped.")
    return 0


async def play_scenario(options: Options) -> int:
    """Play a scenario; 0 when it ended as it should."""
    stop = asyncio.Event()
    stop_on_signals(stop.set)
    scenario = SCENARIOS[options.scenario or ""]
    async with Sandbox(
        options.world(pace=1.0 if options.live else 0.0),
        port_base=options.port_base,
        variables=scenario.variables,
        install_signals=lambda: stop_on_signals(stop.set),
        log_level="error",
        apart=scenario.apart,
    ) as sandbox:
        play = Play(sandbox, scenario, seed=options.seed, operations=options.operations, weather=options.weather)
        if options.live:
            report = await unless(stop, watch(play, options.within, Console()))
        else:
            report = await unless(stop, play.perform(options.within))
    if report is None:
        click.echo("interrupted", err=True)
        return _INTERRUPTED
    if options.live:
        return 0 if report.ok else 1
    if options.as_json:
        click.echo(json.dumps(report.document(), indent=2))
        for problem in report.problems:
            click.echo(f"problem: {problem}", err=True)
    else:
        click.echo("\n".join(report.text()))
    return 0 if report.ok else 1


async def unless(stop: asyncio.Event, doing: Coroutine[None, None, T]) -> T | None:
    """Return what comes of `doing`; None when `stop` is set before, and `doing` is cancelled."""
    work, stopped = asyncio.ensure_future(doing), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        return work.result() if work.done() else None
    finally:
        for task in (work, stopped):
            task.cancel()
        await asyncio.gather(work, stopped, return_exceptions=True)


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def _put(target: Path, text: str) -> Path:
    """Write a file of its owner's in one step: who waits for it never sees half of it."""
    beside = target.with_name(f".{target.name}.new")
    beside.touch(mode=0o600)
    beside.write_text(text, encoding="utf-8")
    beside.replace(target)
    return target.absolute()
