"""What a system says about an error, in one line that gives nothing away."""

import pytest

from reconciler.clients.http_errors import words
from reconciler.telemetry.masking import Secrets

SECRET = "pa@ss  wo<rd>&1"
TEXT = {"content-type": "text/plain"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"cannot fetch https://bot:pa@ss-word@git.example.com/a", "cannot fetch https://git.example.com/a"),
        (f"cannot fetch https://bot:{SECRET}@git".encode(), "cannot fetch https://git"),
        (f"not welcome:  {SECRET}".encode(), "not welcome: ***"),
        (b"not welcome: pa@ss wo<rd>&1", "not welcome: ***"),
        (b"<title>not welcome: pa@ss  wo&lt;rd&gt;&amp;1</title>", "not welcome: ***"),
        (b"spaces" + b" " * 4070 + SECRET.encode() * 2, "spaces ******…"),
    ],
    ids=["a URL", "a secret in a URL", "two blanks", "two blanks made one", "HTML", "cut where reading ends"],
)
def test_no_piece_of_a_secret_is_left_in_an_error(body: bytes, said: str) -> None:
    secrets = Secrets([SECRET])

    assert secrets.mask(words(TEXT, body, secrets.mask)) == said
