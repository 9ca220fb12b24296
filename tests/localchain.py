"""Fixtures of the local chain, for every test package that talks to a real node.

A worker process has one node and deploys one market, once; each test gets it as new by snapshot and revert. The node's
clock is its own: genesis time is fixed and each block is one second after the one before, so runs are reproducible.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from keeper.lab.localchain.aave import AaveMarket, deploy_aave_market
from keeper.lab.localchain.aave_v36 import deploy_v36_market
from keeper.lab.localchain.node import LocalNode, NodeOptions, running_node
from keeper.lab.localchain.rpc import LabRpc

GENESIS_TIMESTAMP = 1_700_000_000


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def anvil_node() -> AsyncIterator[LocalNode]:
    """The worker's node: a block per transaction, finality two behind. A test leaves its mining as it found it."""
    async with running_node(NodeOptions(timestamp=GENESIS_TIMESTAMP, timestamp_interval_seconds=1)) as node:
        yield node


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def deployed_market(anvil_node: LocalNode) -> AaveMarket:
    """The worker's market. Ask for ``market`` instead, which is as new in every test."""
    async with LabRpc(anvil_node.http_url) as session_rpc:
        return await deploy_aave_market(session_rpc, anvil_node.node_modules)


@pytest_asyncio.fixture
async def rpc(anvil_node: LocalNode) -> AsyncIterator[LabRpc]:
    """A connection in the test's own event loop."""
    async with LabRpc(anvil_node.http_url) as connection:
        yield connection


@pytest_asyncio.fixture
async def versioned_market(
    rpc: LabRpc, anvil_node: LocalNode, request: pytest.FixtureRequest
) -> AsyncIterator[AaveMarket]:
    """An Aave market of the version that the test is given ("3.0" or "3.6"), which nobody has used yet."""
    snapshot = await rpc.call("evm_snapshot", answer=str)
    deploy = {"3.0": deploy_aave_market, "3.6": deploy_v36_market}[request.param]
    yield await deploy(rpc, anvil_node.node_modules)
    await rpc.call("evm_revert", snapshot, answer=bool)


@pytest_asyncio.fixture
async def market(rpc: LabRpc, deployed_market: AaveMarket) -> AsyncIterator[AaveMarket]:
    """An Aave market nobody has used yet."""
    snapshot = await rpc.call("evm_snapshot", answer=str)
    yield deployed_market
    await rpc.call("evm_revert", snapshot, answer=bool)
