"""Cutting words of others to the room there is for them."""

import json

CUT = "…"
"""Ends a text that was longer. Masking looks before it for the beginning of a secret that the cut went through."""


def cut(text: str, longest: int = 256) -> str:
    """Return the text, or its beginning and `…`: at most `longest` bytes of JSON in all, so no more characters either.

    By bytes, because a status has room for 256 KiB and words may be Chinese, or full of escapes.
    """
    if _weight(text[: longest + 1]) <= longest:
        return text
    left, end = longest - _weight(CUT), 0
    while (left := left - _weight(text[end])) >= 0:
        end += 1
    return text[:end] + CUT


def _weight(text: str) -> int:
    """Return how many bytes a text is in JSON, without the quotes around it."""
    return len(json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass")) - 2
