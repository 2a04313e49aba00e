"""The commands: parse, call, print."""

from reconciler.cli.main import main

__all__ = ["main"]
