"""No secret leaves: every value the process has read as a secret is taken out of whatever is told.

A value is found raw, URL-encoded (both ways of writing a blank), as base64 (at each of the three positions it can
stand at inside a longer value, as in `Basic` of user and password), and as JSON and HTML write it; where a text was
cut (`…`, see `domain.words`) also its beginning. Values shorter than four characters are not learned: they would blot
out every `a` or `1` of all logs, and are no protection to begin with.
"""

import base64
import html
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from reconciler.domain.words import CUT

HIDDEN = "***"
SHORTEST = 4
_MANY = 40
"""From so many forms on (some ten secrets) the expression alone is slower than looking for their beginnings first."""


class Secrets:
    """The secrets this process has read. Learning is rare, masking is frequent: one expression finds them all."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._learned: set[str] = set()
        self._forms: set[str] = set()
        self._beginnings: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        for value in values:
            self.learn(value)

    def learn(self, value: str | bytes) -> None:
        """Hide `value` from now on; a value of several lines also line by line."""
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        if text in self._learned:
            return
        self._learned.add(text)
        parts = {text, text.strip(), " ".join(text.split()), *(line.strip() for line in text.splitlines())}
        found = {form for part in parts if len(part) >= SHORTEST for form in _forms(part)}
        self._forms |= found
        self._beginnings |= {form[:SHORTEST] for form in found}
        self._pattern = None

    def mask(self, text: str) -> str:
        """Return the text with every secret in it replaced by `***`."""
        if not self._forms or not self._may_hold_one(text):
            return text
        if self._pattern is None:
            longest_first = sorted(self._forms, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))
        masked = self._pattern.sub(HIDDEN, text)
        if CUT not in masked:
            return masked
        *cut_off, last = masked.split(CUT)
        return CUT.join([*map(self._without_beginning_at_end, cut_off), last])

    def _without_beginning_at_end(self, text: str) -> str:
        """Hide the beginning of a secret that a text ends with: its rest was cut off."""
        longest = max(map(len, self._forms))
        for start in range(max(0, len(text) - longest), len(text) - SHORTEST + 1):
            end = text[start:]
            if end[:SHORTEST] in self._beginnings and any(form.startswith(end) for form in self._forms):
                return text[:start] + HIDDEN
        return text

    def _may_hold_one(self, text: str) -> bool:
        """Whether some form begins somewhere in the text; the cost does not grow with the number of secrets."""
        if len(self._forms) < _MANY:
            return True
        # Four columns of characters, because SHORTEST is 4.
        return not self._beginnings.isdisjoint(map("".join, zip(text, text[1:], text[2:], text[3:], strict=False)))

    def mask_all(self, value: Any) -> Any:
        """Return the value with every string in it masked: text, bytes, mappings (keys too), lists, tuples, sets."""
        match value:
            case str():
                return self.mask(value)
            case bytes() | bytearray():
                return self.mask(bytes(value).decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
            case Mapping():
                return {self.mask_all(key): self.mask_all(each) for key, each in value.items()}
            case list() | tuple() | set() | frozenset():
                kind = list if isinstance(value, list) else tuple if isinstance(value, tuple) else set
                return kind(self.mask_all(each) for each in value)
            case None | bool():
                return value
            case _:
                return self._mask_object(value)

    def _mask_object(self, value: Any) -> Any:
        """Leave an object as it is unless its text holds a secret: then only the masked text is left."""
        text = str(value)
        masked = self.mask(text)
        return value if masked == text else masked


def _forms(value: str) -> set[str]:
    forms = {value, html.escape(value), quote(value, safe=""), quote(value), quote_plus(value), json.dumps(value)[1:-1]}
    forms |= {json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]}
    forms |= {re.sub(r"%[0-9A-F]{2}", lambda escape: escape.group().lower(), form) for form in tuple(forms)}
    raw = value.encode()
    for shift in range(3):
        forms |= {form for form in _base64_at(raw, shift) if len(form) >= SHORTEST}
    return forms


def _base64_at(raw: bytes, shift: int) -> set[str]:
    """Return what base64 makes of `raw` when `shift` bytes modulo 3 stand before it, without the mixed characters."""
    start = (0, 2, 3)[shift]
    encoded = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
    whole = (shift + len(raw)) * 8 // 6
    inner = encoded[start:whole]
    return {inner, inner.replace("+", "-").replace("/", "_")}
