"""`reconciler plan`: what the operator would change, like a diff; nothing is changed."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import yaml

from reconciler.app.planning import planning
from reconciler.cli.config import read_or_exit
from reconciler.cli.run import credentials_of
from reconciler.domain.errors import Invalid, ReconcilerError
from reconciler.domain.plans import Plan
from reconciler.domain.resources import KINDS
from reconciler.settings import Settings
from reconciler.telemetry.masking import Secrets

NOTHING, FAILED, SOMETHING = 0, 1, 2
_NAMES = {kind.kind for kind in KINDS}
_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)


@click.command("plan")
@click.option(
    "-f", "--file", "files", type=_FILE, multiple=True, help="Resources as they would be applied; `-`: stdin."
)
@click.option("--project", metavar="NAME", help="Only this one of the projects that are stored.")
@click.option("-n", "--namespace", metavar="NAME", help="Only there; default: where the operator watches.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def plan(files: tuple[Path, ...], project: str | None, namespace: str | None, as_json: bool) -> None:  # noqa: FBT001 - click hands options over by name
    """Print what the operator would change for what is stored, or if FILE were applied; it changes nothing.

    It looks at the real systems with the operator's settings and credentials. Exit code: 0 there is nothing to do, 2
    there is, 1 it could not be told.
    """
    if files and project:
        raise click.UsageError("--file plans what is in the file, --project what is stored: choose one")
    settings, secrets = read_or_exit(os.environ), Secrets()
    for secret in settings.secrets():
        secrets.learn(secret)
    try:
        bodies = list(_bodies(files, namespace or settings.kubernetes.own_namespace))
        found = asyncio.run(_planned(settings, secrets, bodies, project, namespace))
    except (ReconcilerError, OSError, yaml.YAMLError) as error:
        click.echo(secrets.mask(str(error) or type(error).__name__), err=True)
        sys.exit(FAILED)
    text = json.dumps(found.document(), indent=2) if as_json else "\n".join(found.lines())
    click.echo(secrets.mask(text))
    sys.exit(exit_code(found))


def exit_code(found: Plan) -> int:
    """Return 2 when something would be changed; 1 when nothing would as far as could be told, and not all could."""
    if found.changes:
        return SOMETHING
    return FAILED if found.untold else NOTHING


async def _planned(
    settings: Settings, secrets: Secrets, bodies: list[dict[str, Any]], project: str | None, namespace: str | None
) -> Plan:
    # A resource of a file lives where it says, whatever else is watched.
    namespaces = sorted({body["metadata"]["namespace"] for body in bodies}) or ([namespace] if namespace else [])
    async with planning(settings, credentials_of(settings), namespaces, secrets) as planner:
        return await (planner.of_files(bodies) if bodies else planner.of_stored(project))


def _bodies(files: tuple[Path, ...], namespace: str) -> Iterator[dict[str, Any]]:
    """Yield the resources of all documents. Raises Invalid for what is none of ours."""
    for file in files:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        for number, body in enumerate(yaml.safe_load_all(text), 1):
            if body is None:
                continue
            where = f"{file}, document {number}"
            if not isinstance(body, dict) or body.get("kind") not in _NAMES:
                raise Invalid(f"{where} is none of {', '.join(sorted(_NAMES))}", field="kind")
            metadata = body.get("metadata")
            if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
                raise Invalid(f"{where} has no metadata.name", field="metadata.name")
            yield {**body, "metadata": {"namespace": namespace, **metadata}}
