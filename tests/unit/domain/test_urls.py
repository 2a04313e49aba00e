"""Which credential is for which git address: scheme and host exactly, the path by whole segments, the longest wins."""

import pytest

from reconciler.domain.urls import longest_prefix

URL = "https://git.example.com/acme/shop.git"


@pytest.mark.parametrize(
    ("url", "prefixes", "expected"),
    [
        (URL, ["https://git.example.com/", "https://git.example.com/acme"], "https://git.example.com/acme"),
        (URL, ["https://git.example.com/ac", "https://git.example.com/acme/sh"], None),
        (URL, ["https://git.example.com/acme/"], "https://git.example.com/acme/"),
        (URL, [URL], URL),
        (URL, ["http://git.example.com/acme"], None),
        (URL, ["https://git.example.com.evil.test/acme"], None),
        (URL, ["https://example.com/acme"], None),
        (URL, ["https://git.example.com:8443/acme"], None),
        ("https://git.example.com:8443/a/b", ["https://git.example.com:8443/a"], "https://git.example.com:8443/a"),
        ("https://GIT.example.com/acme/shop", ["https://git.example.com/acme"], "https://git.example.com/acme"),
        ("git@git.example.com:acme/shop.git", ["git@git.example.com:acme"], "git@git.example.com:acme"),
        ("git@git.example.com:acme/shop.git", ["ssh://git@git.example.com/acme"], "ssh://git@git.example.com/acme"),
        ("git@git.example.com:acmes/shop.git", ["git@git.example.com:acme"], None),
        ("https://git.example.com:port/acme", ["https://git.example.com/"], None),
        (URL, [], None),
    ],
)
def test_the_longest_prefix_of_whole_segments_fits_best(url: str, prefixes: list[str], expected: str | None) -> None:
    assert longest_prefix(url, prefixes) == expected
