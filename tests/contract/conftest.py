"""Prints after the run what was checked against the official API descriptions, and loudly what was not."""

from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    from support.contracts import LEDGERS  # noqa: PLC0415 - only where a test has used it

    lines = [line for ledger in LEDGERS for line in ledger.summary()]
    if lines:
        terminalreporter.section("contracts")
    for line in lines:
        terminalreporter.write_line(line, red="SKIPPED" in line, bold="SKIPPED" in line)
