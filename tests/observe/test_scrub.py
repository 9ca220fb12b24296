"""What scrubbing takes out, and what it leaves."""

from __future__ import annotations

import pytest

from keeper.observe.scrub import redact_urls, scrubbed


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "signer_password",
        "PASSPHRASE",
        "client_secret",
        "private_key",
        "private-key",
        "apiKey",
        "api_key",
        "key_hex",
        "mnemonic",
        "Authorization",
        "raw",
        "raw_tx",
        "signed_transaction",
    ],
)
def test_key_like_names_lose_their_value(name: str) -> None:
    """Whatever stands under a name that a secret would have is dropped, nested or not."""
    assert scrubbed({"outer": [{name: "s3cr3t"}]}) == {"outer": [{name: "***"}]}


@pytest.mark.parametrize("name", ["token", "key", "signer", "account", "tx_hash", "nonce", "seed", "draw"])
def test_words_of_the_field_stay(name: str) -> None:
    """A name that means something harmless here keeps its value."""
    assert scrubbed({name: "value"}) == {name: "value"}


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("https://eth.example/v3/0123456789abcdef", "https://eth.example/…"),
        ("https://eth.example:8443/?key=0123", "https://eth.example:8443/…"),
        ("https://user:pass@eth.example", "https://eth.example"),
        ("wss://eth.example/ws#0123", "wss://eth.example/…"),
        ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
        ("http://127.0.0.1:8545/", "http://127.0.0.1:8545"),
        ("http://[::1]:8545/key", "http://[::1]:8545/…"),
        ("http://[::1/key", "(a URL, not shown)"),
        ("nats://token@bus.example:4222", "nats://bus.example:4222"),
    ],
)
def test_urls_keep_their_host_alone(written: str, shown: str) -> None:
    """Of a URL inside a text only scheme, host and port are shown."""
    assert redact_urls(f"asked '{written}' twice") == f"asked '{shown}' twice"


@pytest.mark.parametrize("mark", [":", ";", ",", "."])
def test_a_mark_after_a_url_is_not_of_it(mark: str) -> None:
    """Which node an error is about shows, though the error's own colon follows the URL at once."""
    assert redact_urls(f"http://127.0.0.1:8545{mark} no answer") == f"http://127.0.0.1:8545{mark} no answer"


def test_journal_urls_stay() -> None:
    """The place of a file on this machine is no credential."""
    assert redact_urls("opened sqlite:///srv/keeper/journal.db") == "opened sqlite:///srv/keeper/journal.db"


def test_exceptions_are_scrubbed() -> None:
    """An exception that is logged as a value shows no credential either."""
    assert scrubbed(ValueError("no https://a.example/key")) == "ValueError: no https://a.example/…"


def test_bytes_are_shown_as_hexadecimal() -> None:
    """Addresses and hashes are readable in a log."""
    assert scrubbed((b"\x01\xff", 7, None)) == ["0x01ff", 7, None]
