"""URLs without what must not be seen: providers put keys in the path, the query and the user part of theirs."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlsplit

UNPARSABLE = "(a URL, not shown)"
SECRET_LENGTH_MIN = 6
"""A shorter piece of a URL (``v3``, ``rpc``) is a word, not a key."""


def endpoint(url: str) -> str:
    """Return ``scheme://host:port`` of a URL and nothing else of it; no part of one that has no host."""
    try:
        parts = urlsplit(url)
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        return UNPARSABLE
    host = parts.hostname
    if not parts.scheme or not host:
        return UNPARSABLE
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}"


def without_credentials(url: str) -> str:
    """Return the endpoint of a URL, and an ellipsis for a path, query or fragment that was left out."""
    shown = endpoint(url)
    if shown == UNPARSABLE:
        return shown
    parts = urlsplit(url)
    return f"{shown}/…" if parts.path.strip("/") or parts.query or parts.fragment else shown


def without_keys_of(url: str, text: str) -> str:
    """Return ``text`` with every part of ``url`` that may be a key replaced by ``***``, as written or unquoted."""
    parts = urlsplit(url)
    written = [*parts.path.split("/"), parts.query, parts.fragment, parts.username or "", parts.password or ""]
    values = [value for _, value in parse_qsl(parts.query)]
    pieces = dict.fromkeys([*written, *values, *(unquote(piece) for piece in written)])
    text = text.replace(url, endpoint(url))
    for piece in sorted((piece for piece in pieces if len(piece) >= SECRET_LENGTH_MIN), key=len, reverse=True):
        text = text.replace(piece, "***")
    return text
