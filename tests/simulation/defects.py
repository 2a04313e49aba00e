"""Defects planted one at a time, here and never in the program: each must be found."""

from collections.abc import Callable
from contextlib import AbstractContextManager

DEFECTS: dict[str, Callable[[], AbstractContextManager[None]]] = {}
