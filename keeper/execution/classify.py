"""What a node's answer to ``eth_sendRawTransaction`` means: the table is ``send_errors.toml``, which says why.

Of all rows that match a message the longest words speak, so no row's place matters. Two rows of equal length that
disagree about one message leave it ``unknown``: the transaction may or may not be in the pool, and only a receipt will
tell.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from typing import Literal

import msgspec

from keeper.core.errors import ConfigError, NodeRefused

Answer = Literal[
    "accepted",
    "unknown",
    "underpriced",
    "nonce_too_low",
    "nonce_too_high",
    "insufficient_funds",
    "fee_cap_exceeded",
]

_FILE = "send_errors.toml"


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Words (lower case) that occur in an error message, what they mean, who says them, and where that is written."""

    client: Literal["geth", "reth", "nethermind", "erigon", "anvil", "besu"]
    words: str
    means: Literal[
        "accepted", "underpriced", "nonce_too_low", "nonce_too_high", "insufficient_funds", "fee_cap_exceeded"
    ]
    source: str


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: tuple[Row, ...]


def parse_table(raw: bytes) -> tuple[Row, ...]:
    """Read the table.

    Raises:
        ConfigError: it is not of the promised form, has words that could never match, or gives the same words two
            meanings.
    """
    try:
        rows = msgspec.toml.decode(raw, type=_Table).text
    except msgspec.MsgspecError as error:
        raise ConfigError(_FILE, str(error), "put the packaged file back") from None
    meanings: dict[str, str] = {}
    for row in rows:
        if not row.words.strip() or row.words != row.words.lower():
            raise ConfigError(_FILE, f"words {row.words!r} of {row.client} never match", "write them in lower case")
        if meanings.setdefault(row.words, row.means) != row.means:
            reason = f"words {row.words!r} mean {meanings[row.words]} and {row.means}"
            raise ConfigError(_FILE, reason, "use longer words where two clients disagree")
    return rows


TABLE = parse_table(files("keeper.execution").joinpath(_FILE).read_bytes())


def classify_refusal(refusal: NodeRefused, table: Iterable[Row] = TABLE) -> Answer:
    """Return what a node's error object says of the transaction it was sent; ``unknown`` when no row knows it."""
    message = refusal.message.lower()
    matching = [row for row in table if row.words in message]
    longest = max((len(row.words) for row in matching), default=0)
    meanings = {row.means for row in matching if len(row.words) == longest}
    return meanings.pop() if len(meanings) == 1 else "unknown"
