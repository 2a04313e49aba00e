"""`reconciler run`: the operator, with a kubeconfig or in a cluster."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable

import click

from reconciler.app.heap import settle_heap
from reconciler.app.operator import Operator
from reconciler.clients.kubernetes import Credentials
from reconciler.domain.errors import Invalid
from reconciler.settings import ConfigurationError, Settings, load
from reconciler.settings.reading import EXIT_CODE
from reconciler.telemetry.logs import set_up_logs


@click.command()
def run() -> None:
    """Run the operator until SIGTERM; settings come from the environment (`reconciler config check`)."""
    try:
        settings = load(os.environ)
        credentials = credentials_of(settings)
    except ConfigurationError as error:
        click.echo(error, err=True)
        sys.exit(EXIT_CODE)
    except Invalid as error:
        click.echo(f"{error.field}: {error.message}", err=True)
        sys.exit(EXIT_CODE)
    asyncio.run(operate(settings, credentials), debug=settings.log.debug)


async def operate(settings: Settings, credentials: Credentials) -> None:
    """Run one operator until SIGTERM or SIGINT."""
    settle_heap()
    operator = Operator(settings, credentials, install_signals=lambda: stop_on_signals(operator.stop))
    level = "debug" if settings.log.debug else settings.log.level
    set_up_logs(operator.secrets, level=level, format_=settings.log.format)
    stop_on_signals(operator.stop)
    await operator.run()


def credentials_of(settings: Settings) -> Credentials:
    """Return the way to the API server. Raises Invalid."""
    path = settings.kubernetes.kubeconfig
    return Credentials.from_kubeconfig(path) if path else Credentials.in_cluster()


def stop_on_signals(stop: Callable[[], None]) -> None:
    """Call `stop` on SIGTERM and SIGINT; Kopf takes the handlers when it starts, so they are put back."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
