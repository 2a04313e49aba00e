"""`reconciler`: the one entry point."""

import click

from reconciler.cli.audit import audit
from reconciler.cli.config import config
from reconciler.cli.crds import crds
from reconciler.cli.dead_letters import dead_letters
from reconciler.cli.demo import demo
from reconciler.cli.docs import docs
from reconciler.cli.environments import expire, extend, pin, release, unpin
from reconciler.cli.leftovers import leftovers
from reconciler.cli.plan import plan
from reconciler.cli.run import run
from reconciler.cli.sandbox import sandbox
from reconciler.cli.send import send


@click.group(
    commands=[
        *(run, plan, demo, sandbox, send, dead_letters),
        *(extend, pin, unpin, expire, release, leftovers, audit, config, crds, docs),
    ]
)
@click.version_option(package_name="freeleaps-devops-reconciler")
def main() -> None:
    """Take software projects from git to a public address, and keep them there."""
