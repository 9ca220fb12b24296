"""A provider with troubles: honest without them, and with each of them wrong in just that way."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from keeper.core.errors import NodeMalformed, NodeRefused, NodeUnreachable
from keeper.core.ids import content_id, to_hex
from keeper.core.units import Wei
from keeper.execution.signer import LocalSigner, Transaction
from keeper.lab.chaos.geth_rules import PoolRules
from keeper.lab.chaos.proxy import ChaosProxy, serving_proxy
from keeper.lab.chaos.troubles import Mishap, Outage, Troubles
from keeper.lab.localchain.node import LocalNode
from keeper.lab.localchain.rpc import LabRpc, Request

pytestmark = pytest.mark.chain
GWEI = 10**9
RICH = hex(10**20)


class Always(random.Random):
    """Chance that always strikes, with one kind of mishap."""

    def __init__(self, kind: Mishap) -> None:
        super().__init__(0)
        self._kind = kind

    def random(self) -> float:
        """Strike."""
        return 0.0

    def choice(self, _: object) -> Mishap:  # type: ignore[override]  # it draws from one thing only
        """Draw it."""
        return self._kind


@asynccontextmanager
async def proxied(node: LocalNode, troubles: Troubles | None = None) -> AsyncIterator[tuple[ChaosProxy, LabRpc]]:
    """Serve a proxy, and connect to it."""
    chosen = troubles or Troubles(random.Random(0))
    async with (
        serving_proxy(node.http_url, node.ws_url, chosen, PoolRules()) as proxy,
        LabRpc(proxy.http_url) as through,
    ):
        yield proxy, through


def signed(signer: LocalSigner, nonce: int, fee_gwei: int = 100) -> str:
    """Sign an empty transaction to ourselves."""
    transaction = Transaction(
        chain_id=31337,
        nonce=nonce,
        to=signer.address,
        data=b"",
        value_wei=Wei(0),
        gas_limit=21_000,
        fee_wei_max=Wei(fee_gwei * GWEI),
        priority_fee_wei_max=Wei(GWEI * fee_gwei // 3),
    )
    return to_hex(signer.sign(transaction).raw)


async def test_an_honest_proxy_changes_nothing(anvil_node: LocalNode, rpc: LabRpc) -> None:
    """Every answer, a refusal too, is the node's own, in its place."""
    requests = [
        Request("eth_getBlockByNumber", ("latest", False)),
        Request("eth_getBlockByHash", ("0x" + "ab" * 32, False)),
        Request("eth_call", ({"to": "0x" + "11" * 20}, "latest")),
        Request("no_such_method"),
    ]
    async with proxied(anvil_node) as (_, through):
        direct = await rpc.outcomes(requests, answer=object)
        indirect = await through.outcomes(requests, answer=object)

    assert [str(one) for one in indirect] == [str(one) for one in direct]


@pytest.mark.parametrize("outage", ["refuse", "reset"])
async def test_an_outage_answers_nothing(anvil_node: LocalNode, outage: Outage) -> None:
    """Whether it refuses or resets, no answer is one."""
    async with proxied(anvil_node) as (proxy, through):
        proxy.troubles.outage = outage
        with pytest.raises((NodeUnreachable, NodeMalformed)):
            await through.call("eth_blockNumber", answer=str)
        proxy.troubles.outage = None
        assert int(await through.call("eth_blockNumber", answer=str), 16) >= 0


@pytest.mark.fault(30)
async def test_a_lagging_provider_knows_nothing_of_the_newest_blocks(anvil_node: LocalNode, rpc: LabRpc) -> None:
    """Its head is older, and the newer blocks are unknown to it, not empty."""
    for _ in range(3):
        await rpc.call("evm_mine", answer=str)
    newest = await rpc.call("eth_getBlockByNumber", "latest", False, answer=dict[str, object])
    head = int(str(newest["number"]), 16)
    async with proxied(anvil_node) as (proxy, through):
        proxy.troubles.lag_blocks = 2
        seen = await through.call("eth_getBlockByNumber", "latest", False, answer=dict[str, object])
        by_hash = await through.call("eth_getBlockByHash", newest["hash"], False, answer=object)
        logs = await through.outcomes([Request("eth_getLogs", ({"blockHash": newest["hash"]},))], answer=object)

    assert int(str(seen["number"]), 16) == head - 2
    assert by_hash is None
    assert isinstance(logs[0], NodeRefused)


@pytest.mark.fault(6, 9)
async def test_the_pool_is_as_strict_as_geths(anvil_node: LocalNode, rpc: LabRpc) -> None:
    """A small raise that the node takes is refused here, known bytes are known, and a swallowed send is on no node."""
    signer = LocalSigner(content_id("strict pool"))
    await rpc.call("anvil_setBalance", to_hex(signer.address), RICH, answer=object)
    await rpc.call("evm_setAutomine", False, answer=object)
    try:
        async with proxied(anvil_node) as (_, through):
            await through.call("eth_sendRawTransaction", signed(signer, 0), answer=str)
            outcomes = await through.outcomes(
                [
                    Request("eth_sendRawTransaction", (signed(signer, 0),)),
                    Request("eth_sendRawTransaction", (signed(signer, 0, 106),)),
                    Request("eth_sendRawTransaction", (signed(signer, 0, 120),)),
                ],
                answer=object,
            )
        async with proxied(anvil_node, Troubles(Always("swallow"), mishap_share=1.0)) as (_, through):
            swallowed = await through.call("eth_sendRawTransaction", signed(signer, 1), answer=str)
        known = await rpc.call("eth_getTransactionByHash", swallowed, answer=object)
    finally:
        await rpc.call("anvil_dropAllTransactions", answer=object)
        await rpc.call("evm_setAutomine", True, answer=object)

    assert [outcome.message if isinstance(outcome, NodeRefused) else "taken" for outcome in outcomes] == [
        *("already known", "replacement transaction underpriced", "taken"),
    ]
    assert known is None


@pytest.mark.fault(4)
async def test_a_lost_reply_is_of_a_request_that_was_carried_out(anvil_node: LocalNode, rpc: LabRpc) -> None:
    """The sender hears nothing, and the node has the transaction."""
    signer = LocalSigner(content_id("lost reply"))
    await rpc.call("anvil_setBalance", to_hex(signer.address), RICH, answer=object)
    async with proxied(anvil_node, Troubles(Always("lose reply"), mishap_share=1.0)) as (_, through):
        with pytest.raises((NodeUnreachable, NodeMalformed)):
            await through.call("eth_sendRawTransaction", signed(signer, 0), answer=str)

    assert await rpc.call("eth_getTransactionCount", to_hex(signer.address), "pending", answer=str) == "0x1"


@pytest.mark.fault(31)
async def test_an_empty_answer_is_of_logs_only(anvil_node: LocalNode) -> None:
    """A provider whose log index lags has the block, and no log of it."""
    async with proxied(anvil_node, Troubles(Always("empty"), mishap_share=1.0)) as (_, through):
        block, logs = await through.batch(
            [Request("eth_getBlockByNumber", ("latest", False)), Request("eth_getLogs", ({"fromBlock": "0x0"},))],
            answer=object,
        )

    assert block is not None
    assert logs == []


async def test_heads_come_through_the_websocket(anvil_node: LocalNode, rpc: LabRpc) -> None:
    """A subscription made through the proxy hears of each new block once; an outage ends it."""
    async with proxied(anvil_node) as (proxy, _), aiohttp.ClientSession() as session:
        async with asyncio.timeout(10), session.ws_connect(proxy.ws_url) as socket:
            await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]})
            await socket.receive_json()
            await rpc.call("evm_mine", answer=str)
            head = await socket.receive_json()
            await proxy.cut_sockets()
            end = await socket.receive()
        newest = await rpc.call("eth_getBlockByNumber", "latest", False, answer=dict[str, object])

    assert head["params"]["result"]["hash"] == newest["hash"]
    assert end.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING)


def test_heads_are_dropped_and_repeated_as_drawn() -> None:
    """Without troubles each head is announced once, with them some not at all and some twice."""
    troubles = Troubles(random.Random(0))
    honest = {troubles.copies_of_head() for _ in range(50)}
    troubles.head_mishap_share = 0.4

    assert honest == {1}
    assert {troubles.copies_of_head() for _ in range(50)} == {0, 1, 2}
