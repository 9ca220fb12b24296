"""What the ledgers of a chain need to see, kept one step ahead of the engine.

The follower is ahead of the engine: a contract that a log made necessary is needed for the next block before the
engine has folded that log. So discovered contracts are remembered here and only ever added; logs of a contract that
a ledger no longer wants are ignored by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from keeper.chain.wire import LogFilter
from keeper.core.errors import invariant
from keeper.core.facts import RawLog, ReadRequest
from keeper.core.ids import Address

DISCOVERY_ROUNDS_MAX = 32
"""Contracts that make contracts necessary that make contracts necessary ...: deeper than any protocol goes."""


class Watcher(Protocol):
    """The part of :class:`~keeper.core.venue.Ledger` that says what to fetch."""

    topics: tuple[bytes, ...]

    def watched(self) -> tuple[Address, ...]:
        """The contracts whose logs are needed now, sorted."""

    def discover(self, logs: Iterable[RawLog]) -> tuple[Address, ...]:
        """The contracts that these logs make necessary, including ones already watched."""

    def reads(self, logs: Iterable[RawLog]) -> tuple[ReadRequest, ...]:
        """The view calls needed at the end of a block that has these logs."""

    def starts(self, logs: Iterable[RawLog]) -> bool:
        """Whether these logs begin what can only be followed from what calls say at the end of their own block."""


class Watch:
    """The union of what several ledgers of one chain need.

    Args:
        watchers: The ledgers, in a fixed order, at least one.
    """

    def __init__(self, watchers: Sequence[Watcher]) -> None:
        self._watchers = tuple(watchers)
        self._known: dict[Address, int] = {}
        self._topics = tuple(sorted({topic for watcher in watchers for topic in watcher.topics}))
        invariant(self.wanted().addresses, "watch", "no contract to watch: an empty filter would ask for every log")
        invariant(self._topics, "watch", "no topic to watch: an empty filter would ask for every log")

    def wanted(self) -> LogFilter:
        """Return the filter for everything known to be needed."""
        for watcher in self._watchers:
            for address in watcher.watched():
                self._known.setdefault(address, 0)
        return LogFilter(tuple(sorted(self._known)), self._topics)

    def discover(self, logs: Sequence[RawLog], first: int) -> bool:
        """Remember the contracts these logs make necessary, from block ``first`` on; tell whether any was new."""
        before = len(self._known)
        for watcher in self._watchers:
            for address in watcher.discover(logs):
                self._known.setdefault(address, first)
        return len(self._known) > before

    def since(self, number: int, logs: Sequence[RawLog]) -> tuple[RawLog, ...]:
        """Return the logs of a block without those of contracts that were not watched yet when it was recorded."""
        return tuple(log for log in logs if self._known.get(log.address, 0) <= number)

    def reads(self, logs: Sequence[RawLog]) -> tuple[ReadRequest, ...]:
        """Return the view calls needed after these logs, each once, in the order of the ledgers."""
        return tuple(dict.fromkeys(request for watcher in self._watchers for request in watcher.reads(logs)))

    def starts(self, logs: Sequence[RawLog]) -> bool:
        """Tell whether calls are needed at the end of the very block that has these logs."""
        return any(watcher.starts(logs) for watcher in self._watchers)
