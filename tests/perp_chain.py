"""Fixtures of a local Perpetual Protocol v2, for every test package that talks to one.

It has a node of its own: the protocol wants half an hour of price history, and its deployment moves the clock.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from keeper.lab.localchain.node import LocalNode, NodeOptions, running_node
from keeper.lab.localchain.perp import PerpExchange, deploy_perp_exchange
from keeper.lab.localchain.rpc import LabRpc
from tests.localchain import GENESIS_TIMESTAMP


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def perp_node() -> AsyncIterator[LocalNode]:
    """The worker's second node: a block per transaction, each one second after the one before."""
    async with running_node(NodeOptions(timestamp=GENESIS_TIMESTAMP, timestamp_interval_seconds=1)) as node:
        yield node


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def deployed_exchange(perp_node: LocalNode) -> PerpExchange:
    """The worker's deployment. Ask for ``exchange`` instead, which is as new in every test."""
    async with LabRpc(perp_node.http_url) as session_rpc:
        return await deploy_perp_exchange(session_rpc, perp_node.node_modules)


@pytest_asyncio.fixture
async def perp_rpc(perp_node: LocalNode) -> AsyncIterator[LabRpc]:
    """A connection in the test's own event loop."""
    async with LabRpc(perp_node.http_url) as connection:
        yield connection


@pytest_asyncio.fixture
async def exchange(perp_rpc: LabRpc, deployed_exchange: PerpExchange) -> AsyncIterator[PerpExchange]:
    """A deployment nobody has used yet."""
    snapshot = await perp_rpc.call("evm_snapshot", answer=str)
    yield deployed_exchange
    await perp_rpc.call("evm_revert", snapshot, answer=bool)
