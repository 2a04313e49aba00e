"""`reconciler config`: what the operator would start with, and what is wrong with it."""

import os
from collections.abc import Mapping

import click
from rich.console import Console
from rich.table import Table

from reconciler.settings import ConfigurationError, Settings, knobs, load
from reconciler.settings.kinds import show as shown


@click.group("config")
def config() -> None:
    """Check and show the settings; they come from environment variables."""


@config.command("check")
def check() -> None:
    """Exit with 0 when the operator would start with these variables, else with 78 and all problems."""
    read_or_exit(os.environ)
    click.echo("the configuration is complete")


@config.command("show")
@click.option("--changed", is_flag=True, help="Only what is not the default.")
def show(changed: bool) -> None:  # noqa: FBT001 - click hands options over by name
    """List every variable, its value and where that comes from; secrets are hidden."""
    settings = read_or_exit(os.environ)
    rows = [row for row in rows_of(settings, os.environ) if not changed or row[2] != "default"]
    console = Console()
    if console.is_terminal:
        console.print(_table(rows))
    else:
        for row in rows:
            click.echo("\t".join(row))


def read_or_exit(environ: Mapping[str, str]) -> Settings:
    """Return the settings, or print every problem and exit with 78."""
    try:
        return load(environ)
    except ConfigurationError as error:
        click.echo(f"the configuration has {len(error.problems)} problem(s):", err=True)
        for problem in error.problems:
            click.echo(f"  {problem}", err=True)
        raise SystemExit(error.exit_code) from error


def rows_of(settings: Settings, environ: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return variable, value and source of every setting."""
    rows = []
    for knob in knobs():
        variable = knob.set_by(environ)
        source = "environment" if variable else "default"
        rows.append((variable or knob.variable, shown(knob.value_in(settings)), source))
    return rows


def _table(rows: list[tuple[str, str, str]]) -> Table:
    table = Table("variable", "value", "source")
    for row in rows:
        table.add_row(*row)
    return table
