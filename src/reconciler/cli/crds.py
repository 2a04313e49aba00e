"""`reconciler crds`: the CustomResourceDefinitions, as they are applied to a cluster."""

from pathlib import Path
from typing import Any

import click
import yaml

from reconciler.cli import generated
from reconciler.domain import crds as domain_crds

COMMITTED = Path("deploy/crds.yaml")
"""Where the repository keeps them."""
_HEAD = "# Generated from the models in src/reconciler/domain/resources: reconciler crds --write\n"


class _Plain(yaml.SafeDumper):
    """YAML without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def crds_yaml() -> str:
    """Return all definitions as one YAML stream."""
    documents = yaml.dump_all(
        domain_crds.crds(), Dumper=_Plain, sort_keys=False, width=110, allow_unicode=True, explicit_start=True
    )
    return _HEAD + documents


@click.command("crds")
@click.option("--check", is_flag=True, help="Exit with 1 when the committed file is not what would be printed.")
@click.option("--write", is_flag=True, help="Write the committed file.")
@click.option("--file", type=click.Path(path_type=Path), default=COMMITTED, show_default=True, help="That file.")
def crds(check: bool, write: bool, file: Path) -> None:  # noqa: FBT001 - click hands options over by name
    """Print the CustomResourceDefinitions as YAML: reconciler crds | kubectl apply -f -."""
    files = {file: crds_yaml()}
    if check:
        generated.check(files, "reconciler crds --write")
    elif write:
        generated.write(files)
    else:
        click.echo(files[file], nl=False)
