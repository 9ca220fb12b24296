"""The board: draws the :class:`~keeper.observe.status.Status` from the engine's state and the newest records.

The engine's state says what is. What it does not keep (the run's id, when the head last moved, the newest decisions) is
remembered here from the records as they become durable.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator

from keeper import __version__
from keeper.core.codec import AnyBody
from keeper.core.decisions import Decision
from keeper.core.facts import BlockApplied, KillSwitchChanged, RunStarted
from keeper.core.ids import to_hex
from keeper.core.runconfig import ChainSpec, RunConfig
from keeper.core.units import TokenAmount
from keeper.core.venue import AccountMargin, Ledger
from keeper.core.venue import Status as Health
from keeper.engine.health import AccountKey
from keeper.engine.intents import TrackedIntent
from keeper.engine.step import Engine
from keeper.observe.lines import summary
from keeper.observe.status import (
    BlockPlace,
    ChainStatus,
    DecisionStatus,
    IntentStatus,
    JournalStatus,
    SignerStatus,
    Status,
    VenueStatus,
)

DECISIONS_KEPT = 50


class Board:
    """Makes pictures of a running keeper.

    Args:
        engine: Read, never stepped.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._run: RunStarted | None = None
        self._draining = False
        self._head_moved_ms: dict[int, int] = {}
        self._decisions: deque[DecisionStatus] = deque(maxlen=DECISIONS_KEPT)
        self._debts: dict[AccountKey, int] = {}

    def observe(self, bodies: Iterable[AnyBody], *, first_sequence: int, unix_ms: int) -> None:
        """Take durable records in order; arguments as in :meth:`keeper.observe.metrics.Metrics.observe`."""
        for sequence, body in enumerate(bodies, first_sequence):
            match body:
                case RunStarted():
                    self._run = body
                case BlockApplied(behind_blocks=0):
                    self._head_moved_ms[body.chain_id] = unix_ms
                case KillSwitchChanged():
                    self._draining = body.armed and body.reason == "draining"
                case Decision():
                    kind = type(body).__name__
                    entry = DecisionStatus(sequence=sequence, unix_ms=unix_ms, kind=kind, summary=summary(body))
                    self._decisions.append(entry)

    def status(self, *, unix_ms: int, progress_age_seconds: float, journal: JournalStatus) -> Status:
        """Return the picture of this moment."""
        config = self._engine.config if self._run is not None else None
        return Status(
            run_id=to_hex(self._run.run_id) if self._run is not None else None,
            code_version=__version__,
            live=config is not None and config.live,
            started_unix_ms=self._run.unix_ms if self._run is not None else unix_ms,
            unix_ms=unix_ms,
            progress_age_seconds=progress_age_seconds,
            kill_switch_armed=self._engine.kill_switch_armed,
            draining=self._draining,
            journal=journal,
            chains=tuple(self._chain(spec, unix_ms) for spec in config.chains) if config else (),
            venues=tuple(self._venues(config)) if config else (),
            signers=tuple(self._signers(config)) if config else (),
            intents=tuple(_intent(tracked) for tracked in self._engine.intents.all_open()),
            last_decisions=tuple(reversed(self._decisions)),
        )

    def _chain(self, spec: ChainSpec, unix_ms: int) -> ChainStatus:
        state = self._engine.chains[spec.chain_id]
        tip = state.tip
        moved_ms = self._head_moved_ms.get(spec.chain_id)
        return ChainStatus(
            name=spec.name,
            chain_id=spec.chain_id,
            watermark=BlockPlace(tip.number, to_hex(tip.hash), tip.timestamp) if tip is not None else None,
            behind_blocks=state.behind_blocks,
            finalized_block=state.finalized_number,
            stale=moved_ms is None or unix_ms - moved_ms > spec.stale_after_seconds * 1000,
        )

    def _venues(self, config: RunConfig) -> Iterator[VenueStatus]:
        names = {chain.chain_id: chain.name for chain in config.chains}
        margins = self._engine.margins
        self._debts = {key: self._debt(key, margin) for key, margin in margins.items()}
        for name, ledger in self._engine.ledgers.items():
            accounts = [(margin, self._debts[key]) for key, margin in margins.items() if key[0] == name]
            yield _venue(name, ledger, names[ledger.chain_id], accounts)

    def _debt(self, key: AccountKey, margin: AccountMargin) -> int:
        """Return the account's debt; the last known one while a figure is missing."""
        if margin.health.status is Health.UNKNOWN and not int(margin.debt_base):
            return self._debts.get(key, 0)
        return int(margin.debt_base)

    def _signers(self, config: RunConfig) -> Iterator[SignerStatus]:
        book = self._engine.intents
        for spec in config.signers:
            for chain in config.chains:
                wallet = self._engine.wallets.get((chain.chain_id, spec.name))
                yield SignerStatus(
                    name=spec.name,
                    chain=chain.name,
                    address=to_hex(spec.address),
                    balance_wei=str(int(wallet.balance_wei)) if wallet is not None else None,
                    next_nonce=book.next_nonce(chain.chain_id, spec.name),
                    halted=book.halted(spec.name),
                )


def _venue(name: str, ledger: Ledger, chain: str, accounts: list[tuple[AccountMargin, int]]) -> VenueStatus:
    statuses = Counter(margin.health.status for margin, _ in accounts)
    unknown = [(margin, debt) for margin, debt in accounts if margin.health.status is Health.UNKNOWN]
    missing = [token for token in ledger.tokens() if ledger.value_base(token, TokenAmount(1)) is None]
    return VenueStatus(
        name=name,
        protocol=ledger.protocol,
        chain=chain,
        discovered=ledger.spender is not None,
        accounts={status.value: statuses[status] for status in Health},
        debt_base=str(sum(debt for _, debt in accounts)),
        debt_unknown_base=str(sum(debt for _, debt in unknown)),
        unknown_reasons=dict(sorted(Counter(margin.health.reason or "" for margin, _ in unknown).items())),
        prices_missing=tuple(to_hex(token) for token in missing),
    )


def _intent(tracked: TrackedIntent) -> IntentStatus:
    intent, newest = tracked.intent, tracked.newest
    return IntentStatus(
        intent_id=to_hex(intent.intent_id),
        kind=intent.kind,
        venue=intent.venue,
        account=to_hex(intent.account),
        signer=intent.signer,
        state=tracked.state.value,
        nonce=tracked.nonce,
        attempts=len(tracked.sent),
        tx_hash=to_hex(newest.tx_hash) if newest is not None else None,
        admitted_at_block=intent.admitted_at_block,
    )
