"""What goes wrong while the daemon runs: a node that lies is survived and nothing is skipped; a full disk stops it.

The second half of the list of issue 2, "Bad input"; the first is ``test_start.py``.
"""

from __future__ import annotations

import re
import resource
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from http import HTTPStatus

import pytest
import pytest_asyncio
from aiohttp import web

from keeper.core.facts import AttemptPrepared, BlockApplied
from keeper.core.ids import to_hex
from keeper.lab.localchain.prices import VOLATILE
from tests.app.keeper_process import KeeperProcess, started
from tests.app.market import Market, opened_market
from tests.bad_input.proxy import Bend, Json, Proxy, proxy_of
from tests.chain.journals import read_journal, replayed

pytestmark = [pytest.mark.chain, pytest.mark.slow]

UNASKED_TOPIC = "0x" + "77" * 32


def each_log(change: Callable[[Json], Json]) -> Bend:
    """Return a lie that changes every log."""

    def bend(method: str, response: Json) -> Json:
        if method != "eth_getLogs" or "result" not in response:
            return response
        return {**response, "result": [{**log, **change(log)} for log in response["result"]]}

    return bend


def refuse(_: str, response: Json) -> Json:
    """Answer every request with an error object."""
    return {"jsonrpc": "2.0", "id": response["id"], "error": {"code": -32000, "message": "out of order"}}


@dataclass(frozen=True)
class Lie:
    """What the node does wrong, and what the keeper says of it: the error's class and a pattern."""

    name: str
    error: str
    reason: str
    tell: Callable[[Proxy], None]


def bending(bend: Bend) -> Callable[[Proxy], None]:
    """Return a lie about single answers."""

    def tell(proxy: Proxy) -> None:
        proxy.bend = bend

    return tell


def replacing(change: Callable[[str], str], content_type: str = "application/json") -> Callable[[Proxy], None]:
    """Return a lie about the whole HTTP answer."""

    def tell(proxy: Proxy) -> None:
        proxy.replace = lambda text: web.Response(text=change(text), content_type=content_type)

    return tell


LIES = [
    Lie("HTML", "NodeMalformed", "an HTML page", replacing(lambda _: "<html>gateway</html>", "text/html")),
    Lie("truncated JSON", "NodeMalformed", "not JSON-RPC", replacing(lambda text: text[: len(text) // 2])),
    Lie("error object", "NodeRefused", "error -32000: out of order", bending(refuse)),
    Lie(
        "log with an unasked topic",
        "NodeMalformed",
        r"log \d+ of block \d+ was not asked for",
        bending(each_log(lambda log: {"topics": [UNASKED_TOPIC, *log["topics"][1:]]})),
    ),
    Lie(
        "log with too few topics",
        "NodeMalformed",
        r"log \d+",
        bending(each_log(lambda log: {"topics": log["topics"][:1]})),
    ),
    Lie(
        "log with too little data",
        "NodeMalformed",
        r"log \d+",
        bending(each_log(lambda log: {"data": log["data"][:-64]})),
    ),
    Lie(
        "log marked removed",
        "NodeMalformed",
        r"log 0x\w+ of block 0x\w+ is marked removed",
        bending(each_log(lambda _: {"removed": True})),
    ),
    Lie(
        "log of another contract",
        "NodeMalformed",
        r"log \d+ of block \d+ was not asked for",
        bending(each_log(lambda _: {"address": "0x" + "99" * 20})),
    ),
]


@dataclass
class Watched:
    """A keeper that watches a market through a proxy."""

    market: Market
    proxy: Proxy
    keeper: KeeperProcess

    async def watermark(self) -> int:
        """Return the last block the keeper has applied."""
        block: int = (await self.keeper.status())["chains"][0]["watermark"]["block"]
        return block

    def complaints(self, lie: Lie) -> list[str]:
        """Return what the keeper has said of a lie so far."""
        survived = [event for event in self.keeper.events if event["event"] == "survived"]
        return [
            event["reason"]
            for event in survived
            if event["error"] == lie.error and re.search(lie.reason, event["reason"])
        ]

    def blocks(self) -> list[BlockApplied]:
        """Return the blocks that are in the journal by now."""
        return [record.body for record in read_journal(self.market.journal) if isinstance(record.body, BlockApplied)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    """One dry-running keeper for all lies: it must survive each of them, and leave in order after the last."""
    async with opened_market(tmp_path_factory.mktemp("watched")) as market, proxy_of(market.node.http_url) as proxy:
        market.http_url = proxy.url
        async with started(market.keeper(password=None)) as keeper:
            await keeper.until_answer("/readyz", HTTPStatus.OK)
            yield Watched(market, proxy, keeper)
            assert await keeper.leave() == 0
        assert replayed(market.journal).divergence is None


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.name)
async def test_a_lying_node_is_survived(watched: Watched, lie: Lie) -> None:
    """While the node lies it is named and the watermark stands still; afterwards nothing that happened is missing."""
    market, proxy, keeper = watched.market, watched.proxy, watched.keeper
    before = await watched.watermark()
    said = len(watched.complaints(lie))
    lie.tell(proxy)
    await market.crash()

    async def complained() -> bool:
        return len(watched.complaints(lie)) >= said + 2

    async def caught_up() -> bool:
        return watched.blocks()[-1].header.number == before + 1

    await keeper.until(complained)
    during = await watched.watermark()
    proxy.bend = proxy.replace = None
    await keeper.until(caught_up)

    assert (during, await market.height()) == (before, before + 1)
    assert [to_hex(log.address) for log in watched.blocks()[-1].logs] == [
        market.aave.asset(symbol).feed for symbol in VOLATILE
    ]


@pytest.mark.fault(21)
async def test_a_full_disk_stops_everything(market: Market) -> None:
    """When the disk is full the keeper stops and sends nothing more; all it acknowledged is there at the next start."""
    async with started(market.keeper("--live")) as keeper:
        await keeper.until_answer("/readyz", HTTPStatus.OK)
        await market.mine()
        await keeper.until_status(lambda status: [one["state"] for one in status["intents"]].count("mined") >= 1)
        acknowledged = (await keeper.status())["journal"]["durable_sequence"]
        full = market.journal.with_name("journal.db-wal").stat().st_size
        resource.prlimit(keeper.pid, resource.RLIMIT_FSIZE, (full, full))
        await market.crash()
        code = await keeper.exit_code()
        (line,) = keeper.errors
        sent = await market.sent()
    records = read_journal(market.journal)
    async with started(market.keeper("--live")) as keeper:
        continued = (await keeper.until_logged("started"))["sequence"]
        await keeper.until_answer("/readyz", HTTPStatus.OK)
        assert await keeper.leave() == 0

    assert code == 3
    assert re.fullmatch(r"keeper: journal \S+: .+; .*nothing acknowledged is lost", line)
    assert continued == records[-1].sequence >= acknowledged
    assert sent == len([record for record in records if isinstance(record.body, AttemptPrepared)])
    assert replayed(market.journal).divergence is None
