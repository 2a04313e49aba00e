"""DNS values in one form, whatever a provider writes: what is equal compares as equal. Used by the DNS clients."""

import re
from ipaddress import ip_address

from reconciler.domain.outside.dns import RecordType

WRITABLE = frozenset({RecordType.A, RecordType.AAAA, RecordType.CNAME, RecordType.TXT})
"""The types that we write."""
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


def plain(kind: str, value: str) -> str:
    """Return a value without what says nothing: the last dot, case and zeros of an address, the quotes of a TXT."""
    if kind == RecordType.TXT:
        return unquoted(value)
    value = value.lower().rstrip(".")
    return shortest(value) if kind == RecordType.AAAA else value


def shortest(address: str) -> str:
    """Write an address the shortest way; what is none stays as it is."""
    try:
        return str(ip_address(address))
    except ValueError:
        return address


def unquoted(text: str) -> str:
    """Take the quotes off a TXT value; several quoted strings are one value."""
    strings = list(_QUOTED.finditer(text))
    if not strings or _QUOTED.sub("", text).strip():
        return text
    return "".join(re.sub(r"\\(.)", r"\1", string.group(1)) for string in strings)


def quoted(text: str) -> str:
    """Write a TXT value as zone files have it: one quoted string."""
    escaped = re.sub(r'(["\\])', r"\\\1", text)
    return f'"{escaped}"'
