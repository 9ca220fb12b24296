"""Everything the engine remembers, and its canonical bytes.

Two engines that stepped the same facts have equal states, and equal states have equal bytes, on any machine. That is
what makes a snapshot checkable and a replay comparable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from keeper.core.codec import decoder, encoder
from keeper.core.errors import InvariantBroken, JournalDamaged, JournalForeign, invariant
from keeper.core.facts import SignerRead
from keeper.core.ids import Address
from keeper.core.own_money import HedgePlan
from keeper.core.risk import RiskHealth
from keeper.core.runconfig import ChainSpec, RiskSpec, RunConfig, SignerSpec, VenueSpec
from keeper.core.venue import AccountMargin, Ledger
from keeper.engine.assessing import RiskMap
from keeper.engine.book import IntentBook
from keeper.engine.book_state import BookState
from keeper.engine.chain_state import ChainState
from keeper.engine.clock import EngineClock
from keeper.engine.health import HealthMap
from keeper.engine.market import VenueMarket
from keeper.engine.refusals import RefusalMemory, RefusedPlan

ENGINE_VERSION = 19
"""Raised whenever the same facts would give another state or other decisions."""

OpenLedger = Callable[[VenueSpec], Ledger]
Spec = TypeVar("Spec")


class EngineState:
    """The fold's accumulator. ``ledgers`` are in the order of the configuration."""

    def __init__(self) -> None:
        self.sequence = 0
        self.config: RunConfig | None = None
        self.clock = EngineClock()
        self.switch_armed = False
        self.draining = False
        self.chains: dict[int, ChainState] = {}
        self.ledgers: dict[str, Ledger] = {}
        self.wallets: dict[tuple[int, str], SignerRead] = {}
        self.health = HealthMap()
        self.risk = RiskMap()
        self.intents = IntentBook()
        self.refusals = RefusalMemory()
        self.hedges: dict[tuple[str, Address], HedgePlan] = {}

    @property
    def kill_switch_armed(self) -> bool:
        """Whether nothing may be admitted: by the operator's switch, or because the run is ending."""
        return self.switch_armed or self.draining

    @property
    def run(self) -> RunConfig:
        """The configuration of the current run.

        Raises:
            InvariantBroken: no ``RunStarted`` was stepped yet.
        """
        if self.config is None:
            raise InvariantBroken("engine", "was given a fact before any RunStarted", "keep the journal and report it")
        return self.config

    def chain(self, chain_id: int) -> ChainState:
        """Return a configured chain."""
        invariant(chain_id in self.chains, f"chain {chain_id}", "is not configured")
        return self.chains[chain_id]

    def chain_spec(self, chain_id: int) -> ChainSpec:
        """Return a chain's configuration."""
        return _first((spec for spec in self.run.chains if spec.chain_id == chain_id), f"chain {chain_id}")

    def signer_spec(self, name: str) -> SignerSpec:
        """Return a signer's configuration."""
        return _first((spec for spec in self.run.signers if spec.name == name), f"signer {name}")

    def risk_spec(self, venue: str) -> RiskSpec | None:
        """Return the model of a venue's second opinion, ``None`` when none is formed."""
        specs = self.run.risk
        return (
            None if isinstance(specs, msgspec.UnsetType) else next((one for one in specs if one.venue == venue), None)
        )

    def ledgers_of(self, chain_id: int) -> list[Ledger]:
        """Return a chain's venues, in the order of the configuration."""
        return [ledger for ledger in self.ledgers.values() if ledger.chain_id == chain_id]


def _first(found: Iterable[Spec], thing: str) -> Spec:
    for spec in found:
        return spec
    raise InvariantBroken(thing, "is not configured", "this is a bug: keep the journal and report it")


class Snapshot(msgspec.Struct, frozen=True):
    """An :class:`EngineState` with every map as a list in a fixed order."""

    version: int
    sequence: int
    config: RunConfig | None
    clock: EngineClock
    switch_armed: bool
    draining: bool
    chains: list[ChainState]
    ledgers: list[tuple[str, bytes]]
    wallets: list[SignerRead]
    margins: list[AccountMargin]
    doubted: list[tuple[str, Address]]
    seen: list[str]
    markets: list[VenueMarket]
    opinions: list[RiskHealth]
    book: BookState
    refusals: list[RefusedPlan]
    hedges: list[HedgePlan]


_ENCODER = encoder()
_DECODER = decoder(Snapshot)


def dump_state(state: EngineState) -> bytes:
    """Return the canonical bytes of a state."""
    return _ENCODER.encode(
        Snapshot(
            version=ENGINE_VERSION,
            sequence=state.sequence,
            config=state.config,
            clock=state.clock,
            switch_armed=state.switch_armed,
            draining=state.draining,
            chains=[state.chains[chain_id] for chain_id in sorted(state.chains)],
            ledgers=[(name, state.ledgers[name].dump()) for name in sorted(state.ledgers)],
            wallets=[state.wallets[lane] for lane in sorted(state.wallets)],
            margins=[state.health.margins[key] for key in sorted(state.health.margins)],
            doubted=sorted(state.health.doubted),
            seen=sorted(state.health.seen),
            markets=[state.risk.markets[name] for name in sorted(state.risk.markets)],
            opinions=[state.risk.opinions[key] for key in sorted(state.risk.opinions)],
            book=state.intents.dump(),
            refusals=state.refusals.entries(),
            hedges=[state.hedges[key] for key in sorted(state.hedges)],
        )
    )


def load_state(raw: bytes, open_ledger: OpenLedger) -> EngineState:
    """Build a state from the bytes of :func:`dump_state`.

    Raises:
        JournalDamaged: the bytes are not a snapshot.
        JournalForeign: the snapshot is of another engine version.
    """
    try:
        snapshot: Snapshot = _DECODER.decode(raw)
    except (ValueError, RecursionError) as error:  # msgspec's own is a ValueError, as text that is not UTF-8
        raise JournalDamaged("snapshot", str(error), "delete it: the journal has everything") from error
    if snapshot.version != ENGINE_VERSION:
        reason = f"is of engine version {snapshot.version}, this is version {ENGINE_VERSION}"
        raise JournalForeign("snapshot", reason, "delete it: the journal has everything")
    return _restored(snapshot, open_ledger)


def _restored(snapshot: Snapshot, open_ledger: OpenLedger) -> EngineState:
    state = EngineState()
    state.sequence = snapshot.sequence
    state.config = snapshot.config
    state.clock = snapshot.clock
    state.switch_armed = snapshot.switch_armed
    state.draining = snapshot.draining
    state.chains = {chain.chain_id: chain for chain in snapshot.chains}
    state.wallets = {(wallet.chain_id, wallet.signer): wallet for wallet in snapshot.wallets}
    state.health = HealthMap(snapshot.margins, snapshot.doubted, snapshot.seen)
    state.risk = RiskMap(snapshot.markets, snapshot.opinions)
    state.intents = IntentBook.restored(snapshot.book)
    state.refusals = RefusalMemory(snapshot.refusals)
    state.hedges = {(plan.strategy, plan.market): plan for plan in snapshot.hedges}
    dumps = dict(snapshot.ledgers)
    for spec in snapshot.config.venues if snapshot.config is not None else ():
        if spec.name not in dumps:
            raise JournalDamaged("snapshot", f"lacks the state of {spec.name}", "delete it: the journal has everything")
        state.ledgers[spec.name] = open_ledger(spec)
        state.ledgers[spec.name].load(dumps[spec.name])
    return state
