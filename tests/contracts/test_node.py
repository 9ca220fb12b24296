"""What every node adapter promises, on a real node and on a scripted one: the same calls, the same errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from keeper.chain.pool import ProviderPool
from keeper.chain.rpc import Provider, ProviderOptions
from keeper.core.errors import ConfigError, NodeRefused, NodeUnreachable
from keeper.core.ports import Clock, Node
from keeper.lab.localchain.node import running_node
from tests.chain_ingestion.fakes import JumpClock
from tests.chain_ingestion.scripted import CHAIN_ID, ScriptedChain, serving

NOWHERE = "http://127.0.0.1:1/secretkey123"
OPTIONS = ProviderOptions(batch_size_max=3)


class Kind:
    """Opens one kind of node on a URL."""

    def __init__(self, stack: AsyncExitStack, url: str, *, pooled: bool) -> None:
        self.url = url
        self._stack = stack
        self._pooled = pooled

    async def open(self, url: str | None = None, chain_id: int = CHAIN_ID) -> Node:
        """Open it; the pool's first provider is down, so that every promise holds through a failover."""
        clock: Clock = JumpClock()
        provider = Provider(url or self.url, chain_id, clock, OPTIONS)
        if not self._pooled:
            return await self._stack.enter_async_context(provider)
        down = Provider(NOWHERE, chain_id, clock, OPTIONS)
        return await self._stack.enter_async_context(ProviderPool([down, provider], clock))


@pytest_asyncio.fixture(
    params=[
        pytest.param(("anvil", False), marks=[pytest.mark.chain, pytest.mark.slow], id="provider-anvil"),
        pytest.param(("anvil", True), marks=[pytest.mark.chain, pytest.mark.slow], id="pool-anvil"),
        pytest.param(("scripted", False), id="provider-scripted"),
        pytest.param(("scripted", True), id="pool-scripted"),
    ]
)
async def kind(request: pytest.FixtureRequest) -> AsyncIterator[Kind]:
    """One adapter before one node."""
    node, pooled = request.param
    async with AsyncExitStack() as stack:
        if node == "anvil":
            url = (await stack.enter_async_context(running_node())).http_url
        else:
            url = (await stack.enter_async_context(serving(ScriptedChain()))).url
        yield Kind(stack, url, pooled=pooled)


async def test_call_gives_the_result(kind: Kind) -> None:
    """A call returns the node's result."""
    node = await kind.open()

    assert await node.call("eth_chainId", ()) == hex(CHAIN_ID)


async def test_null_is_a_result(kind: Kind) -> None:
    """A node that answers null has answered."""
    node = await kind.open()

    assert await node.call("eth_getBlockByHash", ("0x" + "ab" * 32, False)) is None


async def test_batch_keeps_order(kind: Kind) -> None:
    """A batch longer than a body returns its results in the order of the requests."""
    node = await kind.open()
    calls = [("eth_getBlockByNumber", (tag, False)) for tag in ("0x0", "0x999999", "0x0", "0x888888", "0x0")]

    results = await node.batch(calls)

    assert [result is None for result in results] == [False, True, False, True, False]


async def test_empty_batch_asks_nothing(kind: Kind) -> None:
    """No requests, no results."""
    node = await kind.open()

    assert await node.batch([]) == []


async def test_refusal_is_raised_by_call(kind: Kind) -> None:
    """A call that the node refuses raises its error object."""
    node = await kind.open()

    with pytest.raises(NodeRefused) as caught:
        await node.call("eth_getLogs", ({"blockHash": "0x" + "ab" * 32, "address": [], "topics": [[]]},))

    assert (caught.value.code, caught.value.message) == (-32000, "unknown block")


async def test_refusal_is_a_value_in_a_batch(kind: Kind) -> None:
    """One refused request of a batch spoils none of the others."""
    node = await kind.open()
    logs = {"blockHash": "0x" + "ab" * 32, "address": [], "topics": [[]]}

    refused, answered = await node.batch([("eth_getLogs", (logs,)), ("eth_chainId", ())])

    assert isinstance(refused, NodeRefused)
    assert answered == hex(CHAIN_ID)


async def test_wrong_chain_names_both(kind: Kind) -> None:
    """A node of another chain is the operator's mistake, and the message has both ids and no key."""
    node = await kind.open(chain_id=5)

    with pytest.raises(ConfigError) as caught:
        await node.call("eth_blockNumber", ())

    text = str(caught.value)
    assert "serves chain id 31337, expected 5" in text
    assert "secretkey" not in text


async def test_nobody_there_is_unreachable(kind: Kind) -> None:
    """A refused connection is no answer, in one line without the key."""
    node = await kind.open(url=NOWHERE)

    with pytest.raises(NodeUnreachable) as caught:
        await node.batch([("eth_chainId", ())])

    text = str(caught.value)
    assert text.startswith("http://127.0.0.1:1: ")
    assert "secretkey" not in text
