"""Files that are generated and committed: written when asked, or compared, and stale ones named."""

from collections.abc import Mapping
from pathlib import Path

import click


def write(files: Mapping[Path, str]) -> None:
    """Write the files; prints each that changed."""
    for path, text in files.items():
        if read(path) != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            click.echo(f"wrote {path}")


def check(files: Mapping[Path, str], remedy: str) -> None:
    """Compare the files with what they should be; raises ClickException (exit code 1) naming the stale ones."""
    stale = [str(path) for path, text in files.items() if read(path) != text]
    if stale:
        raise click.ClickException(f"stale: {', '.join(stale)}; run: {remedy}")


def read(path: Path) -> str:
    """Return what stands in a file, nothing where there is none."""
    return path.read_text(encoding="utf-8") if path.exists() else ""
