"""Logs: stdlib's loggers everywhere, structlog as their formatter; JSON lines, or words for a terminal.

Kopf's object loggers pass through: their `extra` becomes fields. (An `extra` of ours must not be called `settings`,
`k8s_skip` or `k8s_ref`: Kopf reads those.) What a line belongs to is bound by `about(...)` for everything inside, tasks
started inside included. The last processor takes the secrets out, tracebacks included.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, TextIO

import structlog
from structlog.contextvars import bound_contextvars
from structlog.typing import EventDict, Processor, WrappedLogger

from reconciler.telemetry.masking import Secrets

Format = Literal["auto", "json", "console"]

_QUIET = ("aiormq", "aio_pika", "asyncio", "aiohttp.access")
"""Libraries that tell at INFO what nobody asked for."""
_NOISE = (
    ("kopf.", "Request attempt #"),
    ("aiormq.", "error when creating transport"),
    ("aiormq.", "Got frame for closed channel"),
)
"""Kopf tells each retry of each of its watches as an error, the AMQP library each attempt to connect, and the broker's
answer when we closed a channel; an outage is told once, by who notices it."""
_KOPF = ("settings", "k8s_skip", "k8s_ref")
_FIELDS = ("operation", "project", "environment", "component", "traceparent")


def set_up_logs(
    secrets: Secrets, *, level: str = "info", format_: Format = "auto", stream: TextIO | None = None
) -> None:
    """Make all loggers write through us to `stream` (default standard error), and nowhere else."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(secrets, is_json=not _is_for_people(format_, stream)))
    handler.addFilter(_is_not_noise)
    root = logging.getLogger()
    for former in root.handlers[:]:
        root.removeHandler(former)
        former.close()
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(capture=True)


@contextmanager
def about(**fields: str) -> Iterator[None]:
    """Bind fields (`operation`, `project`, `environment`, ...) to every line that is told inside."""
    with bound_contextvars(**{name: value for name, value in fields.items() if value}):
        yield


def _is_for_people(format_: Format, stream: TextIO) -> bool:
    return format_ == "console" or (format_ == "auto" and stream.isatty())


def _formatter(secrets: Secrets, *, is_json: bool) -> logging.Formatter:
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.ExtraAdder(),
        _drop_kopfs_own,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if is_json:
        # Values are masked, not the rendered line: a secret `true` or `1234` would leave broken JSON behind.
        last += [structlog.processors.format_exc_info, _in_order, _Masking(secrets)]
        last += [structlog.processors.JSONRenderer(default=str)]
    else:
        last += [structlog.dev.ConsoleRenderer(), _MaskingText(secrets)]
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last)


def _is_not_noise(record: logging.LogRecord) -> bool:
    """Leave out what libraries tell as errors and is none, unless everything is wanted."""
    text = str(record.msg)
    is_noise = any(record.name.startswith(name) and text.startswith(words) for name, words in _NOISE)
    return not is_noise or logging.getLogger().isEnabledFor(logging.DEBUG)


class _Masking:
    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return {name: self._secrets.mask_all(value) for name, value in event.items()}


class _MaskingText:
    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def __call__(self, _: WrappedLogger, __: str, line: Any) -> str:
        return self._secrets.mask(str(line))


def _drop_kopfs_own(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Leave out what Kopf hands from its adapters to its handlers; of the object only kind, namespace and name."""
    ref = event.get("k8s_ref")
    if isinstance(ref, dict):
        event["object"] = f"{ref.get('kind')}/{ref.get('namespace') or '-'}/{ref.get('name')}"
    for name in _KOPF:
        event.pop(name, None)
    return event


def _in_order(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Put time, level, logger and words first: lines are read by people too."""
    first = {name: event[name] for name in ("timestamp", "level", "logger", "event", *_FIELDS) if name in event}
    return {**first, **event}
