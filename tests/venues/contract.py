"""What every ledger keeps, whatever its protocol: docs/adding_a_venue.md, *What it must keep*."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from keeper.core.facts import BlockHeader, ContractRead, RawLog
from keeper.core.ids import Address
from keeper.core.units import Wad
from keeper.core.venue import Ledger, Status

STRANGER = Address(b"\xfe" * 20)


class Block(NamedTuple):
    """What a ledger is told of a block."""

    header: BlockHeader
    logs: tuple[RawLog, ...]
    reads: tuple[ContractRead, ...] = ()


def assert_keeps_the_contract(opened: Callable[[], Ledger], blocks: Sequence[Block]) -> None:
    """Fold blocks and hold the ledger to each promise after each of them."""
    ledger = opened()
    for block in blocks:
        before = ledger.dump()
        told(ledger, block)
        after = ledger.dump()
        ledger.undo_block(block.header.number)
        assert ledger.dump() == before, "undo is not exact"
        told(ledger, block)
        assert ledger.dump() == after, "a block does not do the same again"
        loaded = opened()
        loaded.load(after)
        assert loaded.dump() == after, "a dump is not the state"
        assert [loaded.margin(account) for account in loaded.accounts()] == [
            ledger.margin(account) for account in ledger.accounts()
        ]
        assert loaded.suspects() == ledger.suspects()
        assert_nobody_is_overlooked(ledger)


def told(ledger: Ledger, block: Block) -> None:
    """Tell a ledger of a block, and of logs of a contract that it does not watch."""
    ledger.begin_block(block.header)
    for log in block.logs:
        before = ledger.dump()
        assert ledger.apply_log(msgspec.structs.replace(log, address=STRANGER)) is None
        assert ledger.dump() == before, "a stranger's log changes the state"
        ledger.apply_log(log)
    ledger.apply_reads(block.reads)


def assert_nobody_is_overlooked(ledger: Ledger) -> None:
    """Whoever is not proven healthy is a suspect, unknown has a reason, and explanations add up."""
    accounts = ledger.accounts()
    assert set(ledger.suspects()) <= set(accounts)
    assert ledger.totals().accounts == len(accounts)
    for account in accounts:
        margin = ledger.margin(account)
        breakdown = ledger.breakdown(account)
        assert ledger.owes(account)
        assert (margin.health.status is Status.UNKNOWN) == (margin.health.reason is not None)
        if margin.health.status is not Status.HEALTHY:
            assert account in ledger.suspects(), "somebody at risk is overlooked"
        if margin.health.status is Status.UNKNOWN:
            assert (breakdown.buckets, breakdown.unknown) == ((), margin.health.reason)
        elif margin.health_wad is not None:
            liquidatable = margin.health.status is Status.LIQUIDATABLE
            assert (margin.health_wad < Wad(Wad.ONE)) == liquidatable
            assert breakdown.binding is not None
            assert (breakdown.binding.surplus < 0) == liquidatable, "an explanation does not add up"
