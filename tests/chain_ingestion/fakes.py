"""Stand-ins for what the chain package is given: clocks, a recorder, a ledger's interests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from keeper.core.errors import KeeperError
from keeper.core.facts import (
    AnyFact,
    BlockApplied,
    BlockReverted,
    BlocksBackfilled,
    RawLog,
    ReadRequest,
)
from keeper.core.ids import Address, Hash32

WAIT_SECONDS_MAX = 20.0


class JumpClock:
    """Time that passes only by sleeping, at once."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def unix_ms(self) -> int:
        """Return the same time as :meth:`monotonic`."""
        return int(self.now * 1000)

    def monotonic(self) -> float:
        """Return the seconds slept."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Jump."""
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class HandClock(JumpClock):
    """Time that passes only when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    async def sleep(self, seconds: float) -> None:
        """Wait until the test has moved the hand that far."""
        if seconds <= 0:
            return
        woken = asyncio.Event()
        self._sleepers.append((self.now + seconds, woken))
        await woken.wait()

    def advance(self, seconds: float) -> None:
        """Move the hand and wake who waited for it."""
        self.now += seconds
        due = [woken for at, woken in self._sleepers if at <= self.now]
        self._sleepers = [(at, woken) for at, woken in self._sleepers if at > self.now]
        for woken in due:
            woken.set()


class Beat:
    """The pulse of a part: how many units are under way, and how often it got somewhere."""

    def __init__(self) -> None:
        self.units = 0
        self.progress = 0

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count a unit for the length of the context."""
        self.units += 1
        try:
            yield
        finally:
            self.units -= 1

    def progressed(self) -> None:
        """Count progress."""
        self.progress += 1


class Ledger:
    """What a ledger wants: contracts, growing by ``discovers`` (topic -> the contract is the log's data)."""

    def __init__(
        self,
        root: Address,
        topics: Sequence[bytes],
        discovers: bytes | None = None,
        reads: Sequence[ReadRequest] = (),
        starts: bytes | None = None,
    ) -> None:
        self.topics = tuple(topics)
        self._starts = starts
        self._contracts = [root]
        self._discovers = discovers
        self._reads = tuple(reads)

    def watched(self) -> tuple[Address, ...]:
        """The contracts known to the ledger."""
        return tuple(sorted(self._contracts))

    def discover(self, logs: Iterable[RawLog]) -> tuple[Address, ...]:
        """The contracts named in these logs."""
        return tuple(Address(log.data[:20]) for log in logs if log.topics[0] == self._discovers)

    def reads(self, logs: Iterable[RawLog]) -> tuple[ReadRequest, ...]:
        """The fixed reads, and one of each contract named in these logs."""
        return (*self._reads, *(ReadRequest(address, b"\x01") for address in self.discover(logs)))

    def starts(self, logs: Iterable[RawLog]) -> bool:
        """Whether there is a log of the topic that is to be read at its own block."""
        return any(log.topics[0] == self._starts for log in logs)


class Journal:
    """A recorder that checks what the engine checks: every block stands on the tip, reverts come newest first."""

    def __init__(self) -> None:
        self.groups: list[list[AnyFact]] = []
        self.chain: list[tuple[int, Hash32]] = []
        self.awaited = 0
        self._changed = asyncio.Condition()

    @property
    def facts(self) -> list[AnyFact]:
        """All facts, in order."""
        return [fact for group in self.groups for fact in group]

    @property
    def applied(self) -> list[BlockApplied]:
        """All applied blocks, in order."""
        return [fact for fact in self.facts if isinstance(fact, BlockApplied)]

    @property
    def backfilled(self) -> list[BlocksBackfilled]:
        """All ranges, in order."""
        return [fact for fact in self.facts if isinstance(fact, BlocksBackfilled)]

    async def submit(self, facts: Sequence[AnyFact]) -> None:
        """Take a group."""
        self.groups.append(list(facts))
        for fact in facts:
            self._step(fact)
        async with self._changed:
            self._changed.notify_all()

    async def record(self, facts: Sequence[AnyFact]) -> None:
        """Take a group; it is stepped at once."""
        self.awaited += 1
        await self.submit(facts)

    async def wait_tip(self, number: int, block_hash: Hash32 | None = None) -> None:
        """Wait until the tip is this block."""

        def reached() -> bool:
            return bool(self.chain) and self.chain[-1][0] == number and block_hash in (None, self.chain[-1][1])

        async with asyncio.timeout(WAIT_SECONDS_MAX), self._changed:
            await self._changed.wait_for(reached)

    def _step(self, fact: AnyFact) -> None:
        if isinstance(fact, BlockReverted):
            assert (fact.number, fact.hash) == self.chain.pop()
        elif isinstance(fact, BlockApplied):
            parent = (fact.header.number - 1, fact.header.parent_hash)
            assert not self.chain or self.chain[-1] == parent
            self.chain.append((fact.header.number, fact.header.hash))
        elif isinstance(fact, BlocksBackfilled):
            assert not self.chain or self.chain[-1][0] == fact.first - 1
            self.chain.append((fact.last.number, fact.last.hash))


class Troubles:
    """Collects the failures that were survived."""

    def __init__(self) -> None:
        self.errors: list[KeeperError] = []
        self._queue: asyncio.Queue[KeeperError] = asyncio.Queue()

    def __call__(self, error: KeeperError) -> None:
        """Take one."""
        self.errors.append(error)
        self._queue.put_nowait(error)

    async def wait_next(self) -> KeeperError:
        """Wait for one that was not waited for yet."""
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            return await self._queue.get()
