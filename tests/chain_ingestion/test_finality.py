"""Finality by a quorum of providers, and by depth when the chain does not say."""

from __future__ import annotations

import pytest

from keeper.chain.finality import FALLBACK_DEPTH_BLOCKS, PATIENCE_SECONDS, Finality
from keeper.chain.pool import ProviderPool
from keeper.chain.window import Window
from keeper.core.errors import FinalityViolated, KeeperError, NodeMalformed, RetryLater
from keeper.core.facts import BlockHeader
from tests.chain_ingestion.fakes import JumpClock, Troubles
from tests.chain_ingestion.scripted import PASS, Fault, Json, Refuse, ScriptedServer, hashes, header_json, some_hash

HEAD = 100


class Asked:
    """Finality of a chain of a hundred blocks, held whole."""

    def __init__(self, server: ScriptedServer, pool: ProviderPool, finalized: int | None = None) -> None:
        server.chain.mine_many(HEAD)
        server.chain.finality_depth_blocks = 10
        self.clock = JumpClock()
        self.troubles = Troubles()
        self.finality = Finality(pool, self.clock, depth_blocks=None, on_error=self.troubles)
        self.window = Window(0, dict(hashes(server.chain.branch)), finalized)

    async def final(self) -> int | None:
        """Ask everybody, and return what is final."""
        await self.finality.ask()
        return self.finality.final(self.window, HEAD)


def says(number: int | None, *, alien: bool = False) -> Fault:
    """Answer the finalized tag with a block of that number, of another branch if told so."""

    def fault(_: str, params: list[Json]) -> Json:
        if params[:1] != ["finalized"]:
            return PASS
        header = BlockHeader(number or 0, some_hash("alien"), some_hash("parent"), 0, 0, bytes(256))
        return header_json(header) if alien or number == 0 else None

    return fault


def lower(server: ScriptedServer, number: int) -> Fault:
    """Answer the finalized tag with an older block of the chain."""
    header = header_json(server.chain.branch[number].header)
    return lambda _, params: header if params[:1] == ["finalized"] else PASS


def refuse(_: str, params: list[Json]) -> Json:
    """Refuse the tag, as a node that does not know it does."""
    if params[:1] == ["finalized"]:
        raise Refuse(-32602, "invalid block tag")
    return PASS


@pytest.mark.fault(36)
async def test_the_least_of_the_answers_counts(
    server: ScriptedServer, second: ScriptedServer, pool_of_two: ProviderPool
) -> None:
    """Providers that differ give the lower final block."""
    asked = Asked(server, pool_of_two)
    second.fault = lower(server, 70)

    assert await asked.final() == 70


@pytest.mark.fault(36)
@pytest.mark.parametrize("fault", [refuse, says(None), says(0)])
async def test_one_of_two_is_no_quorum(
    server: ScriptedServer, second: ScriptedServer, pool_of_two: ProviderPool, fault: Fault
) -> None:
    """While only one of two providers knows a final block, nothing becomes final."""
    asked = Asked(server, pool_of_two)
    second.fault = fault

    assert await asked.final() is None


@pytest.mark.fault(36)
async def test_two_of_three_are_a_quorum(
    server: ScriptedServer, third: ScriptedServer, pool_of_three: ProviderPool
) -> None:
    """A provider without the tag does not count, and two others are enough."""
    asked = Asked(server, pool_of_three)
    third.fault = refuse

    assert await asked.final() == 90


@pytest.mark.fault(36)
@pytest.mark.parametrize("fault", [refuse, says(None), says(0)])
async def test_a_missing_tag_gives_way_to_a_depth(server: ScriptedServer, pool: ProviderPool, fault: Fault) -> None:
    """When nobody knows the tag for long, a depth takes its place, and that is said once."""
    asked = Asked(server, pool)
    server.fault = fault
    before = await asked.final()
    asked.clock.now += PATIENCE_SECONDS
    after = [await asked.final(), await asked.final()]

    assert (before, after) == (None, [HEAD - FALLBACK_DEPTH_BLOCKS] * 2)
    assert [type(error) for error in asked.troubles.errors].count(RetryLater) == 1


@pytest.mark.fault(36)
async def test_the_tag_is_taken_up_again(server: ScriptedServer, pool: ProviderPool) -> None:
    """Once the tag is back it counts, and a lower one than what is final already is no news."""
    asked = Asked(server, pool)
    server.fault = says(None)
    asked.clock.now += PATIENCE_SECONDS
    fallen = await asked.final()
    server.fault = lower(server, 20)
    back = await asked.final()

    assert (fallen, back) == (36, 20)
    settled = asked.window.finalized_at(36)
    assert settled is not None
    assert settled.finalized_at(20) is None


@pytest.mark.fault(33, 36)
async def test_a_single_liar_is_quarantined(
    server: ScriptedServer, third: ScriptedServer, pool_of_three: ProviderPool
) -> None:
    """A provider that alone calls another block final is asked nothing any more; the others decide."""
    asked = Asked(server, pool_of_three)
    third.fault = says(95, alien=True)

    assert await asked.final() == 90
    assert [provider.quarantine is None for provider in pool_of_three.statistics()] == [True, True, False]


@pytest.mark.fault(33, 35)
async def test_a_liar_about_what_is_final_loses_against_it(
    server: ScriptedServer, second: ScriptedServer, pool_of_two: ProviderPool
) -> None:
    """One of two that denies a block which a quorum called final is the liar."""
    asked = Asked(server, pool_of_two, finalized=90)
    second.fault = says(85, alien=True)
    await asked.final()

    assert [provider.quarantine is None for provider in pool_of_two.statistics()] == [True, False]


async def test_a_draw_above_finality_decides_nothing(
    server: ScriptedServer, second: ScriptedServer, pool_of_two: ProviderPool
) -> None:
    """Two providers with different final blocks make nothing final, and nobody is blamed."""
    asked = Asked(server, pool_of_two)
    second.fault = says(85, alien=True)

    assert await asked.final() is None
    assert [provider.quarantine for provider in pool_of_two.statistics()] == [None, None]


@pytest.mark.fault(35)
@pytest.mark.parametrize(("finalized", "error"), [(90, FinalityViolated), (60, NodeMalformed)])
async def test_a_majority_against_us_halts(
    server: ScriptedServer,
    second: ScriptedServer,
    third: ScriptedServer,
    pool_of_three: ProviderPool,
    finalized: int,
    error: type[KeeperError],
) -> None:
    """Most providers calling another block final than our final one halt; above that the head is not believed."""
    asked = Asked(server, pool_of_three, finalized)
    second.fault = third.fault = says(85, alien=True)

    with pytest.raises(error, match="call it final"):
        await asked.final()


async def test_a_provider_that_fails_takes_its_answer_along(
    server: ScriptedServer, second: ScriptedServer, pool_of_two: ProviderPool
) -> None:
    """An answer counts only as long as its provider gives one."""
    asked = Asked(server, pool_of_two)
    first = await asked.final()
    second.fault = refuse

    assert (first, await asked.final()) == (90, None)
