"""Two keepers of one key: with one journal only one writes, however long it sleeps; with two journals one gives way."""

from __future__ import annotations

import re
import signal
from http import HTTPStatus
from typing import Any

import pytest

from keeper.core.decisions import IntentAdmitted, SignerHalted
from keeper.core.facts import AttemptPrepared
from keeper.lab.chaos.audit import audit
from tests.app.keeper_process import started
from tests.app.looks import halted, liquidated, of
from tests.app.market import Market
from tests.chain.crash_matrix import Fall, until_quiet
from tests.chain.journals import read_journal, replayed

pytestmark = [pytest.mark.chain, pytest.mark.slow]
Json = Any

FOREIGN = re.compile(
    r"foreign transaction or lost journal: \d+ transactions of its key are mined( or pending)?, "
    r"and the journal knows of \d+; find out who signed it, then start once with --release-signer"
)
STEPS_ASLEEP = 3
OTHERWISE = ('signer = "main"\n\n[limits]', 'signer = "main"\nobjective = "max-profit"\n\n[limits]')
"""Two keepers that decide alike sign the same bytes, which do no harm."""


def slices_under_way(status: Json) -> bool:
    """Tell whether a liquidation was admitted and has not ended."""
    return any(intent["kind"] == "liquidation" for intent in status["intents"])


@pytest.mark.fault(17, 18)
async def test_a_stopped_keeper_still_owns_its_journal(market: Market) -> None:
    """While a keeper is stopped nobody takes its journal; when it wakes up it goes on, and no intent succeeds twice."""
    first_block = await market.height() + 1
    second = market.second(("/second/journal.db", "/journal.db"))
    fall = Fall(market)
    async with started(market.keeper("--live")) as keeper:
        await keeper.until_answer("/readyz", HTTPStatus.OK)
        await market.mine()
        while not slices_under_way(await keeper.status()):
            await fall.go_on(keeper)
            assert not await keeper.ends_before(await market.height())
        keeper.signal(signal.SIGSTOP)
        sent = await market.sent()
        async with started(second.keeper("--live")) as rival:
            refused = await rival.exit_code()
            (line,) = rival.errors
        for _ in range(STEPS_ASLEEP):
            await fall.go_on(None)
        sent_asleep = await market.sent() - sent
        keeper.signal(signal.SIGCONT)
        await until_quiet(keeper, market, fall)
        assert await market.left_by(keeper) == 0
    report = await audit(market.rpc, market.node, market.scene, market.journal, first_block=first_block)

    owner = re.escape(f"another keeper (pid {keeper.pid}) is writing it")
    assert (refused, sent_asleep) == (2, 0)
    assert re.fullmatch(rf"keeper: journal \S+: {owner}; stop that one first, .+", line)
    assert report.violations == []
    assert report.slices > 0
    assert [event for event in keeper.events if event["event"] == "late"] == []


@pytest.mark.fault(18)
async def test_a_keeper_that_wakes_up_after_another_took_over_is_silent(market: Market) -> None:
    """Another keeper of the key acted while this one was stopped: it halts its signer and signs nothing more."""
    second = market.second()
    async with started(market.keeper("--live")) as keeper:
        await market.until_allowed(keeper)
        keeper.signal(signal.SIGSTOP)
        async with started(second.keeper("--live")) as successor:
            await successor.until_answer("/readyz", HTTPStatus.OK)
            await market.crash()
            await successor.until_status(liquidated)
            keeper.signal(signal.SIGCONT)
            why = halted(await keeper.until_status(halted))
            await market.crash(percent=45)
            assert not await keeper.ends_before(await market.height())
            assert await market.left_by(keeper) == 0
            assert halted(await successor.status()) is None
            assert await market.left_by(successor) == 0

    records = read_journal(market.journal)
    assert why is not None
    assert FOREIGN.fullmatch(why)
    assert [admitted.intent.kind for admitted in of(records, IntentAdmitted)].count("liquidation") == 0
    assert of(records, SignerHalted) != []
    assert await market.sent() == sum(len(of(read_journal(each.journal), AttemptPrepared)) for each in (market, second))
    assert replayed(market.journal).divergence is None


@pytest.mark.fault(17)
async def test_the_second_keeper_of_a_key_gives_way(market: Market) -> None:
    """With a journal of its own the second keeper halts its signer at the first one's transactions, and sends none."""
    second = market.second()
    second.kill_switch.touch()
    async with started(market.keeper("--live")) as keeper, started(second.keeper("--live")) as rival:
        await rival.until_answer("/readyz", HTTPStatus.OK)
        await market.until_allowed(keeper)
        await rival.until_status(halted)
        second.kill_switch.unlink()
        await rival.until_status(lambda status: not status["kill_switch_armed"])
        await market.crash()
        await keeper.until_status(liquidated)
        assert not await rival.ends_before(await market.height())
        why = halted(await rival.status())
        assert halted(await keeper.status()) is None
        assert (await rival.leave(), await market.left_by(keeper)) == (0, 0)

    assert why is not None
    assert FOREIGN.fullmatch(why)
    assert of(read_journal(second.journal), AttemptPrepared) == []
    assert await market.sent() == len(of(read_journal(market.journal), AttemptPrepared))
    assert replayed(second.journal).divergence is None


@pytest.mark.fault(17)
async def test_of_two_keepers_that_act_at_once_one_is_left(market: Market) -> None:
    """Both sign for the same nonces before either can know of the other: whoever loses one halts and sends no more."""
    second = market.second(OTHERWISE)
    async with started(market.keeper("--live")) as keeper:
        await market.until_allowed(keeper)
        async with started(second.keeper("--live")) as rival:
            await rival.until_answer("/readyz", HTTPStatus.OK)
            await market.crash()

            async def one_is_halted() -> bool:
                await market.mine()
                statuses = [await keeper.status(), await rival.status()]
                return any(halted(status) for status in statuses)

            await keeper.until(one_is_halted)
            codes = await market.left_by(rival), await market.left_by(keeper)

    journals = [read_journal(each.journal) for each in (market, second)]
    nonces = {attempt.tx_hash: attempt.nonce for records in journals for attempt in of(records, AttemptPrepared)}
    mined = [nonce for tx_hash, nonce in nonces.items() if await market.is_mined(tx_hash)]
    assert codes == (0, 0)
    assert [halt for records in journals for halt in of(records, SignerHalted)] != []
    assert sorted(mined) == [market.sent_before + number for number in range(await market.sent())]
    assert [replayed(each.journal).divergence for each in (market, second)] == [None, None]
