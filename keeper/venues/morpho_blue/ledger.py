"""The venue that the engine sees: one market of one Morpho contract. Accounts are its borrowers.

The contract and the market's id are all there is to configure; what the market lends against what is in the log of its
creation. Figures are exact at the block's timestamp; the market at that timestamp is worked out once for a block.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from keeper.core.errors import ConfigError, invariant
from keeper.core.facts import BackfilledBlock, BlockHeader, ContractRead, RawLog, ReadRequest
from keeper.core.ids import Address
from keeper.core.margin import MarginBreakdown, MarginKind
from keeper.core.protection import ProtectionView
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
from keeper.venues.abi import approval_call
from keeper.venues.morpho_blue import audit, calls, liquidation
from keeper.venues.morpho_blue.breakdown import breakdown_of
from keeper.venues.morpho_blue.codec import DECODERS, decode
from keeper.venues.morpho_blue.events import Change, Liquidated, PreLiquidated
from keeper.venues.morpho_blue.fold import Fold
from keeper.venues.morpho_blue.forms import Suspects
from keeper.venues.morpho_blue.liquidation import CEILING_SECONDS, Form, Outcome, form_of, liquidate
from keeper.venues.morpho_blue.market import Figures, Market, Position, Unknown, figures, market_at, position_of
from keeper.venues.morpho_blue.math import ORACLE_PRICE_SCALE, WAD
from keeper.venues.morpho_blue.protection import MorphoProtections
from keeper.venues.morpho_blue.reads import fold_reads, requests
from keeper.venues.morpho_blue.state import ONLY_ROW, BlockRow, State

LIQUIDATION_GAS = 400_000
"""Measured 87,000 to 145,000 on the local market; oracles and tokens of a real one cost more than ours."""
NOTHING = BaseAmount(0)
HEALTHY = Health(Status.HEALTHY)
LIQUIDATABLE = Health(Status.LIQUIDATABLE)


class MorphoLedger:
    """Implements :class:`keeper.core.venue.Ledger` for a market of Morpho Blue.

    ``liquidation_gas`` is what a call is expected to cost at most, in gas.
    """

    protocol = "morpho_blue"
    margin_kind = MarginKind.ISOLATED
    liquidation_gas = LIQUIDATION_GAS
    reading = None
    takeovers = None

    def __init__(self, spec: VenueSpec, state: State | None = None) -> None:
        isolated = spec.isolated
        if isinstance(isolated, msgspec.UnsetType):
            remedy = "give it the market's id and what a whole loan token counts as"
            raise ConfigError(f"venues.{spec.name}", "morpho_blue needs market and loan_usd", remedy)
        self.name = spec.name
        self.chain_id = spec.chain_id
        self.topics = tuple(sorted(DECODERS))
        self._morpho = spec.root
        self._id = isolated.market
        self._loan_price = int(isolated.loan_price)
        self._state = State() if state is None else state
        self._fold = Fold(self._state)
        self._suspects = Suspects(self._state)
        self._markets: dict[int, Market] = {}
        self._accounts: tuple[Address, ...] | None = None
        self.protections: ProtectionView | None = MorphoProtections(
            self._morpho, self._so_much_later, self.position, self._decode
        )

    @property
    def spender(self) -> Address:
        """The contract, which pulls the repaid tokens."""
        return self._morpho

    # What ingestion asks.

    def watched(self) -> tuple[Address, ...]:
        """The contract alone."""
        return (self._morpho,)

    def discover(self, logs: Iterable[RawLog]) -> tuple[Address, ...]:
        """Return nothing: no log makes another contract necessary.

        Raises:
            NodeMalformed: a log of the market is not what its event promises.
        """
        self._changes(logs)
        return ()

    def reads(self, logs: Iterable[RawLog]) -> tuple[ReadRequest, ...]:
        """Return the view calls needed at the end of a block that has these logs."""
        return requests(self._state, self._id, self._changes(logs))

    def _changes(self, logs: Iterable[RawLog]) -> list[Change]:
        return [change for log in logs if (change := self._decode(log)) is not None]

    def _decode(self, log: RawLog) -> Change | None:
        return decode(log, self._id) if log.address == self._morpho else None

    def starts(self, logs: Iterable[RawLog]) -> bool:  # noqa: ARG002 - no log does
        """Nothing does: what calls tell is needed at the head alone."""
        return False

    def tokens(self) -> tuple[Address, ...]:
        """The loan token; none before the market's creation was seen."""
        params = self._state.params.get(ONLY_ROW)
        return () if params is None else (params.loan_token,)

    # Folding.

    def begin_block(self, header: BlockHeader | BackfilledBlock) -> None:
        """Start a block; changes from here on belong to it."""
        self._state.tables.begin_block(header.number)
        self._state.block.set(ONLY_ROW, BlockRow(header.number, header.timestamp))
        self._markets.clear()

    def apply_log(self, log: RawLog) -> LiquidationSeen | None:
        """Fold one log; a liquidation is returned.

        Raises:
            NodeMalformed: the log is not what its event promises (refused before by :meth:`discover`).
        """
        change = self._decode(log)
        if change is None:
            return None
        self._fold.apply(log, change)
        self._markets.clear()
        self._accounts = None
        return self._seen(log, change) if isinstance(change, Liquidated) else None

    def _seen(self, log: RawLog, change: Liquidated | PreLiquidated) -> LiquidationSeen | None:
        params = self._state.params.get(ONLY_ROW)
        if params is None:
            return None
        return LiquidationSeen(
            self.name,
            change.account,
            change.liquidator,
            params.loan_token,
            params.collateral_token,
            TokenAmount(change.repaid_assets),
            TokenAmount(change.seized),
            log.tx_hash,
        )

    def apply_reads(self, reads: Sequence[ContractRead]) -> None:
        """Fold the block's reads; those of other venues are ignored."""
        fold_reads(self._state, self._id, reads)
        self._markets.clear()

    def undo_block(self, number: int) -> None:
        """Take back the newest block when it is ``number``; nothing when it is older."""
        if self._state.tables.undo_block(number):
            self._forget_derived()

    def forget_undo(self, number: int) -> None:
        """Blocks up to ``number`` are final."""
        self._state.tables.forget_undo(number)

    def _forget_derived(self) -> None:
        self._fold.forget_derived()
        self._markets.clear()
        self._accounts = None

    # Looking.

    def accounts(self) -> tuple[Address, ...]:
        """Every account with debt, sorted."""
        if self._accounts is None:
            self._accounts = tuple(self._fold.debtors())
        return self._accounts

    def owes(self, account: Address) -> bool:
        """Tell whether the account has borrowed."""
        return account in self._state.borrow_shares.rows

    def suspects(self) -> tuple[Address, ...]:
        """Every account with debt that its form does not prove healthy, sorted."""
        return self._suspects.at(self.market())

    def near(self, move_of: MoveOf) -> tuple[Address, ...]:
        """Every account that owes and that its form does not prove to survive such moves, sorted."""
        market = self.market()
        move = 0.0 if market.params is None else move_of(market.params.collateral_token)
        return self._suspects.near(market, move)

    def asset_prices(self) -> tuple[AssetPrice, ...]:
        """The collateral's price in loan tokens (1e36); nothing before the market is known."""
        market = self.market()
        if market.params is None:
            return ()
        price = None if market.doubt is not None or not market.price else BigInt(market.price)
        return (AssetPrice(market.params.collateral_token, price),)

    def totals(self) -> VenueTotals:
        """Return the number of borrowers and the contract's own total of what is owed."""
        market = self.market()
        owed = int(market.totals.borrow_assets) if market.doubt is None else 0
        return VenueTotals(len(self._state.borrow_shares.rows), market.value(owed))

    def owed_within(self, bounds: Sequence[float]) -> tuple[BaseAmount, ...]:
        """Return what is owed within each distance of the line."""
        market = self.market()
        return tuple(market.value(round(owed)) for owed in self._suspects.owed_within(market, bounds))

    def margin(self, account: Address) -> AccountMargin:
        """Return the account's margin at the current block's timestamp.

        The contract has no health figure, only a verdict; the figure is what may be owed over what is owed, rounded
        down, which is below one exactly when the verdict is against the account.
        """
        market, found = self.market(), self.figures(account)
        epoch = Epoch(*self._state.epoch(account))
        if isinstance(found, Unknown):
            health = Health(Status.UNKNOWN, found.reason)
            return AccountMargin(self.name, account, epoch, health, None, NOTHING, NOTHING)
        below = found.health is not None and found.health < WAD
        health_wad = None if found.health is None else Wad(found.health)
        values = (market.value(found.collateral_value), market.value(found.debt))
        return AccountMargin(self.name, account, epoch, LIQUIDATABLE if below else HEALTHY, health_wad, *values)

    def breakdown(self, account: Address) -> MarginBreakdown:
        """Return the account's margin in the market, in loan tokens."""
        return breakdown_of(self.market(), self.position(account))

    def figures(self, account: Address, at_timestamp: int | None = None) -> Figures | Unknown:
        """Return an account's figures at the block's timestamp or a later one (seconds)."""
        return figures(self.market(at_timestamp), self.position(account))

    def position(self, account: Address) -> Position:
        """Return what the contract keeps of an account in this market."""
        return position_of(self._state, account)

    def market(self, at_timestamp: int | None = None) -> Market:
        """Return the market at the block's timestamp or a later one (seconds)."""
        timestamp = self._state.now.timestamp if at_timestamp is None else at_timestamp
        market = self._markets.get(timestamp)
        if market is None:
            market = self._markets[timestamp] = market_at(self._state, self._loan_price, timestamp)
        return market

    def _so_much_later(self, seconds: int) -> Market:
        return self.market(self._state.now.timestamp + seconds)

    def _ceiling(self, at_timestamp: int | None = None) -> Market:
        return self.market(self.market(at_timestamp).timestamp + CEILING_SECONDS)

    def pairs(self, account: Address) -> tuple[Pair, ...]:
        """Return the market's one pair when the account may be liquidated now."""
        return liquidation.pairs(self.market(), self._ceiling(), self.position(account))

    def preview(
        self,
        account: Address,
        debt_asset: Address,
        collateral_asset: Address,
        cover: TokenAmount,
        at_timestamp: int | None = None,
    ) -> Preview:
        """Return what the contract would do at the block's timestamp, or a later one (seconds)."""
        markets = (self.market(at_timestamp), self._ceiling(at_timestamp))
        return liquidation.preview(*markets, self.position(account), (debt_asset, collateral_asset), int(cover))

    def outcome(self, account: Address, form: Form, at_timestamp: int | None = None) -> Outcome | str:
        """Return what the contract would do if it were called in this very form, or its error."""
        return liquidate(self.market(at_timestamp), self.position(account), form)

    def value_base(self, token: Address, amount: TokenAmount) -> BaseAmount | None:
        """Value the loan token as configured and the collateral by the oracle; ``None`` when that is unknown."""
        market = self.market()
        params = market.params
        if params is None or market.doubt is not None:
            return None
        if token == params.loan_token:
            return market.value(int(amount))
        return self._collateral_value(market, int(amount)) if token == params.collateral_token else None

    def _collateral_value(self, market: Market, assets: int) -> BaseAmount | None:
        return market.value(assets * market.price // ORACLE_PRICE_SCALE)

    # Auditing.

    def audit_reads(self, accounts: Sequence[Address]) -> tuple[ReadRequest, ...]:
        """Return the calls of the market and of each account's position."""
        return audit.requests(self._morpho, self._id, accounts)

    def audit_findings(self, reads: Sequence[ContractRead]) -> tuple[AuditFinding, ...]:
        """Compare positions and the market's debt with ours, to the last share."""
        ours = [read for read in reads if read.target == self._morpho]
        return tuple(audit.findings(self._id, ours, self._state.market, self.position))

    # Acting.

    def liquidation_call(self, account: Address, preview: Preview) -> Call:
        """Return the transaction that executes a preview."""
        params = self._state.params.get(ONLY_ROW)
        if params is None:
            invariant(condition=False, thing=self.name, reason="a call was wanted before the market was known")
            raise AssertionError
        form = form_of(self.market(), self._ceiling(), self.position(account), int(preview.cover))
        return calls.liquidation_call(self._morpho, params, account, form)

    def approval_call(self, token: Address, amount: TokenAmount) -> Call:
        """Return the transaction that lets the contract take a token from the signer."""
        return approval_call(token, self._morpho, amount)

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
