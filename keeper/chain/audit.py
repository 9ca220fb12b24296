"""The last net: sampled accounts are compared with the venue's own view of them, every few blocks.

A log that every provider hides, and a mistake of ours, show here and nowhere else. The calls are pinned to the hash of
the block that the engine stands at, and go to a different provider each time. What they answer is a fact; the engine
compares, so a replay finds the same. When the engine has moved on meanwhile the audit is void and not recorded.

Accounts that an audit found wrong are asked about first, then the others in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Never

from keeper.chain.pool import ProviderPool
from keeper.chain.retry import OnError, ignore
from keeper.chain.source import BlockSource
from keeper.chain.watch import Watch
from keeper.core.errors import NodeError
from keeper.core.facts import AccountsAudited
from keeper.core.ids import Address
from keeper.core.ports import UNWATCHED, Clock, Pulse, Recorder
from keeper.core.venue import Ledger
from keeper.engine.chain_state import ChainState

ACCOUNTS_PER_AUDIT = 8
LOOK_SECONDS = 1.0
"""How often it is looked whether an audit is due."""


class Audit:
    """Audits the venues of one chain.

    Args:
        pool: Who is asked.
        watch: What reads are wanted (for the reading of blocks).
        recorder: Where answers go.
        clock: Paces the looks.
        state: Returns what the engine holds of the chain.
        ledgers: The chain's venues.
        doubted: Returns the accounts of a venue that an audit found wrong.
        every_blocks: An audit is due after this many blocks.
        on_error: Told of each failure.
        pulse: Told when an audit is taken up and done with; the recorder knows of its progress.
    """

    def __init__(
        self,
        pool: ProviderPool,
        watch: Watch,
        recorder: Recorder,
        clock: Clock,
        *,
        state: Callable[[], ChainState],
        ledgers: Sequence[Ledger],
        doubted: Callable[[str], Iterable[Address]],
        every_blocks: int,
        on_error: OnError = ignore,
        pulse: Pulse = UNWATCHED,
    ) -> None:
        self._pool = pool
        self._watch = watch
        self._recorder = recorder
        self._clock = clock
        self._state = state
        self._ledgers = tuple(ledgers)
        self._doubted = doubted
        self._every_blocks = every_blocks
        self._on_error = on_error
        self._pulse = pulse
        self._turn = count()
        self._after: dict[str, Address] = {}
        self._audited_at = -every_blocks

    async def run(self) -> Never:
        """Audit whenever it is due, until cancelled."""
        while True:
            with self._pulse.working():
                await self.look()
            await self._clock.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Audit if enough blocks have come and the newest is a head; a failure is reported and tried again."""
        state = self._state()
        tip = state.tip
        if tip is None or state.behind_blocks or tip.number < self._audited_at + self._every_blocks:
            return
        try:
            for ledger in self._ledgers:
                await self._audit(ledger)
            self._audited_at = tip.number
        except NodeError as error:
            self._on_error(error)

    async def _audit(self, ledger: Ledger) -> None:
        state, members = self._state(), self._pool.healthy()
        tip, requests = state.tip, ledger.audit_reads(self._chosen(ledger))
        if tip is None or not requests or not members:
            return
        node = members[next(self._turn) % len(members)]
        reads = await BlockSource(self._pool, node, self._watch).reads(tip.hash, requests)
        if self._state().tip == tip:
            fact = AccountsAudited(state.chain_id, ledger.name, tip.number, tip.hash, reads)
            await self._recorder.submit([fact])

    def _chosen(self, ledger: Ledger) -> tuple[Address, ...]:
        """Return whom to audit: the doubted, then those after the last one, round and round."""
        accounts, after = ledger.accounts(), self._after.get(ledger.name, Address(b""))
        turn = [account for account in accounts if account > after] + [each for each in accounts if each <= after]
        doubted = sorted(self._doubted(ledger.name))[:ACCOUNTS_PER_AUDIT]
        fresh = [account for account in turn if account not in doubted][: ACCOUNTS_PER_AUDIT - len(doubted)]
        if fresh:
            self._after[ledger.name] = fresh[-1]
        return tuple(dict.fromkeys((*doubted, *fresh)))
