"""Replay and snapshots: the same facts give the same bytes."""

from __future__ import annotations

import msgspec
import pytest

from keeper.core.codec import Record, encoder
from keeper.core.decisions import Decision, IntentAdmitted
from keeper.core.errors import JournalDamaged, JournalForeign
from keeper.core.facts import KillSwitchChanged
from keeper.engine.replay import Divergence, replay
from keeper.engine.step import ENGINE_VERSION
from tests.engine.history import BOB, GWEI, TOKEN, History, admitted, new_engine, position
from tests.engine.toy import ETH


def eventful() -> History:
    """Return a history with refusals, two attempts, a reorg, finality, a stale head and a restart."""
    history = History()
    history.market()
    intent = admitted(history.breach())[0]
    first = history.prepare(intent, 0)
    history.send(first, "unknown")
    history.block()
    history.block(*position(BOB, eth=10, usd=15_000))
    second = history.prepare(intent, 0, attempt=2, fee_wei=30 * GWEI)
    history.send(second)
    history.liquidation(second, intent)
    history.revert()
    history.liquidation(first, intent)
    history.receipt(first, succeeded=True)
    history.finalize(3)
    history.tick(100)
    history.step(KillSwitchChanged(armed=True, reason="file"))
    history.start()
    history.read_signer(nonce=1)
    history.block(("price", ETH, 1500 * TOKEN))
    history.block()
    history.finalize(4)
    return history


def test_from_zero() -> None:
    """A replay from the first record agrees with every decision and ends in the same state."""
    history = eventful()
    result = replay(history.records, new_engine())
    facts = [record for record in history.records if record.cause == 0]
    assert (result.divergence, result.facts, result.facts + result.decisions) == (
        None,
        len(facts),
        len(history.records),
    )
    assert (result.last_sequence, result.state_hash) == (len(history.records), history.engine.state_hash())


def test_twice() -> None:
    """Two replays give the same digests."""
    records = eventful().records
    assert replay(records, new_engine()) == replay(records, new_engine())


@pytest.mark.slow
def test_from_every_snapshot() -> None:
    """From a snapshot after any fact the rest gives the same decisions and the same state."""
    history = eventful()
    expected = history.engine.state_hash()
    stepping = new_engine()
    for record in history.records:
        if isinstance(record.body, Decision):
            continue
        stepping.step(record.body, record.sequence)
        restored = new_engine()
        restored.load(stepping.snapshot())
        assert restored.snapshot() == stepping.snapshot()
        result = replay(history.records, restored)
        assert (result.divergence, result.state_hash) == (None, expected)


def test_same_bytes() -> None:
    """The same facts give the same bytes of decisions and state."""
    one, two = eventful(), eventful()
    assert encoder().encode(one.records) == encoder().encode(two.records)
    assert one.engine.snapshot() == two.engine.snapshot()


def first_admission(records: list[Record]) -> int:
    """Return the place of the first admission."""
    return next(place for place, record in enumerate(records) if isinstance(record.body, IntentAdmitted))


def test_changed_decision() -> None:
    """A decision that differs is reported with its place, what was recorded and what this engine decides."""
    records = eventful().records
    place = first_admission(records)
    actual = records[place].body
    assert isinstance(actual, IntentAdmitted)
    expected = IntentAdmitted(actual.intent, None)
    records[place] = msgspec.structs.replace(records[place], body=expected)
    result = replay(records, new_engine())
    assert result.divergence == Divergence(place + 1, records[place].cause, expected, actual)


def test_missing_decision() -> None:
    """A decision that is not recorded is reported where it should stand."""
    records = eventful().records
    place = first_admission(records)
    missing = records.pop(place)
    divergence = replay(records, new_engine()).divergence
    assert divergence is not None
    assert (divergence.sequence, divergence.expected, divergence.actual) == (place + 2, None, missing.body)


def test_missing_at_the_end() -> None:
    """A journal that ends before its last fact's decisions is reported."""
    records = eventful().records[: first_admission(eventful().records)]
    divergence = replay(records, new_engine()).divergence
    assert divergence is not None
    assert (divergence.sequence, divergence.expected) == (len(records) + 1, None)


def test_surplus_decision() -> None:
    """A recorded decision that this engine does not make is reported."""
    records = eventful().records
    surplus = records[first_admission(records)].body
    assert isinstance(surplus, IntentAdmitted)
    divergence = replay([records[0], Record(2, 0, 1, surplus)], new_engine()).divergence
    assert divergence == Divergence(2, 1, surplus, None)


def test_foreign_snapshot() -> None:
    """A snapshot of another engine version is refused."""
    raw = msgspec.msgpack.decode(new_engine().snapshot())
    raw["version"] = ENGINE_VERSION + 1
    with pytest.raises(JournalForeign, match="engine version"):
        new_engine().load(msgspec.msgpack.encode(raw))


@pytest.mark.parametrize("raw", [b"", b"\x00", b"\x80"])
def test_damaged_snapshot(raw: bytes) -> None:
    """Bytes that are not a snapshot are refused, and the engine is as it was."""
    engine = new_engine()
    before = engine.snapshot()
    with pytest.raises(JournalDamaged):
        engine.load(raw)
    assert engine.snapshot() == before
