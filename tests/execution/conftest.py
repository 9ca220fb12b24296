"""The local chain, one node per worker, and a stage on it per test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from keeper.lab.localchain.rpc import LabRpc
from tests.execution.stage import Stage, open_stage
from tests.localchain import anvil_node, deployed_market, market, rpc

__all__ = ["anvil_node", "deployed_market", "market", "rpc", "stage"]


@pytest_asyncio.fixture
async def stage(rpc: LabRpc) -> AsyncIterator[Stage]:
    """A fresh signer and contract on the worker's node, which mines only when told to."""
    await rpc.call("anvil_dropAllTransactions", answer=object)
    await rpc.call("evm_setAutomine", False, answer=object)
    yield await open_stage(rpc)
    await rpc.call("anvil_dropAllTransactions", answer=object)
    await rpc.call("evm_setAutomine", True, answer=object)
