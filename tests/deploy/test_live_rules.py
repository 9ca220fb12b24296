"""The shipped alerts on a live keeper: a real Prometheus finds what each of them names, and misses a killed process.

Only times are scaled, when the rules are read: a minute of ``for`` becomes a second, and scrapes and evaluations are
those of the tests' Prometheus. Expressions stay as they are shipped.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from tests.app.keeper_process import KeeperProcess, started
from tests.app.looks import liquidated
from tests.app.market import Market, opened_market
from tests.deploy.prometheus_process import Prometheus, running_prometheus
from tests.deploy.test_rules import PROMETHEUS

pytestmark = [pytest.mark.chain, pytest.mark.slow]
Json = Any

ALERTS = PROMETHEUS / "rules" / "alerts.yml"
SELECTOR = re.compile(r"\b(?:keeper_[a-z0-9_]+|up)\b(?:\{[^}]*\})?")
MINUTES = re.compile(r"(\d+)m")
DOWN_SECONDS = 1.0
STRATEGY = "[strategies.partial_liquidation]"
RISK = '[venues.aave.risk]\nmodel = "volatility"\n\n'
"""The second opinion: without it the keeper keeps no ages of prices, and KeeperPriceStale has nothing to weigh."""


@pytest_asyncio.fixture
async def market(tmp_path: Path) -> AsyncIterator[Market]:
    """A market of its own, on a node that follows the wall clock."""
    async with opened_market(tmp_path) as opened:
        opened.changes.append((STRATEGY, RISK + STRATEGY))
        yield opened


def shipped() -> Json:
    """Return the file of alerts."""
    return yaml.safe_load(ALERTS.read_text(encoding="utf-8"))


def scaled(file: Path) -> list[str]:
    """Write the alerts with seconds of ``for`` in place of minutes; return their expressions."""
    content = shipped()
    rules = [rule for group in content["groups"] for rule in group["rules"]]
    for rule in rules:
        if "for" in rule:
            (minutes,) = MINUTES.fullmatch(rule["for"]).groups()  # type: ignore[union-attr] # no match fails the test
            rule["for"] = f"{minutes}s"
    file.write_text(json.dumps(content), encoding="utf-8")  # JSON is YAML
    return [rule["expr"] for rule in rules]


async def until_liquidated(keeper: KeeperProcess, market: Market) -> None:
    """Let prices crash, and wait until the keeper has liquidated."""
    await market.until_allowed(keeper)
    await market.crash()
    await keeper.until_status(liquidated)


async def until_scraped(server: Prometheus, sequence: int) -> None:
    """Wait until Prometheus knows of a record, and has weighed every rule."""

    async def scraped() -> bool:
        known = await server.query(f"keeper_journal_sequence >= {sequence}")
        return bool(known) and all(rule["health"] != "unknown" for rule in await server.rules())

    await server.until(scraped)


async def until_firing(server: Prometheus, name: str) -> None:
    """Wait until an alert fires."""

    async def fires() -> bool:
        return bool(await server.query(f'ALERTS{{alertname="{name}", alertstate="firing"}}'))

    await server.until(fires)


async def vector(server: Prometheus, expression: str) -> list[Json]:
    """Return the series of an expression, which must be an instant vector."""
    data = await server.api("query", query=expression)
    assert data["resultType"] == "vector", expression
    series: list[Json] = data["result"]
    return series


async def first_seen(server: Prometheus, name: str) -> dict[str, float]:
    """Return when an alert was first found in each of its states, in the time of evaluations."""
    data = await server.api("query", query=f'ALERTS{{alertname="{name}"}}[5m]')
    return {series["metric"]["alertstate"]: series["values"][0][0] for series in data["result"]}


async def test_alerts_find_their_metrics_and_miss_a_killed_keeper(market: Market) -> None:
    """On a keeper that liquidates, each alert has what it names and none is broken; when it is killed, one fires."""
    rules = market.folder / "alerts.json"
    expressions = scaled(rules)
    selectors = {selector for expression in expressions for selector in SELECTOR.findall(expression)}
    async with started(market.keeper("--live")) as keeper:
        await until_liquidated(keeper, market)
        status = await keeper.status()
        target = (await keeper.until_logged("started"))["http"].removeprefix("http://")
        async with running_prometheus(market.folder, [target], [rules]) as server:
            await until_scraped(server, status["journal"]["durable_sequence"])
            broken = {rule["name"]: rule["lastError"] for rule in await server.rules() if rule["health"] != "ok"}
            for expression in expressions:
                await vector(server, expression)
            empty = {selector for selector in selectors if not await vector(server, selector)}
            before = await first_seen(server, "KeeperDown")

            keeper.signal(signal.SIGKILL)
            await until_firing(server, "KeeperDown")
            seen = await first_seen(server, "KeeperDown")

    assert broken == {}
    assert empty == set()
    assert before == {}
    assert seen["firing"] - seen["pending"] >= DOWN_SECONDS
