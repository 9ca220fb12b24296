"""The chain's side of a scenario: prices fall block by block, gas becomes dear, blocks are replaced.

Blocks are made here one by one, so that a reorg stands at a known place in the fall of the prices. The node follows the
prices with a delay of its own only where a reorg took a price back: the next block sets it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from keeper.lab.chaos.plan import Reorg
from keeper.lab.demo.crash import Scene
from keeper.lab.localchain.accounts import UINT256_MAX
from keeper.lab.localchain.prices import price_call
from keeper.lab.localchain.rpc import LabRpc, Request
from keeper.lab.localchain.scenario import open_liquidator
from keeper.lab.localchain.transactions import CALL_GAS, Call, encode_call, send, submit

SPIKE_FACTOR = 50
BASE_FEE_WEI = 10**9
Json = dict[str, object]


class ChaosChain:
    """Makes the blocks of one scenario.

    Args:
        rpc: The node, which makes no block by itself.
        scene: The market and its actors.
        rival: Another liquidator's address, funded and with allowances.
    """

    def __init__(self, rpc: LabRpc, scene: Scene, rival: str) -> None:
        self._rpc = rpc
        self._scene = scene
        self._rival = rival
        self._ours = scene.liquidator.address.lower()

    async def mine(self, prices: Mapping[str, int], *, spike: bool = False) -> None:
        """Make a block that sets the prices; in a spike gas costs fifty times as much."""
        await send(self._rpc, self._price_calls(prices))
        if spike:
            fee = hex(SPIKE_FACTOR * BASE_FEE_WEI)
            await self._rpc.call("anvil_setNextBlockBaseFeePerGas", fee, answer=object)
        await self._rpc.call("evm_mine", answer=object)

    async def calm(self) -> None:
        """Make a block of cheap gas that changes nothing."""
        await self._rpc.call("anvil_setNextBlockBaseFeePerGas", hex(BASE_FEE_WEI), answer=object)
        await self._rpc.call("evm_mine", answer=object)

    async def reorg(self, reorg: Reorg, prices: Mapping[str, int]) -> None:
        """Replace the newest blocks; the prices stay, what else the old blocks held is lost or not as was drawn."""
        dropped = await self._our_transactions(reorg.depth)
        first: list[object] = [[_request(call), 0] for call in self._price_calls(prices)]
        second = min(1, reorg.depth - 1)
        if reorg.rival:
            copies = [Call(self._rival, str(one["to"]), str(one["input"])) for one in dropped if self._is_slice(one)]
            first += [[_request(call), second] for call in copies]
        if reorg.keeps_ours:
            raws = [Request("eth_getRawTransactionByHash", (one["hash"],)) for one in dropped]
            first += [[raw, second] for raw in await self._rpc.batch(raws, answer=str)]
        await self._rpc.call("anvil_reorg", reorg.depth, first, answer=object)

    def _price_calls(self, prices: Mapping[str, int]) -> list[Call]:
        market = self._scene.market
        return [price_call(market, market.asset(symbol).feed, price) for symbol, price in prices.items()]

    async def _our_transactions(self, depth: int) -> list[Json]:
        head = int(await self._rpc.call("eth_blockNumber", answer=str), 16)
        requests = [
            Request("eth_getBlockByNumber", (hex(number), True)) for number in range(head - depth + 1, head + 1)
        ]
        blocks = await self._rpc.batch(requests, answer=dict[str, object])
        transactions = [one for block in blocks for one in _transactions(block)]
        return [one for one in transactions if str(one["from"]).lower() == self._ours]

    def _is_slice(self, transaction: Json) -> bool:
        return str(transaction["to"]).lower() == self._scene.market.pool.lower()


def _transactions(block: Json) -> Sequence[Json]:
    found = block["transactions"]
    return found if isinstance(found, list) else []


def _request(call: Call) -> Json:
    return {"from": call.sender, "to": call.to, "data": call.data, "gas": hex(CALL_GAS)}


async def open_rival(rpc: LabRpc, scene: Scene, seed: int) -> str:
    """Fund another liquidator, let the pool take its tokens, and return its address."""
    rival = (await open_liquidator(rpc, scene.market, seed, name="rival")).address.lower()
    approve = encode_call("approve(address,uint256)", scene.market.pool, UINT256_MAX)
    await submit(rpc, [Call(rival, asset.token, approve) for asset in scene.market.assets])
    return rival
