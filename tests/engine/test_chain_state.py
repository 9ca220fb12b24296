"""What the engine holds of a chain."""

from __future__ import annotations

import msgspec
import pytest

from keeper.core.errors import FinalityViolated, InvariantBroken
from keeper.core.facts import BlockApplied, BlockHeader, BlocksBackfilled
from keeper.core.ids import content_id
from keeper.engine.chain_state import RECENT_BLOCKS_MIN, ChainState


def header(number: int) -> BlockHeader:
    """Return a block of the one branch."""
    return BlockHeader(number, content_id(number), content_id(number - 1), number, 0, b"")


def applied(block: BlockHeader) -> BlockApplied:
    """Return the fact of an empty block at the head."""
    return BlockApplied(1, block, (), (), 0)


def chain(length: int) -> ChainState:
    """Return a chain of blocks 1 to ``length``."""
    state = ChainState(1)
    for number in range(1, length + 1):
        state.apply(applied(header(number)), 0)
    return state


def test_empty() -> None:
    """Before the first block there is no tip, and asking for its number is our own bug."""
    assert ChainState(1).tip is None
    with pytest.raises(InvariantBroken, match="no block yet"):
        _ = ChainState(1).tip_number


def test_revert_returns_to_the_parent() -> None:
    """After a revert the parent is the tip again."""
    state = chain(3)
    state.revert(3, content_id(3))
    assert state.tip == header(2)


def test_only_the_tip_is_reverted() -> None:
    """A block that is not the tip cannot be reverted before those above it."""
    with pytest.raises(InvariantBroken, match="not the tip"):
        chain(3).revert(2, content_id(2))


def test_only_block_is_abandoned() -> None:
    """The only block that is held may be abandoned while it is not final; any block may then come first."""
    state = chain(1)
    state.revert(1, content_id(1))
    assert state.tip is None


def test_finality_never_goes_back() -> None:
    """A lower final block than before is ignored."""
    state = chain(3)
    assert [state.finalize(2, content_id(2)), state.finalize(1, content_id(1))] == [True, False]
    assert state.finalized_number == 2


def test_other_final_block() -> None:
    """Another final block than the one held halts."""
    with pytest.raises(FinalityViolated):
        chain(3).finalize(2, content_id("other"))


def test_final_beyond_the_tip() -> None:
    """A final block that was not applied is our own bug."""
    with pytest.raises(InvariantBroken, match="not applied"):
        chain(3).finalize(4, content_id(4))


def test_bounded() -> None:
    """Only the newest blocks and those that are not final are held."""
    state = chain(RECENT_BLOCKS_MIN + 50)
    assert len(state.recent) == RECENT_BLOCKS_MIN + 50
    state.finalize(20, content_id(20))
    assert state.recent[0] == (20, content_id(20))
    state.finalize(RECENT_BLOCKS_MIN, content_id(RECENT_BLOCKS_MIN))
    assert (len(state.recent), state.recent[0][0]) == (RECENT_BLOCKS_MIN, 51)


def test_canonical() -> None:
    """A block is canonical when it is held, or older and final; never when it is above the tip."""
    state = chain(3)
    state.backfill(BlocksBackfilled(1, 4, header(9), (), (), 0))
    asked = [(9, content_id(9)), (9, content_id("other")), (5, content_id("any")), (10, content_id(10))]
    assert [state.is_canonical(number, block_hash) for number, block_hash in asked] == [True, False, True, False]


def test_older_than_held() -> None:
    """A block older than those held, and not final, is not taken as told."""
    state = ChainState(1)
    state.apply(applied(header(5)), 0)
    assert not state.is_canonical(3, content_id(3))


def test_nothing_is_canonical_at_first() -> None:
    """Without a block nothing is canonical."""
    assert not ChainState(1).is_canonical(0, content_id(0))


def test_range_with_a_hole() -> None:
    """A range that does not begin right after the tip is refused."""
    with pytest.raises(InvariantBroken, match="does not follow the tip"):
        chain(3).backfill(BlocksBackfilled(1, 5, header(9), (), (), 0))


def test_blooms_are_not_kept() -> None:
    """A header is held without its bloom, which nobody asks for again and every snapshot would carry."""
    state = ChainState(1)
    state.apply(applied(msgspec.structs.replace(header(1), logs_bloom=bytes(256))), 0)
    assert state.tip == header(1)
