"""Cutting words of others to the length there is room for."""

CUT = "…"
"""Ends a text that was longer. Masking looks before it for the beginning of a secret that the cut went through."""


def cut(text: str, longest: int = 256) -> str:
    """Return the text, or its beginning and `…`; at most `longest` characters in all."""
    return text if len(text) <= longest else text[: longest - len(CUT)] + CUT
