import re

from hypothesis import given
from hypothesis import strategies as st

from reconciler.sandbox.broker.topics import topic_matches

WORDS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=6)
PATTERNS = st.lists(st.sampled_from(["a", "b", "*", "#"]), min_size=1, max_size=6)


def as_expression(pattern: list[str]) -> str:
    """The same pattern as a regular expression over words that each end with a dot."""
    parts = {"*": r"[^.]+\.", "#": r"(?:[^.]+\.)*"}
    return "".join(parts.get(part, re.escape(part) + r"\.") for part in pattern)


@given(pattern=PATTERNS, words=WORDS)
def test_a_pattern_takes_what_its_regular_expression_takes(pattern: list[str], words: list[str]) -> None:
    expected = re.fullmatch(as_expression(pattern), "".join(f"{word}." for word in words)) is not None
    assert topic_matches(".".join(pattern), ".".join(words)) is expected
