"""Git addresses and the prefixes that credentials are for. Pure."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

_SCP = re.compile(r"(?:(?P<user>[^@/]+)@)?(?P<host>[^:/]+):(?P<path>.+)")


def longest_prefix(url: str, prefixes: Iterable[str]) -> str | None:
    """Return the prefix that fits the address best: scheme and host exactly, the path by whole segments."""
    wanted = _parts(url)
    fitting = [prefix for prefix in prefixes if _is_below(wanted, _parts(prefix))]
    return max(fitting, key=lambda prefix: len(_parts(prefix)[2]), default=None)


def _is_below(url: tuple[str, str, tuple[str, ...]], prefix: tuple[str, str, tuple[str, ...]]) -> bool:
    scheme, host, path = prefix
    return (scheme, host) == url[:2] and url[2][: len(path)] == path


def _parts(url: str) -> tuple[str, str, tuple[str, ...]]:
    """Return scheme, host and path segments; `git@host:path` counts as ssh."""
    if "://" not in url and (scp := _SCP.fullmatch(url)):
        return "ssh", scp["host"].lower(), _segments(scp["path"])
    split = urlsplit(url)
    return split.scheme.lower(), split.netloc.rpartition("@")[2].lower(), _segments(split.path)


def _segments(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.split("/") if part)
