"""A second provider's word: undo is kept until it came, and wrong logs are put right."""

from __future__ import annotations

import msgspec
import pytest

from keeper.core.decisions import AnyDecision, IntentState
from keeper.core.digest import block_digest, range_digest
from keeper.core.errors import InvariantBroken
from keeper.core.facts import BackfilledBlock, BlocksBackfilled, LogsRepaired, RangeVerified, RawLog, RepairedBlock
from keeper.core.ids import content_id
from keeper.engine.unverified import UNVERIFIED_BLOCKS_MAX, Span
from tests.engine.history import (
    ALICE,
    CHAIN,
    CHAIN_SPEC,
    CONFIG,
    SIGNER,
    START_UNIX,
    History,
    admitted,
    logs_of,
    moves,
    plan_of,
    position,
)
from tests.engine.toy import pool_log

SCANNED = msgspec.structs.replace(CONFIG, chains=(msgspec.structs.replace(CHAIN_SPEC, scanned=True),))


@pytest.fixture
def history() -> History:
    """A market on a chain that is scanned."""
    history = History(SCANNED)
    history.market()
    return history


def right(history: History, number: int, *logs: RawLog) -> RepairedBlock:
    """Return a held block with these logs instead of its own."""
    held = dict(history.engine.chains[CHAIN].recent)
    return RepairedBlock(BackfilledBlock(number, held[number], START_UNIX + number * 12, logs), ())


def repair(history: History, first: int, *blocks: RepairedBlock) -> list[AnyDecision]:
    """Put the logs right from a block on."""
    return history.step(LogsRepaired(CHAIN, first, blocks, "b", "a"))


def verified(history: History, first: int, last: int, *logs: RawLog) -> RangeVerified:
    """Return the word of a second provider that only block ``first`` has logs."""
    held = dict(history.engine.chains[CHAIN].recent)
    digest = range_digest([block_digest(held[first], logs)] if logs else [])
    return RangeVerified(CHAIN, first, last, digest, ("a", "b"))


@pytest.mark.fault(33)
def test_a_hidden_log_is_put_right_after_finality(history: History) -> None:
    """A log that a provider hid from a final block is folded when it is found; later blocks keep what they did."""
    history.block()
    history.block(*position(ALICE, eth=9, usd=14_000))
    history.block()
    history.finalize(4)
    hidden = logs_of(("set", ALICE, b"\x02" * 20, 0, 7))

    repair(history, 2, right(history, 2, *hidden), right(history, 3), right(history, 4))

    straight = History(SCANNED)
    straight.market()
    straight.step(*history_block(straight, 2, hidden))
    assert history.engine.ledgers["toy"].margin(ALICE) == straight.engine.ledgers["toy"].margin(ALICE)


def history_block(history: History, number: int, logs: tuple[RawLog, ...]) -> list[BlocksBackfilled]:
    """Return the next block as a range with these logs."""
    header = history.header(number)
    return [BlocksBackfilled(CHAIN, number, header, (BackfilledBlock(number, header.hash, 0, logs),), (), 0)]


@pytest.mark.fault(33)
def test_repaired_state_is_the_honest_state(history: History) -> None:
    """After a repair the ledger's bytes are those of an engine that got the right logs at once."""
    honest = History(SCANNED)
    honest.market()
    logs = position(ALICE, eth=8, usd=14_000)
    raw = tuple(pool_log(place, content_id("tx", "x"), *log) for place, log in enumerate(logs))
    history.block()
    history.block()
    honest.block(*logs, tx_hash=content_id("tx", "x"))
    honest.block()
    for each in (history, honest):
        each.finalize(3)

    repair(history, 2, right(history, 2, *raw), right(history, 3))

    assert history.engine.ledgers["toy"].dump() == honest.engine.ledgers["toy"].dump()


@pytest.mark.fault(33)
def test_an_invented_liquidation_takes_the_intent_back(history: History) -> None:
    """An intent that only an invented log had completed waits again once the logs are put right."""
    [intent] = admitted(history.breach())
    attempt = history.prepare(intent, 0)
    history.send(attempt)
    history.liquidation(attempt, intent)
    state = history.engine.intents.state(intent.intent_id)

    decisions = repair(history, 3, right(history, 3))

    assert (state, moves(decisions)) == (IntentState.MINED, [IntentState.BROADCAST])


@pytest.mark.fault(32)
def test_a_hidden_liquidation_advances_the_intent(history: History) -> None:
    """An effect that was hidden is found in the repaired logs."""
    [intent] = admitted(history.breach())
    attempt = history.prepare(intent, 0)
    history.send(attempt)
    history.block()
    _, account, debt_asset, collateral_asset = plan_of(intent)
    seen = pool_log(0, attempt.tx_hash, "liquidated", account, SIGNER, debt_asset, collateral_asset, 1, 1)

    assert moves(repair(history, 3, right(history, 3, seen))) == [IntentState.MINED]


def test_ended_intents_stay_ended(history: History) -> None:
    """A repair that brings the effect of an intent which has ended changes nothing of it."""
    [intent] = admitted(history.breach())
    attempt = history.prepare(intent, 0)
    history.send(attempt)
    history.liquidation(attempt, intent)
    history.finalize(3)
    ended = history.engine.intents.state(intent.intent_id)
    _, account, debt_asset, collateral_asset = plan_of(intent)
    seen = pool_log(0, attempt.tx_hash, "liquidated", account, SIGNER, debt_asset, collateral_asset, 1, 1)

    assert (ended, moves(repair(history, 3, right(history, 3, seen)))) == (IntentState.FINAL_SUCCESS, [])


def test_undo_is_kept_until_verified(history: History) -> None:
    """What is final can be taken back until a second provider confirmed it, and no longer."""
    history.block()
    history.block()
    history.finalize(2)
    assert history.engine.chains[CHAIN].settled_number == 0
    history.step(verified(history, 2, 2))
    repair(history, 1, right(history, 1), right(history, 3))
    history.step(verified(history, 1, 2))

    with pytest.raises(InvariantBroken, match="everything is settled"):
        repair(history, 2, right(history, 3))


def test_without_a_scan_final_is_settled() -> None:
    """On a chain that nobody scans, final blocks are forgotten at once."""
    history = History()
    history.market()
    history.block()
    history.finalize(2)

    assert history.engine.chains[CHAIN].settled_number == 2


def test_the_word_must_be_about_what_was_folded(history: History) -> None:
    """A verified range with other logs than were folded is our own bug."""
    history.block()
    history.finalize(2)

    with pytest.raises(InvariantBroken, match="other logs"):
        history.step(verified(history, 1, 2))


def test_only_final_ranges_are_verified(history: History) -> None:
    """A range that may still change is not verified."""
    history.block()

    with pytest.raises(InvariantBroken, match="before it was final"):
        history.step(verified(history, 2, 2))


def test_a_repair_ends_at_the_tip(history: History) -> None:
    """A repair that does not end at the tip is our own bug: what came since would be lost."""
    history.block()
    history.block()

    with pytest.raises(InvariantBroken, match="end at the tip"):
        repair(history, 2, right(history, 2))


def test_waiting_is_bounded() -> None:
    """Blocks too far below the tip are given up, whether or not anybody confirmed them."""
    history = History(SCANNED)
    history.start()
    header = history.header(UNVERIFIED_BLOCKS_MAX + 10)
    history.step(BlocksBackfilled(CHAIN, 1, header, (), (), 0, "a"))

    assert history.engine.chains[CHAIN].unverified.spans == [Span(11, UNVERIFIED_BLOCKS_MAX + 10, "a")]
    assert history.engine.chains[CHAIN].settled_number == 10


def test_abandoned_blocks_wait_no_more(history: History) -> None:
    """A block that is reverted leaves nothing to verify."""
    history.block(*position(ALICE, eth=9, usd=14_000))
    history.revert()

    assert history.engine.chains[CHAIN].unverified.spans == [Span(1, 1, "")]
    assert [each.number for each in history.engine.chains[CHAIN].unverified.folded] == [1]


def test_spans_are_by_provider() -> None:
    """Ranges of one provider join; those of another stand apart, and what is verified is cut out."""
    history = History(SCANNED)
    history.start()
    for first, last, source in ((1, 4, "a"), (5, 8, "a"), (9, 12, "b")):
        history.step(BlocksBackfilled(CHAIN, first, history.header(last), (), (), 0, source))
    history.step(RangeVerified(CHAIN, 3, 9, range_digest([]), ("a", "b")))

    assert history.engine.chains[CHAIN].unverified.spans == [Span(1, 2, "a"), Span(10, 12, "b")]
    assert history.engine.chains[CHAIN].settled_number == 0


def test_a_repair_without_blocks_is_refused(history: History) -> None:
    """A repair ends at the tip; one of no block is a bug that is named."""
    history.block()

    with pytest.raises(InvariantBroken, match=r"^repair from block 2 of chain 31337: holds no block"):
        repair(history, 2)
