"""Tells people what became durable: decisions in the log, and what cannot wait at the webhooks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

import aiohttp
import structlog

from keeper.app.watchdog import Watchdog
from keeper.core.decisions import Decision
from keeper.core.ports import Clock
from keeper.journal.recorder import Settled
from keeper.observe.lines import NOTABLE, summary
from keeper.observe.metrics import Metrics
from keeper.observe.notify import Notifier, Webhook, notice
from keeper.settings import NotifySettings

DRAIN_SECONDS_MAX = 5.0
UNWATCHED = "each attempt has a time limit, and a webhook that hangs is no reason to stop"


class Telling:
    """The log of decisions, and the webhooks of a run.

    Args:
        clock: Paces attempts.
        metrics: Count what became of each notice.
    """

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._metrics = metrics
        self._notifiers: tuple[Notifier, ...] = ()
        self._log = structlog.get_logger()

    @asynccontextmanager
    async def reaching(self, notify: Mapping[str, NotifySettings]) -> AsyncIterator[None]:
        """Return the context in which these webhooks can be reached; their sections still have their secrets."""
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            self._notifiers = tuple(
                Notifier(hook, session, self._clock, partial(self._metrics.notification, hook.name))
                for hook in webhooks(notify)
            )
            for each in self._notifiers:
                self._metrics.notifier(each.name)
            yield

    def begin(self, tasks: asyncio.TaskGroup, watchdog: Watchdog) -> list[asyncio.Task[None]]:
        """Start one task for each webhook."""
        return [
            watchdog.begin(tasks, f"notifier {each.name}", each.run(), unwatched=UNWATCHED) for each in self._notifiers
        ]

    def settled(self, group: Settled) -> None:
        """Tell of a durable group; waits for nobody."""
        for sequence, body in enumerate(group.bodies, group.first_sequence):
            if isinstance(body, Decision):
                (self._log.warning if isinstance(body, NOTABLE) else self._log.info)(
                    "decided", kind=type(body).__name__, what=summary(body)
                )
            told = notice(body, sequence, group.unix_ms) if self._notifiers else None
            if told is not None:
                for each in self._notifiers:
                    each.offer(told)

    def reload(self, notify: Mapping[str, NotifySettings]) -> None:
        """Go on by the severities as they are now."""
        for each in self._notifiers:
            each.severity_min = notify[each.name].severity_min

    def depths(self) -> dict[str, int]:
        """Return what waits for each webhook."""
        return {f"notifier {each.name}": each.depth for each in self._notifiers}

    async def drain(self, *, hurried: bool) -> None:
        """Send what waits, for some seconds at most."""
        await asyncio.gather(*(each.drain(0 if hurried else DRAIN_SECONDS_MAX) for each in self._notifiers))


def webhooks(notify: Mapping[str, NotifySettings]) -> list[Webhook]:
    """Return the webhooks of sections that have all that they need."""
    return [
        Webhook(name, target, section.format, section.severity_min, section.routing_key)
        for name, section in notify.items()
        if (target := section.target) is not None
    ]
