"""Keeps one failed test from ending the whole run on Python 3.11.

pytest parses the source of a failed test for its report. CPython before 3.13 counts the depth of the tree it builds
in one place for all (gh-106905): when the garbage collector runs meanwhile and frees, say, a future whose exception
nobody asked for, asyncio logs it, the traceback's carets are parsed too, and the outer parse ends with `SystemError:
AST constructor recursion depth mismatch`, which pytest takes for an error of its own. So nothing is collected while
a report is made.

And the settings of every property test: no deadline (a shared machine is slow when it likes), the same examples in
every run, nothing kept on disk, and no phase that traces every line to explain a failure.
Look further with `--hypothesis-profile=explore`.
"""

import gc
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

_NORMAL = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("normal", _NORMAL)
settings.register_profile("explore", _NORMAL, derandomize=False, max_examples=2000)
settings.load_profile("normal")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Generator[None, Any, Any]:
    collects = gc.isenabled()
    gc.disable()
    try:
        return (yield)
    finally:
        if collects:
            gc.enable()
