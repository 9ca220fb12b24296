"""Where new heads are heard of: a websocket subscription, and polling whenever that is quiet.

A websocket message is a hint, never data: subscriptions drop, repeat and reorder messages, and a node that moved its
head down says nothing at all. So a hint is only a number and a hash; the follower fetches the block by that hash over
HTTP and links it to what it holds. Losing any hint is harmless, because the next one makes up for it.

That is also why hints are not queued: each source has one place in the slot, where the newest replaces the older.

A connection that died without a word is noticed twice: by pings of our own, and by the age of the last head, which
covers a node that answers pings and has stopped sending blocks. All websocket endpoints are listened to at the same
time, so that one of them may be silent or late without our noticing a block later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Never

import aiohttp

from keeper.chain.pool import ProviderPool
from keeper.chain.retry import OnError, RetryPolicy, ignore
from keeper.chain.subscription import SubscriptionOptions, subscribed
from keeper.chain.wire import HeadHint, decode_header
from keeper.core.errors import ConfigError, NodeError, NodeUnreachable
from keeper.core.ports import Clock, Pulse, Pulses, unwatched

POLL = "poll"
COMPARED = "compared"
WEBSOCKET = "websocket"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadOptions:
    """How heads are listened for.

    Attributes:
        poll_interval_seconds: A poll follows when no websocket head came for this long.
        compare_interval_seconds: How often the heads of all providers are compared, where there are several.
        quiet_seconds_min: A source is never given up sooner, however fast blocks usually come. The longest time is the
            subscription's ``quiet_seconds_max``.
        wrong_chain_seconds: How long an endpoint that has come to serve another chain is left alone.
        subscription: How patient a websocket connection is.
        reconnect: How long to wait between connections. Its bounds on attempts do not apply: polling goes on anyway.
    """

    poll_interval_seconds: float = 2.0
    compare_interval_seconds: float = 15.0
    quiet_seconds_min: float = 12.0
    wrong_chain_seconds: float = 600.0
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


@dataclass(slots=True)
class _Source:
    """The last head of a source, when it came, and how long a block usually takes there."""

    hint: HeadHint
    at: float
    block_seconds: float | None = None

    def heard(self, hint: HeadHint, now: float) -> None:
        """Take a head that is not the last one again."""
        seconds = (now - self.at) / max(1, hint.number - self.hint.number)
        usual = seconds if self.block_seconds is None else self.block_seconds
        self.block_seconds = usual + (seconds - usual) / 8
        self.hint, self.at = hint, now


class Heads:
    """Hears of new heads of one chain and offers them to a slot.

    Args:
        pool: Where heads are polled, and compared.
        ws_urls: Websocket endpoints, all listened to; none means polling only.
        chain_id: What a websocket must answer to ``eth_chainId``.
        slot: Where hints go.
        clock: Paces polls and reconnections.
        options: The intervals.
        on_error: Told of each failed poll and each lost connection.
        watched: Makes the pulses of polling, of comparing, and of each websocket, whose silence is bounded by itself.
    """

    def __init__(
        self,
        pool: ProviderPool,
        ws_urls: Sequence[str],
        chain_id: int,
        slot: HeadSlot,
        clock: Clock,
        options: HeadOptions | None = None,
        on_error: OnError = ignore,
        watched: Pulses = unwatched,
    ) -> None:
        self._pool = pool
        self._ws_urls = tuple(ws_urls)
        self._chain_id = chain_id
        self._slot = slot
        self._clock = clock
        self._options = options or HeadOptions()
        self._on_error = on_error
        self._polling = watched(POLL)
        self._comparing = watched(COMPARED)
        own = self._options.subscription.wait_seconds_max
        self._listening = [watched(f"{WEBSOCKET} {place}", own) for place in range(len(self._ws_urls))]
        self._sources: dict[str, _Source] = {}
        self._websocket_at: float | None = None
        self._news_at = clock.monotonic()
        self._told = False

    @property
    def degraded(self) -> bool:
        """Whether no source has announced anything new for three usual block times."""
        return self._clock.monotonic() - self._news_at > self.patience_seconds

    @property
    def patience_seconds(self) -> float:
        """How long silence is normal: three times what a block usually takes, within bounds."""
        longest = self._options.subscription.quiet_seconds_max
        usual = max((each.block_seconds or 0.0 for each in self._sources.values()), default=0.0)
        return min(longest, max(self._options.quiet_seconds_min, 3 * usual)) if usual else longest

    async def run(self) -> None:
        """Listen until cancelled.

        Raises:
            ExceptionGroup: holding a ConfigError: an endpoint serves another chain.
        """
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._poll_forever(), name="heads.poll")
            if len(self._pool.statistics()) > 1:
                tasks.create_task(self._compare_forever(), name="heads.compare")
            for place, url in enumerate(self._ws_urls):
                listening = self._listen_forever(session, f"{WEBSOCKET} {place}", url, self._listening[place])
                tasks.create_task(listening, name=f"heads.{WEBSOCKET}.{place}")

    async def _poll_forever(self) -> Never:
        while True:
            if not self._websocket_is_live():
                with self._polling.working():
                    await self._poll()
            self._tell_silence()
            await self._clock.sleep(self._options.poll_interval_seconds)

    async def _compare_forever(self) -> Never:
        while True:
            await self._clock.sleep(self._options.compare_interval_seconds)
            with self._comparing.working():
                head = await self._pool.compare_heads()
            if head is not None:
                self._heard(COMPARED, head)

    def _websocket_is_live(self) -> bool:
        if self._websocket_at is None:
            return False
        return self._clock.monotonic() - self._websocket_at < self._options.poll_interval_seconds

    async def _poll(self) -> None:
        try:
            header = decode_header(await self._pool.call("eth_getBlockByNumber", ("latest", False)))
        except NodeError as error:
            self._on_error(error)
        else:
            self._heard(POLL, HeadHint(header.number, header.hash))

    def _heard(self, name: str, hint: HeadHint) -> None:
        self._slot.offer(name, hint)
        now = self._clock.monotonic()
        source = self._sources.setdefault(name, _Source(hint, now))
        if source.hint != hint:
            source.heard(hint, now)
            self._news_at = now

    def _tell_silence(self) -> None:
        """Tell once of each silence. Websockets are connected anew by themselves: each is as patient as we are."""
        if self.degraded and not self._told:
            reason = f"no source announced a new one for {self._clock.monotonic() - self._news_at:.0f} s"
            self._on_error(NodeUnreachable("heads", reason, "see whether the chain stands still or all nodes lag"))
        self._told = self.degraded

    async def _listen_forever(self, session: aiohttp.ClientSession, name: str, url: str, pulse: Pulse) -> Never:
        failures = 0
        met = False
        while True:
            heard = self._sources.get(name)
            at = None if heard is None else heard.at
            wait_seconds = 0.0
            try:
                with pulse.working():
                    await self._listen(session, name, url, pulse)
            except NodeError as error:
                self._on_error(error)
            except ConfigError as error:
                if not met:
                    raise
                self._on_error(error)
                wait_seconds = self._options.wrong_chain_seconds
            met = True
            heard = self._sources.get(name)
            failures = failures + 1 if heard is None or heard.at == at else 1
            await self._clock.sleep(max(wait_seconds, self._options.reconnect.wait_seconds(failures)))

    async def _listen(self, session: aiohttp.ClientSession, name: str, url: str, pulse: Pulse) -> Never:
        """Hand on heads until the connection is lost; first poll, as heads may have come before it was made."""
        async with subscribed(session, url, self._chain_id, self._options.subscription) as subscription:
            pulse.progressed()
            await self._poll()
            while True:
                pulse.progressed()
                hint = await subscription.next_head(self.patience_seconds)
                self._websocket_at = self._clock.monotonic()
                self._heard(name, hint)
