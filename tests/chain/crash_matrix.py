"""A fall of prices under the real daemon, which is killed at a failpoint in the middle of it and started again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from keeper.app.failpoints import VARIABLE
from keeper.lab.localchain.prices import move_prices, price_walk
from tests.app.keeper_process import KeeperProcess, started
from tests.app.market import SEED, Market
from tests.bad_input.proxy import Json, proxy_of

STEPS = 14
REORG_AT = (5, 9)
"""The steps at which the newest block is replaced: an approval is in the first, a slice in the second."""
QUIET_BLOCKS = 4
"""So many blocks without an intent under way: finality is two behind, so nothing can come of the last one."""
BLOCKS_MAX = 120
BLOCKS_UNTIL_KILLED_MAX = 5_000
"""Clock and mark go by the second, so a fast machine makes many blocks before the next of them."""
SNAPSHOT_EVERY_RECORDS = 20


class Fall:
    """The prices' way down, one block at a time; it goes on where it was when the daemon comes back."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._prices = price_walk(market.aave, SEED, STEPS)
        self._step = 0

    @property
    def is_over(self) -> bool:
        """Whether the last price is set."""
        return self._step == STEPS

    async def go_on(self, keeper: KeeperProcess | None) -> None:
        """Make the next block; some are replaced once the keeper, if one lives and is awake, has seen them.

        Then nothing is mined but by this: a transaction that is mined while anvil replaces a block stays in the chain
        and not in the state.
        """
        replaced = self._step + 1 in REORG_AT
        if replaced:
            await self._market.mine_only_when_told()
        await move_prices(self._market.rpc, self._market.aave, self._prices[self._step])
        self._step += 1
        if replaced:
            await self._seen(keeper)
            await self._market.mine()
            await self._seen(keeper)
            await self._market.rpc.call("anvil_reorg", 1, [], answer=object)
            await self._market.mine_each()
            await self._market.mine()

    async def _seen(self, keeper: KeeperProcess | None) -> None:
        if keeper is not None:
            await keeper.ends_before(await self._market.height())


async def run_until_killed(market: Market, failpoint: str, fall: Fall) -> KeeperProcess:
    """Run a keeper that is to be killed at a failpoint, through the fall and a drain, until it has ended."""
    keeper = market.keeper("--live", environment={VARIABLE: failpoint})
    async with started(keeper):
        if await keeper.is_ready_before_it_ends():
            await market.mine()
            while not (fall.is_over or await keeper.ends_before(await market.height())):
                await fall.go_on(keeper)
            for _ in range(QUIET_BLOCKS if "RunStopped" in failpoint else BLOCKS_UNTIL_KILLED_MAX):
                if await keeper.ends_before(await market.height()):
                    break
                await market.mine()
            await market.left_by(keeper)
        await keeper.exit_code()
    return keeper


async def run_until_quiet(market: Market, fall: Fall) -> int:
    """Run a keeper through what is left of the fall until nothing is under way; return its exit code."""
    async with started(market.keeper("--live")) as keeper:
        assert await keeper.is_ready_before_it_ends()
        await until_quiet(keeper, market, fall)
        return await market.left_by(keeper)


async def until_quiet(keeper: KeeperProcess, market: Market, fall: Fall) -> None:
    """Let the prices fall to the end, and blocks follow until a running keeper has nothing under way."""
    quiet = 0
    for _ in range(BLOCKS_MAX):
        await (market.mine() if fall.is_over else fall.go_on(keeper))
        assert not await keeper.ends_before(await market.height())
        under_way = (await keeper.status())["intents"]
        quiet = quiet + 1 if fall.is_over and not under_way else 0
        if quiet == QUIET_BLOCKS:
            break


@asynccontextmanager
async def estimates_that_revert(market: Market) -> AsyncIterator[None]:
    """Let the node say once that a call would revert, so that an intent is dropped unsigned."""

    def bend(method: str, response: Json) -> Json:
        if method != "eth_estimateGas" or proxy.lies:
            return response
        return {"jsonrpc": "2.0", "id": response["id"], "error": {"code": 3, "message": "execution reverted"}}

    async with proxy_of(market.node.http_url) as proxy:
        proxy.bend = bend
        market.http_url = proxy.url
        yield
