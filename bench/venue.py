"""A price moves over five thousand real borrowers: how soon is it decided, and how long do the peers ask?

The protocol's published contracts run on a local node with that many accounts, opened by real transactions. At each
tick the oracle's prices change, and the block that they change in is stepped: folded, whoever it can have hurt looked
at, decided. That is the engine's part; the journal and the node have figures of their own. Most ticks hurt few; at the
end prices fall until some hundreds may be liquidated, all of whom are sized again at each tick.

A second engine steps the same facts with a model of risk, and forms an opinion of everybody who is near.

The peers' way, in the same run and on the same node: one ``getUserAccountData`` for each account, fifty at a time.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from statistics import median
from time import perf_counter
from typing import NamedTuple

import aiohttp
from msgspec.structs import replace

from keeper.core.facts import AnyFact, BlockApplied, RunStarted, SignerRead
from keeper.core.ids import content_id, parse_address
from keeper.core.runconfig import Holding, RunConfig
from keeper.core.units import UINT256_MAX, TokenAmount, Wei
from keeper.core.venue import Status
from keeper.engine.step import Engine
from keeper.lab.localchain.aave import AaveMarket, deploy_aave_market
from keeper.lab.localchain.node import NodeOptions, running_node
from keeper.lab.localchain.prices import move_prices
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.scenario import open_borrowers, open_whale
from keeper.lab.localchain.transactions import encode_call
from keeper.venues import open_ledger
from strategies import STRATEGIES
from tests.chain.aave_feed import Feed
from tests.engine.test_real_ledger import CONFIG
from tests.engine.test_suspects import RISK

ACCOUNTS = 5000
OPENED_TOGETHER = 250
"""Borrowers whose transactions wait in the node's pool at once."""
WHALE_USD = 10**11
TICKS_CALM, TICKS_FALLING = 50, 20
FALL_PER_TICK = 0.005
FEW = 50
"""A tick hurts few when no more may be liquidated after it."""
ASKED_AT_ONCE = 50
ROUNDS = 2
CHAIN = 31337


def run(*, accounts: int = ACCOUNTS) -> dict[str, object]:
    """Open the accounts, tick, ask as the peers do, and compare: ``ratio`` is their time over ours, both medians."""
    return asyncio.run(_run(accounts))


async def _run(accounts: int) -> dict[str, object]:
    options = NodeOptions(timestamp=1_700_000_000, timestamp_interval_seconds=12, disable_block_gas_limit=True)
    async with running_node(options) as node, LabRpc(node.http_url) as rpc:
        started = perf_counter()
        market = await deploy_aave_market(rpc, node.node_modules)
        await open_whale(rpc, market, 0, WHALE_USD)
        users: list[str] = []
        for seed in range(accounts // OPENED_TOGETHER):
            users += [each.address for each in await open_borrowers(rpc, market, OPENED_TOGETHER, seed + 1)]
        opened = perf_counter() - started
        watcher = Watcher(rpc, market)
        await watcher.catch_up()
        ticks = [await watcher.tick(prices) for prices in _prices(market)]
        asked = [await _ask_everybody(node.http_url, market.pool, users) for _ in range(ROUNDS)]
    few = sorted(tick.seconds for tick in ticks[1:] if tick.unsafe <= FEW)
    many = [tick.seconds for tick in ticks[1:] if tick.unsafe > FEW]
    judged = sorted(tick.judged_seconds for tick in ticks[1:] if tick.unsafe <= FEW)
    return {
        "accounts": len(users),
        "opened_seconds": opened,
        "first_head_seconds": ticks[0].seconds,
        "ticks_that_hurt_few": len(few),
        "few_ms": {"median": median(few) * 1000, "worst": few[-1] * 1000},
        "ticks_that_hurt_many": len(many),
        "many_ms": {"median": median(many) * 1000, "worst": max(many) * 1000} if many else None,
        "liquidatable_max": max(tick.unsafe for tick in ticks),
        "second_opinion_few_ms": {"median": median(judged) * 1000, "worst": judged[-1] * 1000},
        "not_safe_by_second_opinion_median": median(tick.called for tick in ticks[1:] if tick.unsafe <= FEW),
        "one_call_an_account_ms": [seconds * 1000 for seconds in asked],
        "ratio": median(asked) / median(few),
    }


class Tick(NamedTuple):
    """A block: seconds without and with a second opinion, who may be liquidated after it, and who is not safe by it."""

    seconds: float
    unsafe: int
    judged_seconds: float
    called: int


class Watcher:
    """Two engines that follow the market block by block, in a dry run: one forms second opinions."""

    def __init__(self, rpc: LabRpc, market: AaveMarket) -> None:
        self.engine, self.judging = Engine(open_ledger, STRATEGIES), Engine(open_ledger, STRATEGIES)
        self._rpc = rpc
        self._market = market
        for engine, config in ((self.engine, _config(market)), (self.judging, replace(_config(market), risk=(RISK,)))):
            engine.step(RunStarted(content_id("bench"), "1", config, "{}", 0), 1)
        ledger = self.engine.ledgers["aave"]
        self._feed = Feed(rpc, ledger)
        self._next = 0

    def _step(self, fact: AnyFact) -> None:
        for engine in (self.engine, self.judging):
            engine.step(fact, engine.sequence + 1)

    async def catch_up(self) -> None:
        """Step all blocks so far, none of them decided on, and what the signer has."""
        newest = int(await self._rpc.call("eth_blockNumber", answer=str), 16)
        for number in range(newest + 1):
            last = await self._block(number, behind=1)
            self._step(last)
        pool, plenty = parse_address(self._market.pool), TokenAmount(UINT256_MAX)
        tokens = [parse_address(asset.token) for asset in self._market.assets]
        purse = tuple(Holding(each, pool, TokenAmount(10**30), plenty) for each in tokens)
        self._step(SignerRead(CHAIN, "main", newest, last.header.hash, Wei(10**20), 0, purse))

    async def tick(self, prices: dict[str, int]) -> Tick:
        """Move prices and let both engines step the block."""
        await move_prices(self._rpc, self._market, prices)
        fact = await self._block(self._next, behind=0)
        spent: list[float] = []
        for engine in (self.engine, self.judging):
            started = perf_counter()
            engine.step(fact, engine.sequence + 1)
            spent.append(perf_counter() - started)
        unsafe = sum(margin.health.status is Status.LIQUIDATABLE for margin in self.engine.margins.values())
        return Tick(spent[0], unsafe, spent[1], len(self.judging.risk.unsafe))

    async def _block(self, number: int, *, behind: int) -> BlockApplied:
        self._next = number + 1
        block = await self._feed.fetch(number)
        return BlockApplied(CHAIN, block.header, block.logs, block.reads, behind)


def _prices(market: AaveMarket) -> Iterator[dict[str, int]]:
    """Yield the prices of each tick: noise of 0.1 %, then a fall."""
    chance, fallen = random.Random(1), 1.0
    for tick in range(TICKS_CALM + TICKS_FALLING):
        fallen *= 1 if tick < TICKS_CALM else 1 - FALL_PER_TICK
        yield {each: int(market.asset(each).price * fallen * chance.gauss(1, 0.001)) for each in ("WETH", "WBTC")}


async def _ask_everybody(url: str, pool: str, users: list[str]) -> float:
    """Ask the node for each account by a call of its own and return the seconds until all answers are there."""
    bodies = iter([_question(pool, user) for user in users])

    async def ask(session: aiohttp.ClientSession) -> None:
        for body in bodies:
            async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as response:
                answer = await response.json()
                if len(answer["result"]) != 2 + 6 * 64:
                    raise ValueError(answer)

    connector = aiohttp.TCPConnector(limit=ASKED_AT_ONCE)
    async with aiohttp.ClientSession(connector=connector) as session:
        started = perf_counter()
        await asyncio.gather(*(ask(session) for _ in range(ASKED_AT_ONCE)))
        return perf_counter() - started


def _question(pool: str, user: str) -> bytes:
    call = {"to": pool, "data": encode_call("getUserAccountData(address)", user)}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [call, "latest"]}).encode()


def _config(market: AaveMarket) -> RunConfig:
    chain = replace(CONFIG.chains[0], chain_id=CHAIN, wrapped_native=parse_address(market.asset("WETH").token))
    venue = replace(CONFIG.venues[0], chain_id=CHAIN, root=parse_address(market.provider))
    return replace(CONFIG, live=False, chains=(chain,), venues=(venue,))


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
