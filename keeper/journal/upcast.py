"""Old records become current ones here and nowhere else.

When a record's fields change, its tag gets the next version number, the struct as it was moves into :data:`UPCASTS`
under its old tag, and a function beside it builds the current one. Journals are never rewritten: a frame keeps the
bytes that its hash covers, and an old record is upgraded each time it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from keeper.core.codec import AnyBody, Record, decoder
from keeper.core.decisions import Decision, LiquidationObserved, Verdict
from keeper.core.errors import JournalForeign
from keeper.core.ids import Hash32
from keeper.core.venue import LiquidationSeen


class Upcast(NamedTuple):
    """How one old tag is read: the struct as it was, and how the current body is built from it."""

    old: type[msgspec.Struct]
    upgrade: Callable[[Any], AnyBody]


Upcasts = Mapping[str, Upcast]


class _LiquidationObserved1(Decision, frozen=True, tag="LiquidationObserved/1"):
    """A liquidation as it was recorded before there were verdicts."""

    liquidation: LiquidationSeen
    block_number: int
    intent_id: Hash32 | None


def _judged(old: _LiquidationObserved1) -> LiquidationObserved:
    verdict, why = (Verdict.UNKNOWN, NOT_JUDGED) if old.intent_id is None else (Verdict.OURS, "")
    return LiquidationObserved(old.liquidation, old.block_number, old.intent_id, verdict, why)


NOT_JUDGED = "it was recorded before liquidations were judged"
UPCASTS: Upcasts = {"LiquidationObserved/1": Upcast(_LiquidationObserved1, _judged)}
TAG_CHARACTERS_MAX = 80
"""What a message shows of a tag."""


class _RawRecord(msgspec.Struct, frozen=True, array_like=True):
    sequence: int
    recorded_at_ms: int
    cause: int
    body: msgspec.Raw


class _Tagged(msgspec.Struct, frozen=True, array_like=True):
    tag: str


_RAW = decoder(list[_RawRecord])
_TAG = decoder(_Tagged)
_BODY = decoder(AnyBody)


def upgrade_records(packed: bytes, upcasts: Upcasts) -> list[Record]:
    """Decode a frame's records one by one, upgrading those whose tag is in ``upcasts``.

    Raises:
        JournalForeign: a tag is neither current nor in the table; names the sequence and the tag.
        MsgspecError: these are not records.
    """
    return [Record(raw.sequence, raw.recorded_at_ms, raw.cause, _upgrade(raw, upcasts)) for raw in _RAW.decode(packed)]


def _upgrade(raw: _RawRecord, upcasts: Upcasts) -> AnyBody:
    tag: str = _TAG.decode(raw.body).tag
    try:
        if tag in upcasts:
            return upcasts[tag].upgrade(decoder(upcasts[tag].old).decode(raw.body))
        body: AnyBody = _BODY.decode(raw.body)
    except msgspec.ValidationError as error:
        raise JournalForeign(
            f"journal record {raw.sequence}",
            f"a {tag[:TAG_CHARACTERS_MAX]} that this version cannot read ({error})",
            "upgrade margin-keeper to the version that wrote it",
        ) from error
    return body
