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

from tests.app.keeper_process import started
from tests.app.looks import liquidated
from tests.app.market import Market, opened_market
from tests.deploy.dashboards import FILES, RATE_INTERVAL, annotation_queries, dashboard, label_values, panel_queries
from tests.deploy.prometheus_process import Prometheus, running_prometheus
from tests.deploy.test_rules import PROMETHEUS

pytestmark = [pytest.mark.chain, pytest.mark.slow]
Json = Any

ALERTS = PROMETHEUS / "rules" / "alerts.yml"
RECORDING = PROMETHEUS / "rules" / "recording.yml"
SELECTOR = re.compile(r"\b(?:keeper_[a-z0-9_]+|up)\b(?:\{[^}]*\})?")
MINUTES = re.compile(r"(\d+)m")
DOWN_SECONDS = 1.0
STRATEGY = "[strategies.partial_liquidation]"
RISK = '[venues.aave.risk]\nmodel = "volatility"\n\n'
"""The second opinion: without it the keeper keeps no ages of prices, and KeeperPriceStale has nothing to weigh."""


MAY_BE_EMPTY = {
    "keeper-ingestion: Head and watermark C",  # there is no second provider to confirm a block,
    "keeper-ingestion: Hedges and refusals A",  # nor to ask when the first is slow;
    "keeper-ingestion: Hedges and refusals B",  # the first refuses nothing
    "keeper-latency: Parts that came late A",  # nothing hangs
    "keeper-overview: Notices A",  # no webhook is configured
    "keeper-risk: Proposed hedges A",  # no strategy hedges
    "keeper-risk: Regime A",  # the model has no regimes
    "keeper-postmortem: Kill switch",  # marks of what does not happen in this run
    "keeper-postmortem: Paused or halted",
    "keeper-postmortem: Provider down",
    "keeper-postmortem: Refused",
    "keeper-postmortem: Reorg",
}
"""Queries that may find nothing beside this keeper, each with the reason; every other one has to answer."""


@pytest_asyncio.fixture
async def market(tmp_path: Path) -> AsyncIterator[Market]:
    """A market of its own, on a node that follows the wall clock."""
    async with opened_market(tmp_path) as opened:
        opened.changes.append((STRATEGY, RISK + STRATEGY))
        yield opened


def shipped() -> Json:
    """Return the file of alerts."""
    return yaml.safe_load(ALERTS.read_text(encoding="utf-8"))


def recorded() -> list[str]:
    """Return the name of each recording."""
    groups = yaml.safe_load(RECORDING.read_text(encoding="utf-8"))["groups"]
    return [rule["record"] for group in groups for rule in group["rules"]]


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


async def until_scraped(server: Prometheus, sequence: int) -> None:
    """Wait until Prometheus knows of a record, and has weighed every rule."""

    async def scraped() -> bool:
        known = await server.query(f"keeper_journal_sequence >= {sequence}")
        return bool(known) and all(rule["health"] != "unknown" for rule in await server.rules())

    await server.until(scraped)


async def until_final(server: Prometheus, market: Market) -> None:
    """Make blocks until Prometheus has twice heard of a slice that is final, so that each stage has a rate."""

    async def heard() -> bool:
        await market.mine()
        return bool(await server.query('count_over_time(keeper_slice_seconds_count{stage="final"}[1m]) >= 2'))

    await server.until(heard)


async def until_recorded(server: Prometheus) -> None:
    """Wait until every recording has a series; rates have none before the second scrape."""

    async def has_each() -> bool:
        return all([await vector(server, name) for name in recorded()])

    await server.until(has_each)


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


async def unanswered_queries(server: Prometheus) -> set[str]:
    """Ask every query of every dashboard, as Grafana would; return whose find nothing. A wrong one fails the test."""
    unanswered = set()
    for content in map(dashboard, FILES):
        values = {RATE_INTERVAL: "1m"}
        for name, (metric, label) in label_values(content).items():
            found = await server.api(f"label/{label}/values", **{"match[]": metric})
            assert found, f"no value of {name} in {content['uid']}"
            values[name] = "|".join(found)
        for query in [*panel_queries(content), *annotation_queries(content)]:
            if not await vector(server, query.resolved(values)):
                unanswered.add(query.place)
    return unanswered


async def test_alerts_find_their_metrics_and_miss_a_killed_keeper(market: Market) -> None:
    """On a keeper that liquidates, each rule has what it names and none is broken; when it is killed, one fires."""
    rules = market.folder / "alerts.json"
    expressions = scaled(rules)
    selectors = {selector for expression in expressions for selector in SELECTOR.findall(expression)}
    async with started(market.keeper("--live")) as keeper:
        await market.until_allowed(keeper)
        target = (await keeper.until_logged("started"))["http"].removeprefix("http://")
        async with running_prometheus(market.folder, [target], [rules, RECORDING]) as server:
            await until_scraped(server, 1)
            await market.crash()
            status = await keeper.until_status(liquidated)
            await until_scraped(server, status["journal"]["durable_sequence"])
            await until_final(server, market)
            broken = {rule["name"]: rule["lastError"] for rule in await server.rules() if rule["health"] != "ok"}
            for expression in expressions:
                await vector(server, expression)
            empty = {selector for selector in selectors if not await vector(server, selector)}
            unanswered = await unanswered_queries(server)
            await until_recorded(server)
            before = await first_seen(server, "KeeperDown")

            keeper.signal(signal.SIGKILL)
            await until_firing(server, "KeeperDown")
            seen = await first_seen(server, "KeeperDown")

    assert broken == {}
    assert empty == set()
    assert unanswered - MAY_BE_EMPTY == set()
    assert before == {}
    assert seen["firing"] - seen["pending"] >= DOWN_SECONDS
