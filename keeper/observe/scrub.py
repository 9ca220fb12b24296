"""What must not leave the process in a log line: secrets by their name, credentials by their shape.

A provider's URL is a credential: the key stands in the path, the query or the user part. A signed transaction that is
logged before it is sent can be front-run. So values under key-like names are dropped whole, and of every URL inside any
text only scheme, host and port stay. A private key looks like any hash and cannot be told by its shape: that it never
reaches a log is the signer's duty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from keeper.core.urls import without_credentials

DROPPED = "***"

_SECRET_NAME = re.compile(
    r"pass(word|phrase|wd)|secret|private_?key|api_?key|key_?(hex|store_?json)|mnemonic|seed_?phrase|auth(orization|_token)"
    r"|credential|cookie|bearer|jwt|^raw$|raw_?(tx|transaction)|signed",
    re.IGNORECASE,
)
_URL = re.compile(r"\b(?!sqlite:|memory:|file:)[a-z][a-z0-9+.-]*://[^\s'\"<>]*[^\s'\"<>:;,.]", re.IGNORECASE)


def is_secret_name(name: str) -> bool:
    """Tell whether a field of this name holds what must not be logged."""
    return _SECRET_NAME.search(name.replace("-", "_")) is not None


def redact_urls(text: str) -> str:
    """Cut every URL in a text down to scheme, host and port; an ellipsis stands for the rest.

    URLs of files on this machine stay: they name a place, not a right.
    """
    return _URL.sub(lambda found: without_credentials(found.group()), text)


def scrubbed(value: object) -> object:
    """Return a value of a log line without secrets; mappings and lists are looked through."""
    match value:
        case str():
            return redact_urls(value)
        case Mapping():
            return {key: DROPPED if is_secret_name(str(key)) else scrubbed(item) for key, item in value.items()}
        case list() | tuple():
            return [scrubbed(item) for item in value]
        case BaseException():
            return redact_urls(f"{type(value).__name__}: {value}")
        case bytes():
            return "0x" + value.hex()
    return value
