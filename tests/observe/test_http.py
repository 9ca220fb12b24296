"""The endpoints, asked over a real connection."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from keeper.core.errors import OperatorError
from keeper.observe.http import HEADERS, serving, web_app
from keeper.observe.metrics import Metrics
from keeper.observe.status import Status
from tests.observe.pictures import WELL, changed, with_chain, with_journal, with_venue


@asynccontextmanager
async def asked(path: str, status: Callable[[], Status] = lambda: WELL) -> AsyncIterator[aiohttp.ClientResponse]:
    """Serve a picture and ask for a path."""
    app = web_app(Metrics(CollectorRegistry()), status)
    async with (
        serving(app, "127.0.0.1", 0) as url,
        aiohttp.ClientSession() as session,
        session.get(url + path) as response,
    ):
        yield response


async def test_health_is_200_while_well() -> None:
    """``/healthz`` answers 200 and says that nothing fails."""
    async with asked("/healthz") as response:
        assert (response.status, await response.json()) == (200, {"ok": True, "failing": []})


async def test_health_is_503_when_the_journal_stopped() -> None:
    """``/healthz`` answers 503 and names what fails."""
    async with asked("/healthz", lambda: with_journal(fault="the disk is full")) as response:
        answer = await response.json()

    assert response.status == 503
    assert answer == {"ok": False, "failing": [{"condition": "journal", "reason": "the disk is full"}]}


async def test_health_is_503_when_the_loop_hangs() -> None:
    """``/healthz`` answers 503 when no fact was taken for too long."""
    async with asked("/healthz", lambda: changed(progress_age_seconds=60.0)) as response:
        assert response.status == 503


async def test_readiness_names_every_failing_condition() -> None:
    """``/readyz`` answers 503 with one entry for each condition that does not hold."""

    def status() -> Status:
        behind, unpriced = with_chain(behind_blocks=3), with_venue(prices_missing=("0x01",))
        return changed(chains=behind.chains, venues=unpriced.venues)

    async with asked("/readyz", status) as response:
        answer = await response.json()

    assert response.status == 503
    assert [one["condition"] for one in answer["failing"]] == ["watermark of local", "prices of aave"]


async def test_readiness_is_200_at_the_head() -> None:
    """``/readyz`` answers 200 when every chain is at its head and every price is known."""
    async with asked("/readyz") as response:
        assert response.status == 200


async def test_status_says_everything() -> None:
    """``/status`` is the whole picture as JSON."""
    async with asked("/status") as response:
        picture = json.loads(await response.read())

    assert picture["chains"][0]["watermark"]["block"] == 120
    assert picture["venues"][0]["accounts"] == {"healthy": 7, "liquidatable": 2, "unknown": 1}
    assert (picture["run_id"], picture["code_version"]) == (WELL.run_id, "0.1.0")


async def test_metrics_are_scraped() -> None:
    """``/metrics`` has the figures, those of the state as they are now."""
    async with asked("/metrics") as response:
        lines = (await response.text()).splitlines()

    assert 'keeper_accounts{status="liquidatable",venue="aave"} 2.0' in lines
    assert 'keeper_debt_unknown_ratio{venue="aave"} 0.25' in lines


@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz", "/readyz", "/status", "/nothing-here"])
async def test_every_answer_has_the_security_headers(path: str) -> None:
    """No page can be framed, sniffed, cached or made to load anything."""
    async with asked(path) as response:
        assert {name: response.headers[name] for name in HEADERS} == dict(HEADERS)


async def test_the_page_lists_the_endpoints() -> None:
    """``/`` links to the figures."""
    async with asked("/") as response:
        text = await response.text()

    assert [path for path in ("/metrics", "/status") if path not in text] == []


async def test_only_reading_is_possible() -> None:
    """No endpoint takes a POST."""
    app = web_app(Metrics(CollectorRegistry()), lambda: WELL)
    async with (
        serving(app, "127.0.0.1", 0) as url,
        aiohttp.ClientSession() as session,
        session.post(url + "/status") as response,
    ):
        assert response.status == 405


async def test_an_address_in_use_is_the_operators() -> None:
    """When something listens there already, one line says so and what to do."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(OperatorError) as caught:
            async with serving(web_app(Metrics(CollectorRegistry()), lambda: WELL), "127.0.0.1", port):
                pass

    assert str(caught.value) == (
        f"http.listen 127.0.0.1:{port}: cannot be listened on (Address already in use); "
        "stop what listens there, or change http.listen"
    )
