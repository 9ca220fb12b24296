"""Where a node is, without what must not be seen: provider URLs carry keys in path, query and user part."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

SECRET_LENGTH_MIN = 6


def redact(url: str) -> str:
    """Return ``scheme://host:port`` of a URL and nothing else of it."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port is not None else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}"


def scrub(text: str, url: str) -> str:
    """Return ``text`` with every part of ``url`` that may be a key replaced by ``***``."""
    parts = urlsplit(url)
    pieces = [*parts.path.split("/"), *(value for _, value in parse_qsl(parts.query)), parts.username, parts.password]
    for piece in sorted((piece for piece in pieces if piece), key=len, reverse=True):
        if len(piece) >= SECRET_LENGTH_MIN:
            text = text.replace(piece, "***")
    return text
