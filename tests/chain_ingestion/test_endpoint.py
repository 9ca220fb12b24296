"""Keys in URLs are not shown."""

from __future__ import annotations

import pytest

from keeper.chain.endpoint import redact, scrub


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://user:pass@node.example:8443/v3/abcdef123?key=zzz#f", "https://node.example:8443"),
        ("ws://127.0.0.1:8545", "ws://127.0.0.1:8545"),
        ("https://node.example/v3/abcdef123", "https://node.example"),
    ],
)
def test_only_scheme_host_and_port_are_shown(url: str, expected: str) -> None:
    """Of a URL only scheme, host and port are shown."""
    assert redact(url) == expected


def test_echoed_keys_are_scrubbed() -> None:
    """A message that echoes the path, the query or the user part loses them."""
    url = "https://someone:letmein@node.example/v3/abcdef123?apikey=qwertyuiop"

    text = scrub("bad key abcdef123 or qwertyuiop of someone:letmein at v3", url)

    assert text == "bad key *** or *** of ***:*** at v3"
