"""What a running keeper says of itself: one frozen picture, from which health, readiness and gauges are read.

The composition root makes a new one whenever it is asked. It holds no secret and no URL. Times are Unix milliseconds of
the wall clock, ages are seconds; integers that may pass 2^53 are decimal strings.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from keeper.core.risk import UNMOVED_SECONDS_MAX

FRESH = "fresh"
"""The oracle guard's verdict on a price that is believed."""
PROGRESS_SECONDS_MAX = 15.0
"""The core loop takes a clock tick each second; this long without progress it hangs."""


class BlockPlace(msgspec.Struct, frozen=True):
    """A block. ``timestamp`` in seconds, the chain's own."""

    block: int
    hash: str
    timestamp: int


class ChainStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A followed chain. ``watermark`` is the last complete block, ``None`` before the first.

    ``behind_blocks`` are known blocks after it, ``followed`` once a head was followed to its end in this run. ``stale``
    when no block arrived at the head for longer than the configuration allows.
    """

    name: str
    chain_id: int
    watermark: BlockPlace | None
    behind_blocks: int
    finalized_block: int
    followed: bool
    stale: bool


class ReadingStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far the reading of a venue at one block is: it has no accounts before it is complete.

    ``searched_to_block`` is the last block searched for holders, ``unread`` counts the items that are left of those
    known so far.
    """

    block: int
    searched_to_block: int
    holders: int
    unread: int


class PriceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the second opinion makes of a price.

    ``verdict`` is the oracle guard's, ``age_seconds`` how old the price that is believed is (``None`` without one),
    ``move_ppm`` how far it is reckoned to move over the horizon, ``samples`` how many moves that is learned from.
    ``vol_annual_ppm`` is the volatility in a year that is reckoned with, ``stress_ppm`` the probability that its market
    is in stress, ``None`` where no model tells. ``unmoved_seconds`` is for how long the oracle has told nothing new, by
    the chain's clock, ``None`` for a price that was never seen to move.
    """

    asset: str
    verdict: str
    reason: str
    age_seconds: int | None
    move_ppm: int
    samples: int
    vol_annual_ppm: int
    stress_ppm: int | None
    unmoved_seconds: int | None = None

    @property
    def doubt(self) -> str | None:
        """Why it is not to be relied on: it is not believed, or it has stood still for too long; else ``None``."""
        if self.verdict != FRESH:
            return f"{self.verdict}: {self.reason}"
        if self.unmoved_seconds is not None and self.unmoved_seconds > UNMOVED_SECONDS_MAX:
            return f"stale: nothing new for {self.unmoved_seconds / 3600:.1f} h"
        return None


class RiskPicture(msgspec.Struct, frozen=True, kw_only=True):
    """The second opinion of a venue: how many accounts it warns of, calls, or cannot tell, and its prices."""

    model: str
    accounts: dict[str, int]
    prices: tuple[PriceStatus, ...]


class AtRiskStatus(msgspec.Struct, frozen=True, kw_only=True):
    """An account that is at risk by either opinion.

    ``status`` and ``reason`` are the venue's, ``distance`` the logarithm of its ``health_wad``; the ``risk_`` fields
    are the second opinion's, ``None`` where it finds the account safe or none is formed. ``refused`` is the rule by
    which the gate refuses to act, as of the last round.
    """

    account: str
    status: str
    reason: str | None
    health_wad: str | None
    distance: float | None
    collateral_base: str
    debt_base: str
    refused: str | None = None
    risk_status: str | None = None
    risk_reason: str | None = None
    risk_health_wad: str | None = None
    risk_stressed_wad: str | None = None
    risk_breach_ppm: int | None = None


class VenueStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A venue's accounts with debt, by status, and what is unknown about it.

    ``discovered`` once its contracts are known. ``debt_base`` and ``debt_unknown_base`` in USD 1e-8, as far as known.
    ``unknown_reasons`` counts accounts by why their health is unknown, ``prices_missing`` are tokens.
    ``reading`` while the venue is read at one block. ``owed_within`` is what is owed within each distance of the line
    (a logarithm of health), USD 1e-8. ``risk`` is the second opinion, ``None`` where none is formed. ``reverts`` counts
    those within the breaker's window with no success between, ``paused`` while the venue rests after them.
    ``at_risk`` are the first of ``at_risk_count`` accounts, nearest to the line or furthest past it.
    """

    name: str
    protocol: str
    chain: str
    discovered: bool
    accounts: dict[str, int]
    debt_base: str
    debt_unknown_base: str
    unknown_reasons: dict[str, int]
    prices_missing: tuple[str, ...]
    reading: ReadingStatus | None = None
    owed_within: dict[str, str] = {}
    risk: RiskPicture | None = None
    reverts: int = 0
    paused: bool = False
    at_risk_count: int = 0
    at_risk: tuple[AtRiskStatus, ...] = ()


class SignerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A signer on a chain. ``next_nonce`` is ``None`` until it was read; ``halted`` says why it signs no more."""

    name: str
    chain: str
    address: str
    balance_wei: str | None
    next_nonce: int | None
    halted: str | None


class IntentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """An intent that has not ended."""

    intent_id: str
    kind: str
    venue: str
    account: str
    signer: str
    state: str
    nonce: int | None
    attempts: int
    tx_hash: str | None
    admitted_at_block: int


class DecisionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One of the newest decisions, in a line; ``reason`` is why it was refused, where it was."""

    sequence: int
    unix_ms: int
    kind: str
    summary: str
    venue: str | None = None
    account: str | None = None
    reason: str | None = None


class ProviderStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A provider of a chain: scheme, host and port of its URL, and how it stands.

    ``seconds`` is how long a good answer of it is expected to take, ``quarantine`` why it is not asked at all.
    """

    chain: str
    name: str
    up: bool
    failures: int
    seconds: float
    lag_blocks: int
    quarantine: str | None


class JournalStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far the journal is. ``fault`` says why it cannot be written, ``None`` while it can."""

    last_sequence: int
    durable_sequence: int
    queued_records: int
    fault: str | None


class LateStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the process whose work got nowhere for so long."""

    part: str
    seconds: float


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Everything. ``progress_age_seconds`` is how long ago the core loop last took a group of facts.

    ``run_id`` is ``None`` until the run's first fact is durable. ``loop_lag_seconds`` is how late the event loop last
    came to a timer, ``late`` what hangs. ``spend_hour_base`` is what intents committed within the last hour, USD 1e-8.
    """

    run_id: str | None
    code_version: str
    live: bool
    started_unix_ms: int
    unix_ms: int
    progress_age_seconds: float
    kill_switch_armed: bool
    draining: bool
    journal: JournalStatus
    chains: tuple[ChainStatus, ...]
    venues: tuple[VenueStatus, ...]
    signers: tuple[SignerStatus, ...]
    intents: tuple[IntentStatus, ...]
    last_decisions: tuple[DecisionStatus, ...]
    loop_lag_seconds: float = 0.0
    late: tuple[LateStatus, ...] = ()
    spend_hour_base: str = "0"
    providers: tuple[ProviderStatus, ...] = ()
    last_refusals: tuple[DecisionStatus, ...] = ()


class Failing(msgspec.Struct, frozen=True):
    """A condition that does not hold: its name, and why."""

    condition: str
    reason: str


def unhealthy(status: Status) -> list[Failing]:
    """Return why the process should be restarted: it hangs, or it cannot remember."""
    failing = []
    if status.progress_age_seconds > PROGRESS_SECONDS_MAX:
        failing.append(Failing("progress", f"no fact was taken for {status.progress_age_seconds:.1f} s"))
    if status.journal.fault is not None:
        failing.append(Failing("journal", status.journal.fault))
    failing += [Failing(late.part, f"got nowhere for {late.seconds:.0f} s") for late in status.late]
    return failing


def unready(status: Status) -> list[Failing]:
    """Return why the keeper cannot be relied on now: unhealthy, not at the head, prices missing, or leaving."""
    failing = unhealthy(status)
    if status.run_id is None:
        failing.append(Failing("running", "the run has not begun"))
    if status.draining:
        failing.append(Failing("running", "the keeper is draining"))
    failing += [fault for chain in status.chains for fault in _chain_faults(chain)]
    failing += [fault for venue in status.venues for fault in _venue_faults(venue)]
    return failing


def _chain_faults(chain: ChainStatus) -> Iterator[Failing]:
    condition = f"watermark of {chain.name}"
    if chain.watermark is None:
        yield Failing(condition, "no block was applied yet")
    elif not chain.followed:
        yield Failing(condition, "no head was followed since the start")
    elif chain.behind_blocks > 0:
        yield Failing(condition, f"{chain.behind_blocks} blocks behind the head")
    elif chain.stale:
        yield Failing(condition, f"no block followed {chain.watermark.block} for too long")


def _venue_faults(venue: VenueStatus) -> Iterator[Failing]:
    if not venue.discovered:
        yield Failing(f"contracts of {venue.name}", "not known yet: no log of its root contract was seen")
    if venue.prices_missing:
        yield Failing(f"prices of {venue.name}", f"no price of {', '.join(venue.prices_missing)}")
