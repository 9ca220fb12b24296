"""One websocket connection that is subscribed to new heads, from connecting to losing it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import aiohttp
import msgspec

from keeper.chain.nesting import check_nesting
from keeper.chain.rpc import check_chain_id
from keeper.chain.wire import HeadHint, read_bytes, read_quantity
from keeper.core.errors import NodeMalformed, NodeUnreachable
from keeper.core.ids import HASH_LENGTH, Hash32
from keeper.core.urls import endpoint, without_keys_of

MESSAGE_BYTES_MAX = 4 * 1024 * 1024
MESSAGE_DEPTH_MAX = 32
_CHAIN_ID_REQUEST = 1
_SUBSCRIBE_REQUEST = 2
CLOSE_SECONDS = 1.0
"""A peer that is gone is not waited for."""
_CLOSING = aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS)
_REMEDY = "heads are polled meanwhile; it is connected again"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionOptions:
    """How patient a connection is.

    Attributes:
        heartbeat_seconds: Between our pings; no pong for half of it ends the connection.
        quiet_seconds_max: Without a head for this long the connection is given up, however slow blocks usually are.
        connect_seconds_max: To connect and to have the subscription confirmed.
    """

    heartbeat_seconds: float = 10.0
    quiet_seconds_max: float = 36.0
    connect_seconds_max: float = 10.0

    @property
    def wait_seconds_max(self) -> float:
        """How long a connection may go without getting anywhere before it gives itself up."""
        return max(self.quiet_seconds_max, self.connect_seconds_max) + CLOSE_SECONDS


class _Head(msgspec.Struct):
    number: str
    hash: str


class _Notice(msgspec.Struct):
    subscription: str
    result: _Head


class _Message(msgspec.Struct):
    """A notice of the subscription, or the answer to a request of ours."""

    id: int | None = None
    result: object = None
    params: _Notice | None = None


_messages = msgspec.json.Decoder(_Message)


class Subscription:
    """A confirmed subscription to ``newHeads``; made by :func:`subscribed`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, url: str) -> None:
        self.name = endpoint(url)
        self._socket = socket
        self._id = ""

    async def confirm(self, chain_id: int) -> None:
        """See that the endpoint serves the chain, and subscribe.

        Raises:
            NodeUnreachable: the connection was lost.
            NodeMalformed: the answers are not those of a node.
            ConfigError: it serves another chain.
        """
        check_chain_id(self.name, await self._request(_CHAIN_ID_REQUEST, "eth_chainId"), chain_id)
        confirmed = await self._request(_SUBSCRIBE_REQUEST, "eth_subscribe", "newHeads")
        if not isinstance(confirmed, str):
            raise NodeMalformed(self.name, "did not confirm the subscription to newHeads", _REMEDY)
        self._id = confirmed

    async def next_head(self, quiet_seconds: float) -> HeadHint:
        """Wait for a head, no longer than ``quiet_seconds``.

        Raises:
            NodeUnreachable: the connection was lost, or no head came for too long.
            NodeMalformed: a message is not JSON-RPC.
        """
        try:
            async with asyncio.timeout(quiet_seconds):
                while (notice := (await self._receive()).params) is None or notice.subscription != self._id:
                    pass
        except TimeoutError:
            reason = f"no head for {quiet_seconds:g} s"
            raise NodeUnreachable(self.name, reason, _REMEDY) from None
        try:
            block_hash = Hash32(read_bytes(notice.result.hash, HASH_LENGTH))
            return HeadHint(read_quantity(notice.result.number), block_hash)
        except ValueError as error:
            raise NodeMalformed(f"head from {self.name}", str(error), _REMEDY) from None

    async def _request(self, number: int, method: str, *params: str) -> object:
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        await self._socket.send_bytes(msgspec.json.encode(request), compress=None)
        while (message := await self._receive()).id != number:
            pass
        return message.result

    async def _receive(self) -> _Message:
        message = await self._socket.receive()
        if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            raise NodeUnreachable(self.name, "websocket lost", _REMEDY)
        try:
            data = message.data.encode() if isinstance(message.data, str) else message.data
            check_nesting(data, MESSAGE_DEPTH_MAX)
            return _messages.decode(data)
        except ValueError:  # msgspec's own is one, and text that is not UTF-8
            raise NodeMalformed(self.name, "a websocket message that is not JSON-RPC", _REMEDY) from None


@asynccontextmanager
async def subscribed(
    session: aiohttp.ClientSession, url: str, chain_id: int, options: SubscriptionOptions
) -> AsyncIterator[Subscription]:
    """Connect and subscribe for the length of the context.

    Raises:
        NodeUnreachable: no connection in time, or it was lost.
        NodeMalformed: the answers are not those of a node.
        ConfigError: the endpoint serves another chain.
    """
    late = f"not subscribed within {options.connect_seconds_max} s"
    async with AsyncExitStack() as open_socket:
        try:
            async with asyncio.timeout(options.connect_seconds_max):
                socket = await session.ws_connect(
                    url, heartbeat=options.heartbeat_seconds, max_msg_size=MESSAGE_BYTES_MAX, timeout=_CLOSING
                )
                open_socket.push_async_callback(socket.close)
                subscription = Subscription(socket, url)
                await subscription.confirm(chain_id)
        except TimeoutError:
            raise NodeUnreachable(endpoint(url), late, _REMEDY) from None
        except (aiohttp.ClientError, ConnectionError) as error:
            reason = without_keys_of(url, f"{type(error).__name__}: {error}")
            raise NodeUnreachable(endpoint(url), reason, _REMEDY) from None
        yield subscription
