"""The daemon begins from a reading of the market at one block, is killed in the middle of it, and goes on."""

from __future__ import annotations

import re
from http import HTTPStatus
from itertools import chain

import pytest

from keeper.core.decisions import LiquidationObserved
from keeper.core.facts import BlocksBackfilled, BootstrapCompleted, BootstrapStarted, RunStarted, VenueRead
from tests.app.keeper_process import started
from tests.app.looks import liquidated, of
from tests.app.market import Market
from tests.chain.journals import read_journal, replayed

pytestmark = [pytest.mark.chain, pytest.mark.slow]
SNAPSHOT = ('prices = "events"', 'prices = "events"\nbootstrap = "snapshot"')
SMALL_PARTS = ("poll_interval_seconds", "batch_size_max = 4\nconcurrency_max = 1\npoll_interval_seconds")


async def test_a_killed_bootstrap_goes_on_and_the_keeper_helps(market: Market) -> None:
    """Nothing is read twice, nothing is decided before all is read, and then accounts are helped; verified."""
    market.changes += [SNAPSHOT, SMALL_PARTS]
    async with started(market.keeper("--live")) as keeper:

        async def part_is_durable() -> bool:
            metrics = (await keeper.get("/metrics"))[1]
            return re.search(r'^keeper_facts_total{.*kind="VenueRead".*} [1-9]', metrics, re.MULTILINE) is not None

        await keeper.until(part_is_durable)
        assert (await keeper.get("/readyz"))[0] == HTTPStatus.SERVICE_UNAVAILABLE
    async with started(market.keeper("--live")) as keeper:
        await keeper.until_answer("/readyz", HTTPStatus.OK)
        await market.crash()
        await keeper.until_status(liquidated)
        assert await keeper.leave() == 0

    records = read_journal(market.journal)
    items = list(chain.from_iterable(part.items for part in of(records, VenueRead)))
    kinds = [type(record.body) for record in records]
    second_run = max(place for place, kind in enumerate(kinds) if kind is RunStarted)
    assert len(items) == len(set(items))
    assert VenueRead in kinds[:second_run]
    assert BootstrapCompleted in kinds[second_run:]
    assert kinds.count(BootstrapStarted) == 1
    assert BlocksBackfilled not in kinds
    assert any(seen.intent_id for seen in of(records, LiquidationObserved))
    assert replayed(market.journal).divergence is None
