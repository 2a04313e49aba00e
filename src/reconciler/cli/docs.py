"""`reconciler docs`: the reference pages that are generated from the code."""

from pathlib import Path

import click

from reconciler.cli import generated, reference
from reconciler.cli.resource_pages import page
from reconciler.domain.resources import KINDS

PAGES = reference.FOLDER
"""Where the repository keeps the pages of the kinds, one file each, beside the other reference pages."""


@click.group("docs")
def docs() -> None:
    """Print, write or check the generated reference pages."""


def resource_pages(folder: Path) -> dict[Path, str]:
    """Return the page of every kind, by its file below `folder`."""
    files = {kind: folder / f"{kind.kind.lower()}.md" for kind in KINDS}
    return {file: page(kind, generated.read(file)) for kind, file in files.items()}


@docs.command("resources")
@click.option("--check", is_flag=True, help="Exit with 1 when a committed page is stale.")
@click.option("--write", is_flag=True, help="Write the committed pages.")
@click.option("--folder", type=click.Path(path_type=Path), default=PAGES, show_default=True, help="Where they are.")
def resources(check: bool, write: bool, folder: Path) -> None:  # noqa: FBT001 - click hands options over by name
    """Print the fields of all kinds: types, bounds, defaults, meaning."""
    files = resource_pages(folder)
    if check:
        generated.check(files, "reconciler docs resources --write")
    elif write:
        generated.write(files)
    else:
        click.echo("\n".join(files.values()), nl=False)


for one in reference.pages:
    docs.add_command(one)


def every_page() -> dict[Path, str]:
    """Return all generated pages, by their files."""
    tables = {reference.FOLDER / f"{name}.md": make() for name, make in reference.PAGES.items()}
    return tables | resource_pages(PAGES)


@docs.command("check")
def check() -> None:
    """Exit with 1 when any committed page is stale."""
    generated.check(every_page(), "reconciler docs write")


@docs.command("write")
def write() -> None:
    """Write all pages."""
    generated.write(every_page())
