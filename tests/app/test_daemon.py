"""The daemon as it is shipped, in its own process, on a real market: it obeys, it drains, it says how it stands."""

from __future__ import annotations

import os
import signal
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from keeper.core.decisions import IntentAdmitted, LiquidationObserved, ProposalRefused
from keeper.core.facts import AttemptPrepared, AttemptSent, IntentDropped, KillSwitchChanged, RunStarted, RunStopped
from keeper.engine.step import ENGINE_VERSION
from keeper.journal.reader import JournalReader
from tests.app.keeper_process import KeeperProcess, started
from tests.app.looks import in_flight, liquidated, of, refused
from tests.app.market import Market
from tests.bad_input.proxy import proxy_of
from tests.chain.journals import read_journal, replayed

pytestmark = [pytest.mark.chain, pytest.mark.slow]
Json = Any


def snapshot_sequences(path: Path) -> list[int]:
    """Return at which sequences good snapshots are, newest first."""
    with JournalReader(path) as reader:
        return [snapshot.sequence for snapshot in reader.snapshots(str(ENGINE_VERSION))]


async def approvals_in_flight(keeper: KeeperProcess, market: Market, count: int) -> None:
    """Wait until the keeper has sent so many approvals of tokens; no block takes them yet."""
    await market.mine_only_when_told()
    await keeper.until_answer("/readyz", HTTPStatus.OK)
    await market.mine()  # the first head told the signer what tokens there are, this one what it holds of them
    await keeper.until_status(lambda status: len(in_flight(status, "approval")) == count)


async def test_a_dry_run_decides_everything_and_sends_nothing(market: Market) -> None:
    """Without ``--live`` every slice is refused for being a dry run, in the journal, and nothing is signed."""
    async with started(market.keeper(password=None)) as keeper:
        await keeper.until_answer("/readyz", HTTPStatus.OK)
        await market.crash()
        await keeper.until_status(refused)
        assert await keeper.leave() == 0

    records = read_journal(market.journal)
    assert {refusal.reason for refusal in of(records, ProposalRefused)} == {"dry_run"}
    assert of(records, IntentAdmitted) + of(records, AttemptPrepared) == []
    assert await market.sent() == 0


async def test_the_kill_switch_stops_and_its_removal_starts(market: Market) -> None:
    """While the file is there a live keeper admits nothing; when it is gone the keeper acts."""
    market.kill_switch.touch()
    async with started(market.keeper("--live")) as keeper:
        await keeper.until_answer("/readyz", HTTPStatus.OK)
        await market.crash()
        await keeper.until_status(refused)
        sent_while_armed = await market.sent()
        market.kill_switch.unlink()
        await keeper.until_status(lambda status: not status["kill_switch_armed"])
        await market.mine()
        await keeper.until_status(liquidated)
        assert await keeper.leave() == 0

    records = read_journal(market.journal)
    disarmed = next(
        record.sequence for record in records if record.body == KillSwitchChanged(armed=False, reason="file")
    )
    assert sent_while_armed == 0
    assert {refusal.reason for refusal in of(records[:disarmed], ProposalRefused)} == {"kill_switch"}
    assert of(records[:disarmed], IntentAdmitted) == []
    assert [seen for seen in of(records, LiquidationObserved) if seen.intent_id is not None] != []


async def test_sigterm_drains_and_the_next_run_continues(market: Market) -> None:
    """SIGTERM admits nothing more, waits for what is in flight, leaves 0 and a snapshot; a restart goes on from it."""
    async with started(market.keeper("--live")) as keeper:
        await approvals_in_flight(keeper, market, len(market.aave.assets))
        keeper.signal(signal.SIGTERM)
        await keeper.until_status(lambda status: status["draining"])
        unready = await keeper.until_answer("/readyz", HTTPStatus.SERVICE_UNAVAILABLE)
        await market.crash()
        assert await keeper.exit_code() == 0
    first = read_journal(market.journal)
    snapshots = snapshot_sequences(market.journal)
    async with started(market.keeper("--live")) as keeper:
        again = (await keeper.until_logged("started"))["sequence"]
        await keeper.until_answer("/readyz", HTTPStatus.OK)
        await market.mine()
        await keeper.until_status(lambda status: in_flight(status, "liquidation"))

    draining = first.index(
        next(record for record in first if record.body == KillSwitchChanged(armed=True, reason="draining"))
    )
    assert "the keeper is draining" in unready
    assert of(first[draining:], IntentAdmitted) == []
    assert first[-1].body == RunStopped(of(first, RunStarted)[0].run_id, "drained, 0 in flight")
    assert snapshots == [first[-1].sequence]
    assert again == first[-1].sequence
    assert replayed(market.journal).divergence is None


async def test_a_second_sigterm_hurries_and_loses_nothing(market: Market) -> None:
    """A second SIGTERM does not wait for what is in flight; the next run finishes it, with no second transaction."""
    market.changes.append(("in_flight_max = 16", "in_flight_max = 2"))
    async with started(market.keeper("--live")) as keeper:
        await approvals_in_flight(keeper, market, 2)
        keeper.signal(signal.SIGTERM)
        await keeper.until_status(lambda status: status["draining"])
        keeper.signal(signal.SIGTERM)
        assert await keeper.exit_code() == 0
    first = read_journal(market.journal)
    market.kill_switch.touch()  # what is in flight goes on all the same, and nothing is added to it
    async with started(market.keeper("--live")) as keeper:
        await keeper.until_answer("/readyz", HTTPStatus.OK)
        await market.mine()
        await keeper.until_status(lambda status: [one["state"] for one in status["intents"]] == ["mined"] * 2)
        assert await keeper.leave() == 0

    attempts = of(read_journal(market.journal), AttemptPrepared)
    assert of(first, RunStopped)[-1].reason == "drained, 2 in flight"
    assert attempts == of(first, AttemptPrepared)
    assert [await market.is_mined(attempt.tx_hash) for attempt in attempts] == [True, True]
    assert {answer.answer for answer in of(first, AttemptSent)} == {"accepted"}


async def test_draining_waits_for_nothing_that_is_unsigned(market: Market) -> None:
    """An intent that was admitted and not signed does not hold up leaving: it is decided again by the next run."""

    def refuse_estimates(method: str, response: Json) -> Json:
        error = {"code": -32000, "message": "out of order"}
        return {"id": response["id"], "error": error} if method == "eth_estimateGas" else response

    async with proxy_of(market.node.http_url) as proxy:
        proxy.bend = refuse_estimates
        market.http_url = proxy.url
        async with started(market.keeper("--live")) as keeper:
            await keeper.until_answer("/readyz", HTTPStatus.OK)
            await market.mine()
            await keeper.until_status(lambda status: status["intents"])
            assert await keeper.leave() == 0

    records = read_journal(market.journal)
    assert of(records, AttemptPrepared) == []
    assert of(records, RunStopped)[-1].reason == "drained, 0 in flight"


async def test_the_kill_switch_gives_up_what_is_unsigned(market: Market) -> None:
    """An intent that waits to be signed is given up when the switch is armed, not at the next block."""

    def refuse_estimates(method: str, response: Json) -> Json:
        error = {"code": -32000, "message": "out of order"}
        return {"id": response["id"], "error": error} if method == "eth_estimateGas" else response

    async with proxy_of(market.node.http_url) as proxy:
        proxy.bend = refuse_estimates
        market.http_url = proxy.url
        async with started(market.keeper("--live")) as keeper:
            await market.mine_only_when_told()
            await keeper.until_answer("/readyz", HTTPStatus.OK)
            await market.mine()
            await keeper.until_status(lambda status: status["intents"])
            market.kill_switch.touch()
            await keeper.until_status(lambda status: not status["intents"])
            assert await keeper.leave() == 0

    assert {dropped.reason for dropped in of(read_journal(market.journal), IntentDropped)} == {"kill switch"}


async def test_it_says_how_it_stands(market: Market) -> None:
    """Metrics, health, readiness and status answer; a node that stands still makes it unready, not unhealthy."""
    market.stale_after_seconds = 2
    async with started(market.keeper(password=None)) as keeper:
        await market.mine()
        await keeper.until_answer("/readyz", HTTPStatus.OK)
        _, metrics = await keeper.get("/metrics")
        status = await keeper.status()
        os.kill(market.node.pid, signal.SIGSTOP)
        try:
            unready = await keeper.until_answer("/readyz", HTTPStatus.SERVICE_UNAVAILABLE)
            health, _ = await keeper.get("/healthz")
        finally:
            os.kill(market.node.pid, signal.SIGCONT)
        await market.mine()
        await keeper.until_answer("/readyz", HTTPStatus.OK)
        assert await keeper.leave() == 0

    assert f'keeper_head_block{{chain="local"}} {float(await market.height() - 1)}' in metrics
    assert status["chains"][0]["watermark"]["block"] == await market.height() - 1
    assert sum(status["venues"][0]["accounts"].values()) > 0
    assert "watermark of local" in unready
    assert health == HTTPStatus.OK
