"""What a journal says of its own completeness."""

from __future__ import annotations

from keeper.core.codec import AnyBody, Record
from keeper.core.decisions import AuditAgreed, AuditFailed
from keeper.core.facts import (
    AccountsAudited,
    BlockFinalized,
    BlockReverted,
    BlocksBackfilled,
    LogsRepaired,
    RangeVerified,
)
from keeper.core.ids import content_id
from keeper.observe.completeness import Completeness, CompletenessFold, Stretch
from tests.observe import records

CHAIN = records.CHAIN_ID


def folded(*bodies: AnyBody) -> Completeness:
    """Fold records of one chain."""
    fold = CompletenessFold()
    for sequence, body in enumerate(bodies, 1):
        fold.take(Record(sequence, 0, 0, body))
    [chain] = fold.result()
    return chain


def ranged(first: int, last: int) -> BlocksBackfilled:
    """Return an empty range."""
    return BlocksBackfilled(CHAIN, first, records.header(last), (), (), 0)


def verified(first: int, last: int) -> RangeVerified:
    """Return a confirmation."""
    return RangeVerified(CHAIN, first, last, content_id("digest"), ("a", "b"))


def test_a_whole_history() -> None:
    """Ranges join, what nobody confirmed is named, and everything that happened is counted."""
    chain = folded(
        ranged(5, 9),
        verified(5, 9),
        ranged(10, 12),
        records.block_applied(13),
        records.block_applied(14),
        BlockReverted(CHAIN, 14, records.block_hash(14)),
        records.block_applied(14),
        BlockFinalized(CHAIN, 13, records.block_hash(13)),
        LogsRepaired(CHAIN, 12, (), "b", "a"),
        AccountsAudited(CHAIN, "aave", 14, records.block_hash(14), ()),
        AuditAgreed("aave", (records.ACCOUNT,), 14),
        AuditFailed("aave", records.SIGNER, 14, "1", "2"),
        verified(12, 13),
    )

    assert chain == Completeness(
        CHAIN,
        first=5,
        tip=14,
        finalized=13,
        backfilled=[Stretch(5, 12)],
        applied=3,
        verified=[Stretch(5, 9, ("a", "b")), Stretch(12, 13, ("a", "b"))],
        unverified=[Stretch(10, 11)],
        reorgs=[1],
        repairs=[12],
        audits=1,
        audits_agreed=1,
        audits_failed=1,
    )


def test_a_missing_block_is_a_hole() -> None:
    """Blocks between one record and the next are named."""
    assert folded(ranged(5, 9), records.block_applied(12)).holes == [Stretch(10, 11)]
