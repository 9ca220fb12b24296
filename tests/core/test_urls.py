"""Keys in URLs are not shown."""

from __future__ import annotations

import pytest

from keeper.core.urls import endpoint, without_credentials, without_keys_of


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://user:pass@node.example:8443/v3/abcdef123?key=zzz#f", "https://node.example:8443"),
        ("ws://127.0.0.1:8545", "ws://127.0.0.1:8545"),
        ("https://node.example/v3/abcdef123", "https://node.example"),
        ("http://[::1]:8545/key", "http://[::1]:8545"),
    ],
)
def test_only_scheme_host_and_port_are_shown(url: str, expected: str) -> None:
    """Of a URL only scheme, host and port are shown."""
    assert endpoint(url) == expected


@pytest.mark.parametrize(
    "url", ["http://[::1/key", "https://node.example:key/v3", "node.example/key", "https:///key", ""]
)
def test_what_is_no_url_is_not_shown(url: str) -> None:
    """A text that cannot be read as a URL with a host may be a key from end to end."""
    assert (endpoint(url), without_credentials(url)) == ("(a URL, not shown)", "(a URL, not shown)")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://node.example", "https://node.example"),
        ("https://node.example/", "https://node.example"),
        ("https://user:pass@node.example", "https://node.example"),
        ("https://node.example/v3", "https://node.example/…"),
        ("https://node.example?key=zzz", "https://node.example/…"),
        ("https://node.example#zzz", "https://node.example/…"),
    ],
)
def test_what_is_left_out_is_marked(url: str, expected: str) -> None:
    """An ellipsis stands for a path, a query or a fragment."""
    assert without_credentials(url) == expected


def test_echoed_keys_are_scrubbed() -> None:
    """A message that echoes the path, the query or the user part loses them."""
    url = "https://someone:letmein@node.example/v3/abcdef123?apikey=qwertyuiop"

    text = without_keys_of(url, "bad key abcdef123 or qwertyuiop of someone:letmein at v3")

    assert text == "bad key *** or *** of ***:*** at v3"


@pytest.mark.parametrize("echo", ["key%2Fwith%20quotes", "key/with quotes", "just-a-query", "a-fragment"])
def test_echoed_keys_are_scrubbed_in_every_spelling(echo: str) -> None:
    """A key is found as it was written in the URL and as it is meant, also where it is no ``name=value``."""
    url = "https://node.example/v3/key%2Fwith%20quotes?just-a-query#a-fragment"

    assert without_keys_of(url, f"bad key {echo}") == "bad key ***"


def test_an_echoed_url_is_cut_down() -> None:
    """A message that echoes the whole URL keeps its endpoint, however short the key."""
    url = "https://node.example/v3/abc"

    assert without_keys_of(url, f"cannot reach {url}") == "cannot reach https://node.example"
