"""A scripted chain and a pool that talks to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from keeper.chain.pool import ProviderPool
from keeper.chain.rpc import Provider, ProviderOptions
from tests.chain_ingestion.fakes import JumpClock
from tests.chain_ingestion.scripted import CHAIN_ID, ScriptedChain, ScriptedServer, serving

OPTIONS = ProviderOptions(request_timeout_seconds=5.0, response_bytes_max=1_000_000)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    """A scripted node with its genesis block."""
    async with serving(ScriptedChain()) as running:
        yield running


@pytest_asyncio.fixture
async def second() -> AsyncIterator[ScriptedServer]:
    """Another scripted node; it has a chain of its own until a test gives it the first one's."""
    async with serving(ScriptedChain()) as running:
        yield running


@pytest_asyncio.fixture
async def third() -> AsyncIterator[ScriptedServer]:
    """Yet another scripted node."""
    async with serving(ScriptedChain()) as running:
        yield running


@pytest_asyncio.fixture
async def provider(server: ScriptedServer) -> AsyncIterator[Provider]:
    """One provider on the scripted node."""
    async with Provider(server.url, CHAIN_ID, JumpClock(), OPTIONS) as opened:
        yield opened


@pytest_asyncio.fixture
async def pool(server: ScriptedServer) -> AsyncIterator[ProviderPool]:
    """A pool of one provider."""
    clock = JumpClock()
    async with ProviderPool([Provider(server.url, CHAIN_ID, clock, OPTIONS)], clock) as opened:
        yield opened


@pytest_asyncio.fixture
async def pool_of_two(server: ScriptedServer, second: ScriptedServer) -> AsyncIterator[ProviderPool]:
    """A pool of two providers that serve the same chain."""
    second.chain = server.chain
    clock = JumpClock()
    providers = [Provider(each.url, CHAIN_ID, clock, OPTIONS) for each in (server, second)]
    async with ProviderPool(providers, clock) as opened:
        yield opened


@pytest_asyncio.fixture
async def pool_of_three(
    server: ScriptedServer, second: ScriptedServer, third: ScriptedServer
) -> AsyncIterator[ProviderPool]:
    """A pool of three providers that serve the same chain."""
    second.chain = third.chain = server.chain
    clock = JumpClock()
    providers = [Provider(each.url, CHAIN_ID, clock, OPTIONS) for each in (server, second, third)]
    async with ProviderPool(providers, clock) as opened:
        yield opened
