import base64
import html
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from reconciler.domain.words import cut
from reconciler.telemetry.masking import Secrets

SECRET = 'p/ss wörd"+=\\x'


@pytest.mark.parametrize(
    "leak",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        quote(SECRET, safe="").lower(),
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        repr(SECRET),
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
    ],
)
def test_a_secret_is_hidden_in_every_form_it_is_written_in(leak: str) -> None:
    masked = Secrets([SECRET]).mask(f"before {leak} after")
    assert "***" in masked
    assert leak not in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")


@given(
    st.text(st.characters(codec="ascii", categories=("L", "N", "P")), min_size=8, max_size=40),
    st.text(st.characters(codec="ascii"), max_size=9),
    st.text(st.characters(codec="ascii"), max_size=9),
)
def test_base64_of_a_longer_text_gives_nothing_away(secret: str, before: str, after: str) -> None:
    encoded = base64.b64encode(f"{before}{secret}{after}".encode()).decode()
    masked = Secrets([secret]).mask(encoded)
    assert "***" in masked
    rest = "".join(masked.split("***"))
    # What is left is what stands around the secret, and at most one shared character on each side.
    assert len(rest) <= (len(before) + len(after)) * 4 / 3 + 6


@given(st.text(min_size=4), st.text(), st.text())
def test_no_text_holds_a_learned_value_after_masking(secret: str, before: str, after: str) -> None:
    assume("*" not in secret and "***" not in before + after)
    masked = Secrets([secret]).mask(before + secret + after)
    assert secret not in masked


def test_short_values_are_not_learned() -> None:
    assert Secrets(["abc", ""]).mask("abc abcabc") == "abc abcabc"


def test_the_longer_of_two_secrets_is_hidden_whole() -> None:
    assert Secrets(["token", "token-and-more"]).mask("x token-and-more y") == "x *** y"


def test_lines_of_a_key_are_hidden_each() -> None:
    secrets = Secrets(["-----BEGIN\nAAAABBBB\nCCCCDDDD\n"])
    assert secrets.mask("line CCCCDDDD") == "line ***"


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ({"a": "hush!", "hush!": 1}, {"a": "***", "***": 1}),
        (["hush!", ("hush!", b"a hush!")], ["***", ("***", b"a ***")]),
        ({"deep": [{"x": "so hush!"}]}, {"deep": [{"x": "so ***"}]}),
        (ValueError("hush!"), "***"),
        (12345678, "***"),
        (b"\xff\xfe hush!", b"\xff\xfe ***"),
        (3, 3),
        (None, None),
    ],
)
def test_nested_values_are_masked(value: Any, masked: Any) -> None:
    assert Secrets(["hush!", "12345678"]).mask_all(value) == masked


def test_what_is_learned_later_is_hidden_from_then_on() -> None:
    secrets = Secrets()
    assert secrets.mask("rotated") == "rotated"
    secrets.learn(b"rotated")
    assert secrets.mask("rotated") == "***"


@given(st.text(min_size=4), st.text(), st.text())
def test_many_secrets_are_hidden_as_well_as_few(secret: str, before: str, after: str) -> None:
    assume("*" not in secret + before + after)
    many = Secrets([*(f"other-secret-{number}" for number in range(50)), secret])
    assert secret not in many.mask(before + secret + after)


WRITTEN_AS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "in a URL": lambda secret: quote(secret, safe=""),
    "in a form": quote_plus,
    "in JSON": lambda secret: json.dumps(secret)[1:-1],
    "in HTML": html.escape,
    "base64": lambda secret: base64.b64encode(secret.encode()).decode().rstrip("="),
    "base64 after one byte": lambda secret: base64.b64encode(b"u" + secret.encode()).decode().rstrip("="),
    "base64 after two bytes": lambda secret: base64.b64encode(b"u:" + secret.encode()).decode().rstrip("="),
}


@given(
    secret=st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S")), min_size=12, max_size=60),
    before=st.integers(0, 256),
    after=st.integers(0, 300),
)
@pytest.mark.parametrize("form", WRITTEN_AS)
def test_words_that_are_cut_give_away_no_beginning_of_a_secret(form: str, secret: str, before: int, after: int) -> None:
    written = WRITTEN_AS[form](secret)
    assume("*" not in secret and " " * 4 not in written)
    masked = Secrets([secret]).mask(cut(" " * before + written + " " * after))
    # Around what stands whole of a secret in base64, up to two characters mix it with their neighbours.
    assert longest_common(masked, written) < 8


def longest_common(text: str, of: str) -> int:
    """Return the length of the longest piece of `of` that stands in `text`."""
    pieces = (end - start for start in range(len(of)) for end in range(start + 1, len(of) + 1) if of[start:end] in text)
    return max(pieces, default=0)


def test_what_only_resembles_the_beginning_of_a_secret_stays() -> None:
    secrets = Secrets(["production-password"])
    assert secrets.mask("seen in production") == "seen in production"
    assert secrets.mask("seen in the sand…") == "seen in the sand…"
    assert secrets.mask("password is production-pass…; more") == "password is ***…; more"
