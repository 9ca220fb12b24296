"""What must not leave the process in a log line: secrets by their name, credentials by their shape.

A provider's URL is a credential: the key stands in the path, the query or the user part. A signed transaction that is
logged before it is sent can be front-run. So values under key-like names are dropped whole, of every URL inside any
text only scheme, host and port stay, and of bytes longer than a hash, as bytes or as hexadecimal, only their beginning
(a signed transaction has 100 and more). A private key looks like any hash and cannot be told by its shape: that it
never reaches a log is the signer's duty.

What comes out is plain: mappings, lists, text, numbers. An object that is none of these is its own text, scrubbed, so
that no renderer meets an object whose way of printing nobody has looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from keeper.core.urls import without_credentials

DROPPED = "***"
DEPTH_MAX = 8
"""Deeper nesting than any event has; also the end of a container that holds itself."""
BYTES_SHOWN_MAX = 32

_NAMES = (
    r"pass(?:word|phrase|wd)|secret|private_?key|api_?key|key_?(?:hex|store_?json)|mnemonic|seed_?phrase|(?<![a-z])raw(?![a-z])"
    r"|auth(?:orization|_token)|(?:access|api|refresh|session)_?token|credential|cookie|bearer|jwt|signed"
)
_SECRET_NAME = re.compile(_NAMES, re.IGNORECASE)
_ASSIGNED = re.compile(
    rf"((?:{_NAMES})\w*(?:\s*=|['\"]\s*[:=])\s*)(?:b?'[^']*'|b?\"[^\"]*\"|[^\s,;)\]}}]+)", re.IGNORECASE
)
_URL = re.compile(r"\b(?!sqlite:|memory:|file:)[a-z][a-z0-9+.-]*://[^\s'\"<>]*[^\s'\"<>:;,.]", re.IGNORECASE)
_LONG_HEX = re.compile(rf"\b(0x)?([0-9a-f]{{8}})[0-9a-f]{{{2 * BYTES_SHOWN_MAX - 7},}}\b", re.IGNORECASE)


def is_secret_name(name: str) -> bool:
    """Tell whether a field of this name holds what must not be logged."""
    return _SECRET_NAME.search(name.replace("-", "_")) is not None


def redact_urls(text: str) -> str:
    """Cut every URL in a text down to scheme, host and port; an ellipsis stands for the rest.

    URLs of files on this machine stay: they name a place, not a right.
    """
    return _URL.sub(lambda found: without_credentials(found.group()), text)


def redacted(text: str) -> str:
    """Return a text without credentials in URLs, without ``password=...``, and with long hexadecimal cut short."""
    return _LONG_HEX.sub(r"\1\2…", _ASSIGNED.sub(rf"\1{DROPPED}", redact_urls(text)))


def scrubbed(value: object, depth: int = 0) -> object:
    """Return a value of a log line, plain and without secrets; mappings and lists are looked through."""
    match value:
        case _ if depth > DEPTH_MAX:
            return "…"
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {redacted(str(name)): _under(str(name), item, depth) for name, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return _each(value, depth)
    return redacted(_text(value))


def _text(value: object) -> str:
    match value:
        case bytes() | bytearray() | memoryview():
            return "0x" + bytes(value).hex()
        case BaseException():
            return f"{type(value).__name__}: {value}"
    return str(value)


def _each(values: Iterable[object], depth: int) -> list[object]:
    return [scrubbed(item, depth + 1) for item in values]


def _under(name: str, item: object, depth: int) -> object:
    return DROPPED if is_secret_name(name) else scrubbed(item, depth + 1)
