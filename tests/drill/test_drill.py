"""The drill that docs/operating.md describes: three faults, each found wherever an operator looks.

A revert streak, a stale price and an outage of the provider are caused around the shipped daemon. Each must be on the
live page, in the metrics, among the alerts of a real Prometheus, in ``keeper explain`` and in ``keeper postmortem``.
The alerts are the shipped ones; a minute of their ``for`` is a second (:func:`tests.deploy.test_live_rules.scaled`).
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from aiohttp import web

from tests.app.keeper_process import KeeperProcess, started
from tests.app.looks import in_flight
from tests.app.market import Market, opened_market
from tests.bad_input.proxy import Proxy, proxy_of
from tests.deploy.prometheus_process import Prometheus, running_prometheus
from tests.deploy.test_live_rules import RISK, STRATEGY, scaled, until_firing

pytestmark = [pytest.mark.chain, pytest.mark.soak]
Json = Any

SILENT_SECONDS_MAX = 8
"""Without a block for longer the chain's accounts are unknown; the node makes one a second."""
STREAK = 2
"""So many reverts pause the venue."""
DAY_AND_MORE_SECONDS = 26 * 3_600
ANSWER_SLOT = hex(1)
"""Where a feed of the local chain keeps its answer."""


class Desk(NamedTuple):
    """Where an operator sits: a market, the keeper of it, the Prometheus beside it, and the provider between."""

    market: Market
    keeper: KeeperProcess
    prometheus: Prometheus
    provider: Proxy

    async def until_page(self, *texts: str) -> None:
        """Wait until the live page shows all of these."""

        async def shown() -> bool:
            _, page = await self.keeper.get("/")
            return all(text in page for text in texts)

        await self.keeper.until(shown)

    async def until_metric(self, expression: str) -> None:
        """Wait until Prometheus finds something."""

        async def found() -> bool:
            return bool(await self.prometheus.query(expression))

        await self.prometheus.until(found)

    async def ask(self, *arguments: str) -> Json:
        """Run a command of the keeper as an operator does, and return its JSON."""
        command = ("-m", "keeper.cli", *arguments, "--json")
        asked = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        answer, errors = await asked.communicate()
        assert asked.returncode == 0, errors.decode()
        return json.loads(answer)

    async def explained(self, account: str) -> Json:
        """Explain an account."""
        found = await self.ask("explain", account, "-c", str(self.market.folder / "keeper.toml"))
        return found["venues"][0]["explanation"]

    async def troubles(self) -> dict[str, list[Json]]:
        """Return what the postmortem says went wrong, by kind."""
        found = await self.ask("postmortem", "--journal", f"sqlite://{self.market.journal}")
        assert found["proof"]["holds"]
        told = [each["text"] for chapter in found["narrative"] for each in chapter["sentences"]]
        by_kind: dict[str, list[Json]] = {}
        for each in found["troubles"]:
            assert any(text.startswith(each["kind"].capitalize()) for text in told), each
            by_kind.setdefault(each["kind"], []).append(each)
        return by_kind


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A live keeper at the head of a chain that makes a block a second, with one provider, and a Prometheus."""
    rules = tmp_path / "alerts.json"
    scaled(rules)
    async with opened_market(tmp_path) as market, proxy_of(market.node.http_url) as provider:
        risk = RISK.replace('"volatility"\n', '"volatility"\nstep_percent_max = 60\n')
        # Prices are set in storage behind the back of a block that is there: an audit of it would rightly fail.
        market.changes += [("[chains.local]", "[chains.local]\naudit_every_blocks = 0")]
        market.changes += [(STRATEGY, risk + STRATEGY), ("[limits]", f"[limits]\nreverts_per_venue_max = {STREAK}")]
        market.stale_after_seconds, market.http_url = SILENT_SECONDS_MAX, provider.url
        async with started(market.keeper("--live")) as keeper:
            await market.until_allowed(keeper)
            target = (await keeper.until_logged("started"))["http"].removeprefix("http://")
            async with running_prometheus(tmp_path, [target], [rules]) as prometheus:
                yield Desk(market, keeper, prometheus, provider)


async def cause_reverts(market: Market, keeper: KeeperProcess) -> str:
    """Let slices be sent, and then revert: no simulation saw the price come back. Return whose slices they were."""
    aave, call = market.aave, market.rpc.call
    await market.mine_only_when_told()
    await market.crash()
    await market.mine()
    status = await keeper.until_status(lambda status: len(in_flight(status, "liquidation")) >= STREAK)
    feeds = [aave.asset(symbol).feed for symbol in ("WETH", "WBTC")]
    low = [await call("eth_getStorageAt", feed, ANSWER_SLOT, "latest", answer=str) for feed in feeds]
    for symbol, feed in zip(("WETH", "WBTC"), feeds, strict=True):
        word = f"0x{aave.asset(symbol).price:064x}"
        await call("anvil_setStorageAt", feed, ANSWER_SLOT, word, answer=object)
    await market.mine()
    for feed, word in zip(feeds, low, strict=True):
        await call("anvil_setStorageAt", feed, ANSWER_SLOT, word, answer=object)
    await call("evm_setIntervalMining", 1, answer=object)
    account: str = in_flight(status, "liquidation")[0]["account"]
    return account


async def find_the_reverts(desk: Desk, account: str) -> None:
    """Find that slices revert, and that the venue rests for it."""
    await desk.until_page("paused", "after reverts")
    await desk.until_metric("keeper_venue_paused == 1")
    await until_firing(desk.prometheus, "KeeperRevertStreak")
    told, explanation = await desk.troubles(), await desk.explained(account)
    gates = [explanation["why_not"]["gate"], *explanation["why_not"]["earlier"]]
    assert "reverted" in {gate["name"] for gate in gates}
    assert "venue_paused" in {gate["rule"] for gate in gates}
    assert len(told["reverted"]) >= STREAK
    assert [each["subject"] for each in told["venue paused"]] == ["aave"]


async def find_the_stale_price(desk: Desk, account: str) -> None:
    """Find that the feeds say nothing new for longer than a day."""
    await desk.until_page("prices in doubt", "stale: nothing new for 26.0 h")
    await desk.until_metric(f"keeper_price_unmoved_seconds >= {DAY_AND_MORE_SECONDS}")
    await until_firing(desk.prometheus, "KeeperPriceStale")
    told, explanation = await desk.troubles(), await desk.explained(account)
    ages = {fact["asset"]: fact["age_seconds"] for fact in explanation["facts"] if fact["stale"]}
    assert ages
    assert min(ages.values()) >= DAY_AND_MORE_SECONDS
    assert {f"aave {asset}" for asset in ages} <= {each["subject"] for each in told["price stale"]}


async def find_the_outage(desk: Desk, account: str) -> None:
    """Find that the provider answers nothing, and that nothing is known of the chain for it."""
    await desk.until_page("Not ready", "no block followed", ">down</span>", ">stale</span>")
    await desk.until_metric("keeper_rpc_provider_up == 0")
    await desk.until_metric("keeper_watermark_lag_seconds > keeper_watermark_lag_seconds_max")
    await until_firing(desk.prometheus, "KeeperProviderDown")
    await until_firing(desk.prometheus, "KeeperWatermarkLag")
    told, explanation = await desk.troubles(), await desk.explained(account)
    assert explanation["margin"]["health"] == {"status": "unknown", "reason": "watermark lags"}
    (down,), (silence,) = told["provider down"], told["silence"]
    assert (down["subject"], down["detail"].endswith("failures in a row, down to the end")) == (desk.provider.url, True)
    assert (silence["subject"], "up to the end" in silence["detail"]) == ("local", True)


async def test_three_faults_are_found_wherever_an_operator_looks(desk: Desk) -> None:
    """A revert streak, a stale price and an outage are on page, in metrics, alerts, explanation and postmortem."""
    market, keeper = desk.market, desk.keeper
    account = await cause_reverts(market, keeper)
    await find_the_reverts(desk, account)

    await market.rpc.call("evm_increaseTime", DAY_AND_MORE_SECONDS, answer=object)
    await find_the_stale_price(desk, account)

    desk.provider.replace = lambda _: web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE)
    await find_the_outage(desk, account)
    desk.provider.replace = None
    await keeper.until_answer("/readyz", HTTPStatus.OK)
    await desk.until_metric("keeper_rpc_provider_up == 1")
    (down,) = (await desk.troubles())["provider down"]
    assert "up again after" in down["detail"]
