"""The venue that the engine sees: one Aave v3 market, found from its PoolAddressesProvider.

Everything follows from the provider's logs: it names the pool, the configurator and the oracle, the configurator names
each asset's tokens, and those are watched from there on. Figures are exact at the block's timestamp; the market at
that timestamp is worked out once for a block and shared by all accounts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from keeper.core.errors import NodeMalformed, invariant
from keeper.core.facts import BackfilledBlock, BlockHeader, ContractRead, RawLog, ReadRequest
from keeper.core.ids import ZERO_ADDRESS, Address
from keeper.core.margin import MarginBreakdown, MarginKind
from keeper.core.risk import AssetPrice, MoveOf
from keeper.core.runconfig import VenueSpec
from keeper.core.units import BaseAmount, BigInt, TokenAmount, Wad
from keeper.core.venue import (
    AccountMargin,
    AuditFinding,
    Call,
    Epoch,
    Health,
    LiquidationSeen,
    Pair,
    Preview,
    Status,
    VenueTotals,
)
from keeper.venues.aave_v3 import audit, calls, liquidation
from keeper.venues.aave_v3.breakdown import breakdown_of
from keeper.venues.aave_v3.codec import DECODERS, FEED_TOPICS, decode
from keeper.venues.aave_v3.events import AddressSet, Change, Liquidated, ReserveInitialized, SourceSet
from keeper.venues.aave_v3.fold import Fold
from keeper.venues.aave_v3.forms import Suspects
from keeper.venues.aave_v3.margin import UserAccountData, account_data, position_of
from keeper.venues.aave_v3.market import Market, ReserveNow, Unknown, market_at
from keeper.venues.aave_v3.math import WAD
from keeper.venues.aave_v3.naming import NAMED
from keeper.venues.aave_v3.protection import AaveProtections
from keeper.venues.aave_v3.reading import MarketReading
from keeper.venues.aave_v3.reads import fold_reads, fold_revision, requests
from keeper.venues.aave_v3.state import ONLY_ROW, BlockRow, State
from keeper.venues.abi import approval_call

LIQUIDATION_GAS = 600_000
"""Measured 277,000 to 476,000 on the local market; price adapters and tokens of a real one cost more than ours."""
NOTHING = BaseAmount(0)


class AaveLedger:
    """Implements :class:`keeper.core.venue.Ledger` for Aave v3.

    ``liquidation_gas`` is what a call is expected to cost at most, in gas.
    """

    protocol = "aave_v3"
    margin_kind = MarginKind.CROSS
    liquidation_gas = LIQUIDATION_GAS
    takeovers = None

    def __init__(self, spec: VenueSpec) -> None:
        self.name = spec.name
        self.chain_id = spec.chain_id
        self._root = spec.root
        self._by_events = spec.prices == "events"
        self.topics = tuple(sorted(topic for topic in DECODERS if self._by_events or topic not in FEED_TOPICS))
        self._topics = frozenset(self.topics)
        self._state = State()
        self._fold = Fold(self._state, self._root)
        self._suspects = Suspects(self._state)
        self._market: Market | None = None
        self._accounts: tuple[Address, ...] | None = None
        self.protections = AaveProtections(
            self._state, self._market_at, lambda token: self._fold.role(token) is not None, lambda: self.spender
        )
        self._reading = MarketReading(
            self._state,
            self._root,
            from_block=spec.from_block,
            by_events=self._by_events,
            on_change=self._forget_derived,
        )

    @property
    def reading(self) -> MarketReading:
        """How the market is read at one block."""
        return self._reading

    @property
    def spender(self) -> Address | None:
        """The pool, which pulls the repaid tokens; ``None`` before it is discovered."""
        pool = self._state.market.pool
        return None if pool == ZERO_ADDRESS else pool

    # What ingestion asks.

    def watched(self) -> tuple[Address, ...]:
        """The provider, the contracts it names, every listed asset's tokens, and the feeds that are followed."""
        return tuple(sorted((self._contracts() | self._feeds()) - {ZERO_ADDRESS}))

    def _contracts(self) -> set[Address]:
        """Return the market's own contracts; zero may be among them."""
        market = self._state.market
        found = {self._root, market.pool, market.configurator, market.oracle}
        for reserve in self._state.reserves.rows.values():
            found |= {reserve.a_token, reserve.stable_token, reserve.variable_token}
        return found

    def _feeds(self) -> set[Address]:
        """Return the feeds that are followed; zero may be among them."""
        return {row.source for row in self._state.prices.rows.values()} if self._by_events else set()

    def discover(self, logs: Iterable[RawLog]) -> tuple[Address, ...]:
        """Return the contracts that these logs name, whatever this ledger knows already (it may lag behind them).

        Raises:
            NodeMalformed: a log of a watched contract is not what its event promises.
        """
        found: set[Address] = set()
        for change in self._changes(logs):
            if isinstance(change, AddressSet) and change.identifier in NAMED:
                found.add(change.address)
            elif isinstance(change, ReserveInitialized):
                found |= {change.a_token, change.stable_token, change.variable_token}
            elif isinstance(change, SourceSet):
                found.add(change.source)
        return tuple(sorted(found - {ZERO_ADDRESS}))

    def reads(self, logs: Iterable[RawLog]) -> tuple[ReadRequest, ...]:
        """Return the view calls needed at the end of a block that has these logs, and folds those that wait."""
        waiting = [row.log for _, row in self._state.queue()]
        return requests(self._state, self._changes([*waiting, *logs]), by_events=self._by_events)

    def _changes(self, logs: Iterable[RawLog]) -> list[Change]:
        changes = ((log, self._decode(log)) for log in logs)
        return [
            change
            for log, change in changes
            if change is not None and (log.address == self._root or not isinstance(change, AddressSet))
        ]

    def _decode(self, log: RawLog) -> Change | None:
        """Decode a log that may be ours; one that does not decode is nobody's unless it is ours."""
        if not log.topics or log.topics[0] not in self._topics:
            return None
        try:
            return decode(log)
        except NodeMalformed:
            if self._is_ours(log):
                raise
            return None

    def _is_ours(self, log: RawLog) -> bool:
        """Tell whether a contract of the market emitted a log, or a feed an answer (its other events are its own)."""
        of_feed = log.topics[0] in FEED_TOPICS and log.address in self._feeds()
        return of_feed or log.address in self._contracts()

    def tokens(self) -> tuple[Address, ...]:
        """The listed assets in the order of the pool's list."""
        return tuple(asset for asset, _ in self._state.listed())

    def starts(self, logs: Iterable[RawLog]) -> bool:  # noqa: ARG002 - no log does
        """Nothing does."""
        return False

    # Folding.

    def begin_block(self, header: BlockHeader | BackfilledBlock) -> None:
        """Start a block; changes from here on belong to it."""
        self._state.tables.begin_block(header.number)
        self._state.block.set(ONLY_ROW, BlockRow(header.number, header.timestamp))
        self._market = None

    def apply_log(self, log: RawLog) -> LiquidationSeen | None:
        """Fold one log; a liquidation is returned.

        Raises:
            NodeMalformed: the log is not what its event promises (refused before by :meth:`discover`).
        """
        change = self._decode(log)
        if change is None:
            return None
        self._market = self._accounts = None
        self._fold.apply(log, change)
        if isinstance(change, Liquidated) and log.address == self._state.market.pool:
            return self._seen(log, change)
        return None

    def _seen(self, log: RawLog, change: Liquidated) -> LiquidationSeen:
        return LiquidationSeen(
            self.name,
            change.user,
            change.liquidator,
            change.debt_asset,
            change.collateral_asset,
            TokenAmount(change.repaid),
            TokenAmount(change.seized),
            log.tx_hash,
        )

    def apply_reads(self, reads: Sequence[ContractRead]) -> None:
        """Fold the block's reads; those of other venues are ignored."""
        fold_revision(self._state, reads)
        if self._fold.settle():
            self._accounts = None
        fold_reads(self._state, reads)
        self._market = None

    def undo_block(self, number: int) -> None:
        """Take back the newest block when it is ``number``; nothing when it is older."""
        if self._state.tables.undo_block(number):
            self._forget_derived()

    def forget_undo(self, number: int) -> None:
        """Blocks up to ``number`` are final."""
        self._state.tables.forget_undo(number)

    def _forget_derived(self) -> None:
        self._fold.forget_derived()
        self._market = self._accounts = None

    # Looking.

    def accounts(self) -> tuple[Address, ...]:
        """Every account with debt, sorted; none while the market is being read."""
        if self._accounts is None:
            self._accounts = () if self._reading.header is not None else tuple(self._fold.owing.debtors())
        return self._accounts

    def owes(self, account: Address) -> bool:
        """Tell whether the account has debt."""
        return self._reading.header is None and self._fold.owing.owes(account)

    def suspects(self) -> tuple[Address, ...]:
        """Every account with debt that its form does not prove healthy, sorted."""
        return () if self._reading.header is not None else self._suspects.at(self._market_at(None))

    def near(self, move_of: MoveOf) -> tuple[Address, ...]:
        """Every account with debt that its form does not prove to survive such moves, sorted."""
        return () if self._reading.header is not None else self._suspects.near(self._market_at(None), move_of)

    def asset_prices(self) -> tuple[AssetPrice, ...]:
        """Every reserve's price by the oracle, in the order of the pool's list."""
        if self._reading.header is not None:
            return ()
        found = self._market_at(None).by_asset
        return tuple(AssetPrice(asset, _known_price(found.get(asset))) for asset in self.tokens())

    def totals(self) -> VenueTotals:
        """Return what is kept up with each change: the number of debtors, and each debt token's whole supply."""
        if self._reading.header is not None:
            return VenueTotals(0, NOTHING)
        return VenueTotals(self._fold.owing.count, self._fold.owing.debt_base(self._market_at(None)))

    def owed_within(self, bounds: Sequence[float]) -> tuple[BaseAmount, ...]:
        """Return what is owed within each distance of the line."""
        if self._reading.header is not None:
            return (NOTHING,) * len(bounds)
        return tuple(BaseAmount(round(owed)) for owed in self._suspects.owed_within(self._market_at(None), bounds))

    def margin(self, account: Address) -> AccountMargin:
        """Return the account's margin at the current block's timestamp."""
        data = self.account_data(account)
        epoch = Epoch(*self._state.epoch(account))
        if isinstance(data, Unknown):
            health = Health(Status.UNKNOWN, data.reason)
            return AccountMargin(self.name, account, epoch, health, None, NOTHING, NOTHING)
        health = LIQUIDATABLE if data.health_factor < WAD else HEALTHY
        health_wad = Wad(data.health_factor) if data.total_debt_base else None
        collateral, debt = BaseAmount(data.total_collateral_base), BaseAmount(data.total_debt_base)
        return AccountMargin(self.name, account, epoch, health, health_wad, collateral, debt)

    def account_data(self, account: Address, at_timestamp: int | None = None) -> UserAccountData | Unknown:
        """Return what ``getUserAccountData`` returns, at the block's timestamp or a later one (seconds)."""
        if self._reading.header is not None:
            return Unknown(f"{self.name} is still being read")
        market = self._market_at(at_timestamp)
        return account_data(market, position_of(self._state, market, account))

    def breakdown(self, account: Address) -> MarginBreakdown:
        """Return the account's margin term by term, in base currency."""
        if self._reading.header is not None:
            return MarginBreakdown(self.margin_kind, (), f"{self.name} is still being read")
        market = self._market_at(None)
        return breakdown_of(market, position_of(self._state, market, account))

    def pairs(self, account: Address) -> tuple[Pair, ...]:
        """Return every debt and collateral of the account that may be liquidated now."""
        market = self._market_at(None)
        return liquidation.pairs(market, position_of(self._state, market, account))

    def preview(
        self,
        account: Address,
        debt_asset: Address,
        collateral_asset: Address,
        cover: TokenAmount,
        at_timestamp: int | None = None,
    ) -> Preview:
        """Return what the contract would do at the block's timestamp, or a later one (seconds)."""
        market = self._market_at(at_timestamp)
        position = position_of(self._state, market, account)
        return liquidation.preview(market, position, debt_asset, collateral_asset, int(cover))

    def value_base(self, token: Address, amount: TokenAmount) -> BaseAmount | None:
        """Value an amount of a listed token at the oracle's price, rounded down; ``None`` when that is unknown."""
        reserve = self._market_at(None).by_asset.get(token)
        if reserve is None or reserve.doubt is not None or isinstance(reserve.price, Unknown):
            return None
        return BaseAmount(reserve.price * int(amount) // reserve.unit)

    def _market_at(self, timestamp: int | None) -> Market:
        if timestamp is not None and timestamp != self._state.now.timestamp:
            return market_at(self._state, timestamp)
        if self._market is None:
            self._market = market_at(self._state, self._state.now.timestamp)
        return self._market

    # Auditing.

    def audit_reads(self, accounts: Sequence[Address]) -> tuple[ReadRequest, ...]:
        """Return a call of ``getUserAccountData`` for each account; none before the pool is known."""
        pool = self.spender
        return () if pool is None else tuple(ReadRequest(pool, audit.call_data(account)) for account in accounts)

    def audit_findings(self, reads: Sequence[ContractRead]) -> tuple[AuditFinding, ...]:
        """Compare the pool's six figures with ours, to the wei."""
        pool = self.spender
        found = (audit.finding(read, self.account_data) for read in reads if read.target == pool)
        return tuple(each for each in found if each is not None)

    # Acting.

    def liquidation_call(self, account: Address, preview: Preview) -> Call:
        """Return the transaction that executes a preview."""
        return calls.liquidation_call(self._state.market.pool, account, preview)

    def approval_call(self, token: Address, amount: TokenAmount) -> Call:
        """Return the transaction that lets the pool take a token from the signer."""
        invariant(self.spender is not None, self.name, "an allowance was wanted before the pool was known")
        return approval_call(token, self._state.market.pool, amount)

    def revert_name(self, data: bytes) -> str:
        """Return the contract's name for revert data."""
        return calls.revert_name(data)

    # Keeping.

    def dump(self) -> bytes:
        """Return the whole state, undo included, in one canonical encoding."""
        return self._state.tables.dump()

    def load(self, state: bytes) -> None:
        """Replace the state by a dump.

        Raises:
            JournalDamaged: the bytes are not a dump of this ledger version.
        """
        self._state.tables.load(state, self.name)
        self._forget_derived()


def _known_price(reserve: ReserveNow | None) -> BigInt | None:
    doubtful = reserve is None or reserve.doubt is not None or isinstance(reserve.price, Unknown)
    return None if reserve is None or doubtful or isinstance(reserve.price, Unknown) else BigInt(reserve.price)


HEALTHY = Health(Status.HEALTHY)
LIQUIDATABLE = Health(Status.LIQUIDATABLE)
