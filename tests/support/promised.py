"""Fails a whole test run in which a test that keeps a promise was skipped, or was not there."""

from collections.abc import Generator
from typing import Any

import pytest

import promises


class Watch:
    """Notes what became of the tests that keep promises."""

    def __init__(self) -> None:
        self.wanted = {test for tests in promises.promised().values() for test in tests}
        self.ran: set[str] = set()
        self.skipped: dict[str, str] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: Any) -> Generator[None, Any, Any]:
        report = yield
        name = item.nodeid.partition("[")[0]
        if name in self.wanted:
            if report.skipped:
                self.skipped[name] = str(call.excinfo.value) if call.excinfo else "skipped"
            elif report.when == "call":
                self.ran.add(name)
        return report

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if exitstatus == pytest.ExitCode.OK and self.unkept():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if unkept := self.unkept():
            terminalreporter.section("promises not kept in this run", red=True)
            for name in unkept:
                terminalreporter.write_line(f"{name}: {self.skipped.get(name, 'absent')}")
        else:
            terminalreporter.write_line(f"promises: all {len(self.wanted)} tests that keep one have run")

    def unkept(self) -> list[str]:
        return sorted(self.wanted - self.ran)


def pytest_configure(config: pytest.Config) -> None:
    is_whole = not config.option.keyword and not config.option.markexpr and not config.option.collectonly
    is_whole = is_whole and config.args in (["tests"], []) and promises.PAGE.exists()
    if is_whole and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Watch(), "promised")
