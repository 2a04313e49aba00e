"""`reconciler sandbox`: the operator in a world on loopback."""

import asyncio

import click

from reconciler.sandbox.world import World


@click.group()
def sandbox() -> None:
    """Try everything on this machine: the operator among simulated systems."""


@sandbox.command("run")
def run() -> None:
    """Keep a sandbox up until interrupted."""
    asyncio.run(_run())


async def _run() -> None:
    world = World(pace=1.0)
    await world.start()
    click.echo(world.environ())
    try:
        await asyncio.Event().wait()
    finally:
        await world.stop()
