"""The daemon is killed around every durable step, for every kind of record, in the middle of a fall of prices."""

from __future__ import annotations

import signal
from contextlib import nullcontext
from pathlib import Path

import pytest

from keeper.lab.chaos.audit import audit
from tests.app.market import Market, opened_market
from tests.chain.crash_matrix import (
    SNAPSHOT_EVERY_RECORDS,
    Fall,
    estimates_that_revert,
    run_until_killed,
    run_until_quiet,
)
from tests.chain.journals import replayed, replayed_from_snapshots

pytestmark = pytest.mark.chain

RECORDS = [
    "RunStarted",
    "BlocksBackfilled",
    "BlockApplied:4",
    "BlockReverted",
    "BlockFinalized:3",
    "SignerRead:2",
    "PreflightSeen:2",
    "AttemptPrepared:2",
    "AttemptSent:2",
    "ReceiptSeen:2",
    "IntentDropped",
    "KillSwitchChanged",
    "ClockTicked:2",
    "RunStopped",
    "IntentAdmitted:2",
    "IntentAdvanced:6",
    "HealthChanged",
    "LiquidationObserved",
]
"""The facts of a young chain and the decisions, each with which one of its kind it is."""
OLD_CHAIN_BLOCKS = 300
"""So many blocks behind, a keeper catches up by ranges."""
WRITINGS = ["commit", "commit:7", "commit:30", "snapshot", "snapshot:3", "mark", "mark:2", "send", "send:2", "send:4"]
MATRIX = [
    *(f"{place}:{record}" for record in RECORDS for place in ("before-append", "after-append", "before-act")),
    *(f"{when}-{writing}" for writing in WRITINGS for when in ("before", "after")),
]


@pytest.mark.slow
@pytest.mark.fault(2)
async def test_a_kill_before_a_send_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    """Killed when a transaction is durable and not yet sent: all is as without the kill."""
    await survives("before-send:2", tmp_path)


@pytest.mark.soak
@pytest.mark.fault(1, 2, 3, 19)
@pytest.mark.parametrize("failpoint", MATRIX)
async def test_a_kill_anywhere_loses_nothing_and_repeats_nothing(failpoint: str, tmp_path: Path) -> None:
    """Before and after every durable step, for every kind of record: all is as without the kill."""
    await survives(failpoint, tmp_path)


async def survives(failpoint: str, folder: Path) -> None:
    """Kill a daemon there, start it again, and hold its journal against the chain."""
    async with opened_market(folder) as market:
        market.changes += [("[http]", f"snapshot_every_records = {SNAPSHOT_EVERY_RECORDS}\n\n[http]")]
        first_block = await market.height() + 1
        fall = Fall(market)
        dropping = "IntentDropped" in failpoint
        if "BlocksBackfilled" in failpoint:
            await market.rpc.call("anvil_mine", hex(OLD_CHAIN_BLOCKS), answer=object)
        async with estimates_that_revert(market) if dropping else nullcontext():
            killed = await run_until_killed(market, failpoint, fall)
            assert await killed.exit_code() == -signal.SIGKILL
            assert killed.events[-1]["event"] == "failpoint reached"
            assert await run_until_quiet(market, fall) == 0
        report = await audit(market.rpc, market.node, market.scene, market.journal, first_block=first_block)
    assert report.violations == []
    assert report.slices > 0
    _assert_replays_agree(market)


def _assert_replays_agree(market: Market) -> None:
    whole = replayed(market.journal)
    tails = replayed_from_snapshots(market.journal)
    assert whole.divergence is None
    assert tails, "a daemon that left in order leaves a snapshot"
    assert [(tail.divergence, tail.state_hash) for tail in tails] == [(None, whole.state_hash)] * len(tails)
