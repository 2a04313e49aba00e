"""`reconciler demo`: the first minute."""

import asyncio
import sys

import click

from reconciler.cli.sandbox import Options, play_scenario
from reconciler.sandbox.weather import Weather


@click.command()
@click.option("--pace", type=click.FloatRange(0, 10), default=1.0, show_default=True, help="0: instant; 1: to follow.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of everything random.")
def demo(pace: float, seed: int) -> None:
    """Watch a project being set up, deployed and removed, on this machine: a real operator among simulated systems."""
    options = Options(
        scenario="clean-up",
        seed=seed,
        operations=0,
        weather=Weather.CALM,
        pace=pace,
        within=60.0,
        as_json=False,
        live=True,
        write_kubeconfig=None,
        write_environment=None,
        kubeconfig=None,
        rabbitmq="",
        port_base=0,
    )
    sys.exit(asyncio.run(play_scenario(options)))
