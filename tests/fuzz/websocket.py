"""Messages of a websocket that is subscribed to new heads."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import cast

import aiohttp
import msgspec

from keeper.chain.subscription import Subscription
from keeper.core.errors import KeeperError
from keeper.core.ids import to_hex
from tests.chain_ingestion.scripted import CHAIN_ID, some_hash

CHAIN_ANSWER = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "result": hex(CHAIN_ID)})
CONFIRMED = msgspec.json.encode({"jsonrpc": "2.0", "id": 2, "result": "0xcd0c"})
HEAD = msgspec.json.encode(
    {
        "jsonrpc": "2.0",
        "method": "eth_subscription",
        "params": {"subscription": "0xcd0c", "result": {"number": "0x1b4", "hash": to_hex(some_hash("head"))}},
    }
)
SAMPLES = (CHAIN_ANSWER, CONFIRMED, HEAD)
FOUND: tuple[bytes, ...] = ()


class _Socket:
    """A socket that gives these messages and is then lost."""

    def __init__(self, *messages: bytes) -> None:
        self._messages = [aiohttp.WSMessage(aiohttp.WSMsgType.BINARY, each, None) for each in messages]

    async def send_bytes(self, _message: bytes, compress: int | None = None) -> None:
        """Take a request."""

    async def receive(self) -> aiohttp.WSMessage:
        """Give the next message."""
        if self._messages:
            return self._messages.pop(0)
        return aiohttp.WSMessage(aiohttp.WSMsgType.CLOSED, None, None)


async def _follow(*messages: bytes) -> None:
    socket = cast("aiohttp.ClientWebSocketResponse", _Socket(*messages))
    subscription = Subscription(socket, "ws://127.0.0.1:1")
    await subscription.confirm(CHAIN_ID)
    while True:
        await subscription.next_head(60)


async def _follow_all(raw: bytes) -> None:
    for messages in ((raw,), (CHAIN_ANSWER, raw), (CHAIN_ANSWER, CONFIRMED, raw)):
        with suppress(KeeperError):
            await _follow(*messages)


def harness(raw: bytes) -> None:
    """Take the bytes for each message that a subscription waits for."""
    asyncio.run(_follow_all(raw))
