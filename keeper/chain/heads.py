"""Where new heads are heard of: a websocket subscription, and polling whenever that is quiet.

A websocket message is a hint, never data: subscriptions drop, repeat and reorder messages, and a node that moved its
head down says nothing at all. So a hint is only a number and a hash; the follower fetches the block by that hash over
HTTP and links it to what it holds. Losing any hint is harmless, because the next one makes up for it.

That is also why hints are not queued: each source has one place in the slot, where the newest replaces the older.

A connection that died without a word is noticed twice: by pings of our own, and by the age of the last head, which
covers a node that answers pings and has stopped sending blocks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Never

import aiohttp

from keeper.chain.retry import OnError, RetryPolicy, ignore
from keeper.chain.subscription import SubscriptionOptions, subscribed
from keeper.chain.wire import HeadHint, decode_header
from keeper.core.errors import NodeError
from keeper.core.ports import UNWATCHED, Clock, Node, Pulse

POLL = "poll"
WEBSOCKET = "websocket"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadOptions:
    """How heads are listened for.

    Attributes:
        poll_interval_seconds: A poll follows when no websocket head came for this long.
        subscription: How patient a websocket connection is.
        reconnect: How long to wait between connections. Its bounds on attempts do not apply: polling goes on anyway.
    """

    poll_interval_seconds: float = 2.0
    subscription: SubscriptionOptions = field(default_factory=SubscriptionOptions)
    reconnect: RetryPolicy = field(default_factory=RetryPolicy)


class HeadSlot:
    """The newest unseen hint of each source. Never grows past the number of sources."""

    def __init__(self) -> None:
        self._hints: dict[str, HeadHint] = {}
        self._filled = asyncio.Event()

    @property
    def depth(self) -> int:
        """How many sources have a hint waiting."""
        return len(self._hints)

    def offer(self, source: str, hint: HeadHint) -> None:
        """Put a hint in the place of the source's older one."""
        self._hints[source] = hint
        self._filled.set()

    async def wait_hint(self) -> HeadHint:
        """Wait for a hint and take it; the source that waits longest goes first."""
        await self._filled.wait()
        hint = self._hints.pop(next(iter(self._hints)))
        if not self._hints:
            self._filled.clear()
        return hint


class Heads:
    """Hears of new heads of one chain and offers them to a slot.

    Args:
        node: Where heads are polled.
        ws_urls: Websocket endpoints, tried in turn; none means polling only.
        chain_id: What a websocket must answer to ``eth_chainId``.
        slot: Where hints go.
        clock: Paces polls and reconnections.
        options: The intervals.
        on_error: Told of each failed poll and each lost connection.
        pulse: Told when the node is asked and answers; listening is waiting.
    """

    def __init__(
        self,
        node: Node,
        ws_urls: Sequence[str],
        chain_id: int,
        slot: HeadSlot,
        clock: Clock,
        options: HeadOptions | None = None,
        on_error: OnError = ignore,
        pulse: Pulse = UNWATCHED,
    ) -> None:
        self._node = node
        self._ws_urls = tuple(ws_urls)
        self._chain_id = chain_id
        self._slot = slot
        self._clock = clock
        self._options = options or HeadOptions()
        self._on_error = on_error
        self._pulse = pulse
        self._websocket_at: float | None = None

    async def run(self) -> None:
        """Listen until cancelled.

        Raises:
            ExceptionGroup: holding a ConfigError: an endpoint serves another chain.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._poll_forever(), name="heads.poll")
            if self._ws_urls:
                tasks.create_task(self._listen_forever(), name="heads.websocket")

    async def _poll_forever(self) -> Never:
        while True:
            if not self._websocket_is_live():
                await self._poll()
            await self._clock.sleep(self._options.poll_interval_seconds)

    def _websocket_is_live(self) -> bool:
        if self._websocket_at is None:
            return False
        return self._clock.monotonic() - self._websocket_at < self._options.poll_interval_seconds

    async def _poll(self) -> None:
        try:
            with self._pulse.working():
                header = decode_header(await self._node.call("eth_getBlockByNumber", ("latest", False)))
        except NodeError as error:
            self._on_error(error)
        else:
            self._slot.offer(POLL, HeadHint(header.number, header.hash))

    async def _listen_forever(self) -> Never:
        turn = failures = 0
        async with aiohttp.ClientSession() as session:
            while True:
                heard_at = self._websocket_at
                try:
                    await self._listen(session, self._ws_urls[turn % len(self._ws_urls)])
                except NodeError as error:
                    self._on_error(error)
                turn += 1
                failures = failures + 1 if self._websocket_at == heard_at else 1
                await self._clock.sleep(self._options.reconnect.wait_seconds(failures))

    async def _listen(self, session: aiohttp.ClientSession, url: str) -> Never:
        """Hand on heads until the connection is lost; first poll, as heads may have come before it was made."""
        async with subscribed(session, url, self._chain_id, self._options.subscription) as subscription:
            await self._poll()
            while True:
                hint = await subscription.next_head()
                self._websocket_at = self._clock.monotonic()
                self._slot.offer(WEBSOCKET, hint)
