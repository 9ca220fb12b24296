"""The scenario: borrowers, a liquidator with an inventory, and a price crash. It acts on the chain only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from eth_account.signers.local import LocalAccount

from keeper.lab.demo.acts import Act
from keeper.lab.localchain.aave import AaveMarket, deploy_aave_market
from keeper.lab.localchain.accounts import account_data
from keeper.lab.localchain.node import LocalNode
from keeper.lab.localchain.prices import price_calls, price_walk
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.scenario import open_borrowers, open_liquidator, open_whale
from keeper.lab.localchain.transactions import send, submit

WAD = 10**18
POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Scene:
    """A market with its actors; ``borrowers`` are lower-case addresses in drawing order."""

    market: AaveMarket
    borrowers: tuple[str, ...]
    liquidator: LocalAccount


async def open_scene(rpc: LabRpc, node: LocalNode, *, seed: int, borrowers: int) -> Scene:
    """Deploy the market and open its accounts."""
    market = await deploy_aave_market(rpc, node.node_modules)
    await open_whale(rpc, market, seed)
    opened = await open_borrowers(rpc, market, borrowers, seed)
    liquidator = await open_liquidator(rpc, market, seed)
    return Scene(market, tuple(borrower.address for borrower in opened), liquidator)


async def walk_prices(
    rpc: LabRpc,
    scene: Scene,
    *,
    seed: int,
    steps: int,
    on_step: Callable[[int, dict[str, int]], None],
    acts: Sequence[Act] = (),
) -> None:
    """Walk the crash, one price move a block for all protocols, at the node's own rhythm."""
    for number, prices in enumerate(price_walk(scene.market, seed, steps), start=1):
        await send(rpc, [call for act in acts for call in act.reactions(prices)])
        calls = price_calls(scene.market, prices)
        await submit(rpc, [*calls, *(call for act in acts for call in act.price_calls(prices))], mine=False)
        on_step(number, prices)


async def health_of(rpc: LabRpc, scene: Scene) -> dict[str, int]:
    """Return every borrower's health factor, 1e-18, at the latest block."""
    data = await account_data(rpc, scene.market.pool, scene.borrowers)
    return {account: figures.health_wad for account, figures in data.items()}


async def wait_safe(rpc: LabRpc, scene: Scene, *, seconds_max: float, acts: Sequence[Act] = ()) -> bool:
    """Wait until nobody is below the line, at any protocol; tell whether that came in time."""
    deadline = asyncio.get_running_loop().time() + seconds_max
    while asyncio.get_running_loop().time() < deadline:
        safe = [await act.are_safe(rpc) for act in acts]
        if min((await health_of(rpc, scene)).values()) >= WAD and all(safe):
            return True
        await asyncio.sleep(POLL_SECONDS)
    return False
