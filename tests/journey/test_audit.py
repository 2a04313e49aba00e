"""The audit of real lives, read as its user reads it."""

import asyncio
import logging
from collections.abc import AsyncIterator

import orjson
import pytest
from click.testing import CliRunner

from reconciler.cli.audit import audit
from reconciler.reporting.audit import AUDIT_LOGGER
from support.town import Town, a_town


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with a_town(RECONCILER_LEASE_RENEWAL="200ms") as town:
        yield town


def lines_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the log as JSON lines, as a pod writes them."""
    records = [record for record in caplog.records if record.name == AUDIT_LOGGER]
    return [orjson.dumps({"logger": record.name, "event": record.getMessage()}).decode() for record in records]


async def test_the_audit_of_two_lives_is_one_chain_and_the_lease_knows_its_end(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, AUDIT_LOGGER)
    async with town.operator():
        await town.office.initialize()
        await town.engineer.ready()
    of_first_life = len(lines_in(caplog))
    async with town.operator():
        await town.office.deploy("op-1")
        assert await town.office.end_of("op-1") == "Succeeded"
    written = lines_in(caplog)
    assert 0 < of_first_life < len(written)

    async def verified(lines: list[str]) -> tuple[int, str]:
        arguments = ["verify", "-", "--lease", "--kubeconfig", town.environ["KUBECONFIG"]]
        ran = await asyncio.to_thread(CliRunner().invoke, audit, arguments, input="\n".join(lines))
        return ran.exit_code, ran.output

    code, said = await verified(written)
    assert (code, f"{len(written)} lines in 2 chains, 0 faults" in said) == (0, True), said
    assert "no end is written" not in said
    assert (await verified(written[:-1]))[0] == 1
    assert (await verified(written[: of_first_life - 1] + written[of_first_life:]))[0] == 1
