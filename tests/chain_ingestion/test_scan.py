"""The second look at final blocks: confirmed, or put right, and who lied is asked no more."""

from __future__ import annotations

import pytest

from keeper.chain.follower import Follower, FollowerOptions
from keeper.chain.member import Member
from keeper.chain.pool import ProviderPool
from keeper.chain.repair import Arbiter
from keeper.chain.retry import NO_RETRY
from keeper.chain.scan import Scan
from keeper.chain.watch import Watch
from keeper.chain.window import Window
from keeper.core.errors import NodeError, NodeMalformed, RetryLater
from keeper.core.facts import RawLog, ReadRequest
from tests.chain_ingestion.fakes import Beat, JumpClock, Ledger
from tests.chain_ingestion.folding import FoldingJournal, hide, invent, without_receipts
from tests.chain_ingestion.scripted import (
    CHAIN_ID,
    EVENT,
    NAMED,
    OTHER,
    PASS,
    ROOT,
    Json,
    Refuse,
    ScriptedServer,
    log_of,
)

PRICE = ReadRequest(ROOT, b"\x50")
DEPTH = 8
TWO = 12
"""The block with two logs."""


class Rig:
    """A follower and a scan of what it recorded."""

    def __init__(self, pool: ProviderPool, blocks_max: int = 64) -> None:
        self.journal = FoldingJournal()
        watch = Watch([Ledger(ROOT, [EVENT, NAMED], NAMED, [PRICE])])
        options = FollowerOptions(finality_depth_blocks=DEPTH, retry=NO_RETRY)
        clock = JumpClock()
        self.beat, self.followers_beat = Beat(), Beat()
        self.under_way_at_repair: list[int] = []
        self.follower = Follower(
            CHAIN_ID, pool, watch, self.journal, clock, Window(0), options, pulse=self.followers_beat
        )
        self.scan = Scan(
            pool,
            watch,
            self.journal,
            clock,
            state=lambda: self.journal.state,
            repair=self._repair,
            blocks_max=blocks_max,
            pulse=self.beat,
        )

    async def _repair(self, first: int, node: Member, liar: str, arbiter: Arbiter) -> None:
        self.under_way_at_repair.append(self.beat.units)
        await self.follower.repair(first, node, liar, arbiter)

    async def follow(self, server: ScriptedServer) -> None:
        """Follow a chain of thirty blocks, one of which has two logs."""
        server.chain.mine_many(TWO - 1)
        server.chain.mine(log_of(b"one", 0), log_of(b"two", 1))
        server.chain.mine_many(18)
        await self.follower.follow(server.chain.head)


def logs_at(server: ScriptedServer, number: int) -> tuple[RawLog, ...]:
    """The logs of a block as they are."""
    return server.chain.branch[number].logs


def quarantined(pool: ProviderPool) -> list[bool]:
    """Who is in quarantine."""
    return [provider.quarantine is not None for provider in pool.statistics()]


async def test_final_blocks_are_confirmed_by_another(
    server: ScriptedServer, second: ScriptedServer, pool_of_two: ProviderPool
) -> None:
    """What became final is read again from the provider that did not give it, and confirmed by both names."""
    rig = Rig(pool_of_two)
    await rig.follow(server)
    done = [await rig.scan.once(), await rig.scan.once()]

    names = tuple(provider.name for provider in pool_of_two.statistics())
    assert done == [True, False]
    assert [(fact.first, fact.last, fact.providers) for fact in rig.journal.verified] == [(0, 30 - DEPTH, names)]
    assert second.methods.count("eth_getLogs") == 1


async def test_ranges_are_bounded(server: ScriptedServer, pool_of_two: ProviderPool) -> None:
    """A long stretch is confirmed piece by piece, and no piece twice."""
    rig = Rig(pool_of_two, blocks_max=10)
    await rig.follow(server)
    while await rig.scan.once():
        pass

    assert [(fact.first, fact.last) for fact in rig.journal.verified] == [(0, 9), (10, 19), (20, 22)]


async def test_a_refused_range_is_halved(
    server: ScriptedServer, second: ScriptedServer, pool_of_two: ProviderPool
) -> None:
    """A provider that refuses a range is asked for half of it the next time."""
    rig = Rig(pool_of_two)
    await rig.follow(server)

    def fault(method: str, params: list[Json]) -> Json:
        if method == "eth_getLogs" and int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) > 12:
            raise Refuse(-32005, "too many results")
        return PASS

    second.fault = fault
    with pytest.raises(NodeError):
        await rig.scan.once()
    await rig.scan.once()

    assert (rig.journal.verified[0].first, rig.journal.verified[0].last) == (0, 10)


@pytest.mark.fault(32, 33)
async def test_a_hidden_log_is_found_and_put_right(server: ScriptedServer, pool_of_two: ProviderPool) -> None:
    """A log left out of one block's answer is found by the second provider; all from there on is recorded again."""
    rig = Rig(pool_of_two)
    server.fault = hide(server, TWO)
    await rig.follow(server)
    await rig.scan.once()

    [fact] = rig.journal.repaired
    names = [provider.name for provider in pool_of_two.statistics()]
    assert (fact.first, fact.source, fact.liar) == (TWO, names[1], names[0])
    assert {each.block.number: each.block.logs for each in fact.blocks} == {
        number: logs_at(server, number) for number in range(TWO, 31)
    }
    assert quarantined(pool_of_two) == [True, False]


@pytest.mark.fault(33)
async def test_an_invented_log_is_found_and_taken_out(server: ScriptedServer, pool_of_two: ProviderPool) -> None:
    """A log that never was, in the manner of one that was, is found out by receipts and taken out."""
    rig = Rig(pool_of_two)
    server.fault = invent(server, TWO + 1)
    await rig.follow(server)
    await rig.scan.once()

    [fact] = rig.journal.repaired
    assert (fact.first, fact.blocks[0].block.logs) == (TWO + 1, logs_at(server, TWO + 1))
    assert quarantined(pool_of_two) == [True, False]


@pytest.mark.fault(33)
@pytest.mark.parametrize("lie", [hide, invent])
async def test_a_lie_about_our_record_changes_nothing(
    server: ScriptedServer, second: ScriptedServer, pool_of_two: ProviderPool, lie: object
) -> None:
    """When the second provider is the one that is wrong, it is in quarantine and the record stands, confirmed."""
    rig = Rig(pool_of_two)
    await rig.follow(server)
    second.fault = lie(server, TWO)  # type: ignore[operator] # one of two functions
    await rig.scan.once()

    assert (rig.journal.repaired, len(rig.journal.verified)) == ([], 1)
    assert quarantined(pool_of_two) == [False, True]


@pytest.mark.fault(33)
async def test_a_third_provider_decides(server: ScriptedServer, pool_of_three: ProviderPool) -> None:
    """Where there is a third provider nobody needs receipts."""
    rig = Rig(pool_of_three)
    server.fault = without_receipts(hide(server, TWO))
    await rig.follow(server)
    await rig.scan.once()

    assert [fact.first for fact in rig.journal.repaired] == [TWO]
    assert quarantined(pool_of_three) == [True, False, False]


@pytest.mark.fault(32, 33)
async def test_who_is_right_of_one_block_is_not_believed_of_another(
    server: ScriptedServer, second: ScriptedServer, pool_of_three: ProviderPool
) -> None:
    """A repair takes no log away, and adds none, because a single provider says so: both liars are found out."""
    rig = Rig(pool_of_three)
    later = 20
    server.fault = hide(server, TWO)
    server.chain.mine_many(TWO - 1)
    server.chain.mine(log_of(b"one", 0), log_of(b"two", 1))
    server.chain.mine_many(later - TWO - 1)
    server.chain.mine(log_of(b"three", 0), log_of(b"four", 1))
    server.chain.mine_many(10)
    await rig.follower.follow(server.chain.head)
    second.fault = hide(second, later)
    await rig.scan.once()

    [fact] = rig.journal.repaired
    assert {each.block.number: each.block.logs for each in fact.blocks} == {
        number: logs_at(server, number) for number in range(TWO, later + 11)
    }
    assert quarantined(pool_of_three) == [True, True, False]


@pytest.mark.fault(33)
async def test_what_cannot_be_told_stays_open(
    server: ScriptedServer, second: ScriptedServer, pool_of_two: ProviderPool
) -> None:
    """On one provider's word alone nothing is changed, and nothing counts as confirmed."""
    rig = Rig(pool_of_two)
    server.fault = without_receipts(hide(server, TWO))
    second.fault = without_receipts(lambda _, __: PASS)
    await rig.follow(server)

    with pytest.raises(RetryLater, match="none can be shown"):
        await rig.scan.once()

    assert (rig.journal.repaired, rig.journal.verified) == ([], [])
    assert quarantined(pool_of_two) == [False, False]


@pytest.mark.fault(32)
async def test_an_answer_that_was_late_is_put_right(server: ScriptedServer, pool_of_two: ProviderPool) -> None:
    """A provider whose index lagged and agrees by now proves the record wrong by itself."""
    rig = Rig(pool_of_two)
    server.fault = hide(server, TWO)
    await rig.follow(server)
    server.fault = None
    await rig.scan.once()

    assert [(fact.first, len(fact.blocks[0].block.logs)) for fact in rig.journal.repaired] == [(TWO, 2)]


async def test_a_repair_is_the_followers_work(server: ScriptedServer, pool_of_two: ProviderPool) -> None:
    """The scan may wait for hours until the follower has time for a repair: only the follower's own pulse counts it."""
    rig = Rig(pool_of_two)
    server.fault = hide(server, TWO)
    await rig.follow(server)
    await rig.scan.once()

    assert (rig.under_way_at_repair, rig.followers_beat.progress > 0) == ([0], True)
    assert (rig.beat.units, rig.followers_beat.units) == (0, 0)


async def test_the_repaired_range_waits_for_another_word(server: ScriptedServer, pool_of_two: ProviderPool) -> None:
    """What a repair recorded was given by one provider again, and waits for another one."""
    rig = Rig(pool_of_two)
    server.fault = hide(server, TWO)
    await rig.follow(server)
    await rig.scan.once()

    names = [provider.name for provider in pool_of_two.statistics()]
    assert [(span.first, span.source) for span in rig.journal.state.unverified.spans] == [
        (0, names[0]),
        (TWO, names[1]),
    ]
    assert await rig.scan.once() is True
    assert rig.journal.verified[-1].last == TWO - 1
    assert await rig.scan.once() is False


async def test_alone_nobody_confirms(server: ScriptedServer, pool: ProviderPool) -> None:
    """With a single provider nothing is confirmed: nobody confirms itself."""
    rig = Rig(pool)
    await rig.follow(server)

    assert await rig.scan.once() is False
    assert rig.journal.verified == []


async def test_what_was_not_watched_yet_is_no_difference(server: ScriptedServer, pool_of_two: ProviderPool) -> None:
    """Logs of a contract before the block that made it necessary were never recorded, and are not missed."""
    rig = Rig(pool_of_two)
    server.chain.mine(log_of(b"before", 0, OTHER))
    await rig.follower.follow(server.chain.head)
    server.chain.mine(log_of(bytes(OTHER), 0, ROOT, NAMED))
    server.chain.mine_many(20)
    await rig.follower.follow(server.chain.head)
    await rig.scan.once()

    assert (len(rig.journal.verified), rig.journal.repaired) == (1, [])


@pytest.mark.fault(33)
async def test_another_final_block_is_a_lie(
    server: ScriptedServer, second: ScriptedServer, pool_of_two: ProviderPool
) -> None:
    """A provider that has another block where one is final here goes into quarantine."""
    rig = Rig(pool_of_two)
    await rig.follow(server)
    second.chain = type(server.chain)()
    second.chain.mine_many(40, salt="other")

    with pytest.raises(NodeMalformed, match="final here"):
        await rig.scan.once()

    assert quarantined(pool_of_two) == [False, True]


async def test_a_repair_waits_for_the_head_under_way(server: ScriptedServer, pool_of_two: ProviderPool) -> None:
    """After a repair the follower goes on from the same tip."""
    rig = Rig(pool_of_two)
    server.fault = hide(server, TWO)
    await rig.follow(server)
    await rig.scan.once()
    server.chain.mine_many(2, salt="more")
    await rig.follower.follow(server.chain.head)

    assert rig.journal.chain[-1] == (server.chain.head.number, server.chain.head.hash)
