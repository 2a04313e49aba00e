"""Words of others are cut to the room there is, counted as the API server counts."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.domain.words import CUT, cut


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("x" * 10, "x" * 10),
        ("x" * 11, "x" * 7 + "…"),
        ("four words of text", "four wo…"),
        ("构建失败", "构建…"),
        ("构建失", "构建失"),
        ('"""""', '"""""'),
        ("\x1b[31mred", "\x1b[…"),
        ("", ""),
    ],
)
def test_what_is_longer_than_its_room_ends_with_a_sign(text: str, kept: str) -> None:
    assert cut(text, 10) == kept


@given(st.text(max_size=600), st.integers(4, 512))
def test_no_words_take_more_room_than_there_is_and_their_beginning_stays(text: str, longest: int) -> None:
    kept = cut(text, longest)

    assert len(orjson.dumps(kept)) - 2 <= longest
    assert kept == text or text.startswith(kept.removesuffix(CUT))
