import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from reconciler.telemetry.logs import about, set_up_logs
from reconciler.telemetry.masking import Secrets

log = logging.getLogger("reconciler.test_logs")


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    # Kept from being closed by the set-up under test.
    root.handlers[:] = []
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


@pytest.fixture
def secrets() -> Secrets:
    return Secrets(["s3cr3t", "12345678", "true"])


@pytest.fixture
def stream(secrets: Secrets) -> io.StringIO:
    stream = io.StringIO()
    set_up_logs(secrets, format_="auto", stream=stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_without_a_terminal_a_line_is_json(stream: io.StringIO) -> None:
    log.info("looked at %s", "shop", extra={"kind": "Environment"})
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["logger"]) == ("looked at shop", "info", "reconciler.test_logs")
    assert line["kind"] == "Environment"
    assert next(iter(line)) == "timestamp"


def test_lines_inside_tell_what_they_are_about(stream: io.StringIO) -> None:
    with about(operation="op-1", project="shop", environment=""):
        log.info("in")
    log.info("out")
    inside, outside = lines(stream)
    assert (inside["operation"], inside["project"]) == ("op-1", "shop")
    assert "environment" not in inside
    assert "operation" not in outside


async def test_tasks_started_inside_tell_it_too_and_do_not_mix(stream: io.StringIO) -> None:
    async def tell() -> None:
        await asyncio.sleep(0)
        log.info("task")

    with about(operation="one"):
        first = asyncio.ensure_future(tell())
    with about(operation="two"):
        second = asyncio.ensure_future(tell())
    await asyncio.gather(first, second)
    assert [line["operation"] for line in lines(stream)] == ["one", "two"]


def test_no_secret_is_told_in_words_fields_or_tracebacks(stream: io.StringIO) -> None:
    try:
        int("s3cr3t")
    except ValueError:
        log.exception(
            "with s3cr3t %s", 12345678, extra={"deep": {"s3cr3t": ["s3cr3t"]}, "number": 12345678, "ok": True}
        )
    text = stream.getvalue()
    assert "s3cr3t" not in text
    assert "12345678" not in text
    (line,) = lines(stream)
    assert "Traceback" in line["exception"]
    assert line["ok"] is True


def test_a_secret_learned_later_is_hidden_from_then_on(stream: io.StringIO, secrets: Secrets) -> None:
    secrets.learn("rotated-one")
    log.info("rotated-one")
    assert lines(stream)[0]["event"] == "***"


def test_kopfs_object_loggers_pass_through(stream: io.StringIO) -> None:
    ref = {"kind": "Environment", "namespace": "ns", "name": "shop--alpha", "uid": "1"}
    log.info("handled", extra={"k8s_ref": ref, "k8s_skip": True, "settings": object()})
    (line,) = lines(stream)
    assert line["object"] == "Environment/ns/shop--alpha"
    assert not {"k8s_ref", "k8s_skip", "settings"} & set(line)


def test_the_console_is_masked_too(secrets: Secrets) -> None:
    stream = io.StringIO()
    set_up_logs(secrets, format_="console", stream=stream)
    try:
        int("s3cr3t")
    except ValueError:
        log.exception("s3cr3t", extra={"field": "s3cr3t"})
    assert "s3cr3t" not in stream.getvalue()
    assert "ValueError" in stream.getvalue()


def test_set_up_twice_tells_once(stream: io.StringIO, secrets: Secrets) -> None:
    set_up_logs(secrets, format_="json", stream=stream)
    log.info("once")
    assert len(lines(stream)) == 1


@pytest.mark.parametrize(("level", "told"), [("debug", 2), ("info", 1), ("error", 0)])
def test_the_level_is_obeyed(secrets: Secrets, level: str, told: int) -> None:
    stream = io.StringIO()
    set_up_logs(secrets, level=level, format_="json", stream=stream)
    log.debug("debug")
    log.info("info")
    assert len(lines(stream)) == told


def test_each_attempt_to_reach_a_broker_that_is_away_is_no_line_of_its_own() -> None:
    stream = io.StringIO()
    set_up_logs(Secrets(), level="info", format_="json", stream=stream)
    logging.getLogger("aiormq.connection").error("error when creating transport: %s", "refused")
    logging.getLogger("aiormq.connection").error("Got frame for closed channel %d: %r", 1, "CloseOk")
    assert stream.getvalue() == ""
