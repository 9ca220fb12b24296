"""The ledger of one Perpetual Protocol v2 deployment: every taker's margin, exact at the block's timestamp.

There are two ways to liquidate. Collateral that is sold for debt speaks the words of every venue: ``pairs``,
``preview`` (:mod:`keeper.venues.perp_v2.sales`). A position is taken over at the mark price: ``takeovers``
(:mod:`keeper.venues.perp_v2.takeovers`); :meth:`PerpLedger.foretell` says that in the protocol's own words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from keeper.core.errors import ConfigError, NodeMalformed
from keeper.core.facts import BackfilledBlock, BlockHeader, ContractRead, RawLog, ReadRequest
from keeper.core.ids import ADDRESS_LENGTH, Address
from keeper.core.margin import MarginBreakdown, MarginKind
from keeper.core.risk import AssetPrice, MoveOf
from keeper.core.runconfig import ExchangeSpec, VenueSpec
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
    owed_within,
)
from keeper.venues.abi import WORD, address_word, approval_call
from keeper.venues.perp_v2 import calls
from keeper.venues.perp_v2.breakdown import breakdown_of, told
from keeper.venues.perp_v2.codec import DECODERS, decode
from keeper.venues.perp_v2.events import Change, CollateralLiquidated, PoolAdded, PositionLiquidated
from keeper.venues.perp_v2.fold import Fold, takers
from keeper.venues.perp_v2.liquidation import NOT_ENOUGH, Foretold, Refused
from keeper.venues.perp_v2.margin import MAKER, Figures, account_of, figures_of, known
from keeper.venues.perp_v2.market import Now, Unknown, now_of
from keeper.venues.perp_v2.math import WAD, divide, from_settlement
from keeper.venues.perp_v2.reads import ACCOUNT_VALUE, fold_reads, requests
from keeper.venues.perp_v2.sales import Sales, seen
from keeper.venues.perp_v2.state import ONLY_ROW, BlockRow, PerpContracts, State
from keeper.venues.perp_v2.takeovers import BASE_UNIT, PerpTakeovers, taken_over

LIQUIDATION_GAS = 2_500_000
"""Measured 1,180,000 to 1,410,000 for a takeover and up to 2,300,000 for a sale of collateral on the local exchange."""


class PerpLedger:
    """Implements :class:`keeper.core.venue.Ledger` for the takers of one deployment.

    Its contracts are told, as no event names them. ``sales`` is what may be sold of their collateral, in this
    protocol's words. ``liquidation_gas`` is what a call is expected to cost at most.
    """

    protocol = "perp_v2"
    margin_kind = MarginKind.CROSS
    liquidation_gas = LIQUIDATION_GAS
    reading = None

    def __init__(self, spec: VenueSpec) -> None:
        contracts = contracts_of(spec)
        self.name = spec.name
        self.chain_id = spec.chain_id
        self.topics = tuple(sorted(DECODERS))
        self._contracts = contracts
        self._decimals = contracts.settlement_decimals
        self._state = State()
        self._fold = Fold(self._state, contracts)
        self.sales = Sales(self._state, contracts, self._at_block)
        self._now: Now | Unknown | None = None
        self.protections = None  # a deposit for another is not built
        self.takeovers = PerpTakeovers(self._state, contracts, self._at_block)

    @property
    def spender(self) -> Address:
        """The vault, which pulls what is repaid."""
        return self._contracts.vault

    def tokens(self) -> tuple[Address, ...]:
        """The settlement token: the only one that anything is repaid in."""
        return (self._contracts.settlement,)

    # What ingestion asks.

    def watched(self) -> tuple[Address, ...]:
        """The deployment's contracts, every market's base token and pool."""
        found = self._own()
        for base, market in self._state.listed():
            found |= {base, market.pool}
        return tuple(sorted(found))

    def _own(self) -> set[Address]:
        contracts = self._contracts
        return {
            *(contracts.clearing_house, contracts.account_balance, contracts.exchange, contracts.vault),
            *(contracts.config, contracts.collateral_manager, contracts.registry),
        }

    def discover(self, logs: Iterable[RawLog]) -> tuple[Address, ...]:
        """Return the base tokens and pools that these logs list.

        Raises:
            NodeMalformed: a log of a watched contract is not what its event promises.
        """
        listed = [change for change in self._changes(logs) if isinstance(change, PoolAdded)]
        return tuple(sorted({address for change in listed for address in (change.base, change.pool)}))

    def reads(self, logs: Iterable[RawLog]) -> tuple[ReadRequest, ...]:
        """Return the view calls needed at the end of a block that has these logs."""
        return requests(self._state, self._contracts, self._changes(logs))

    def starts(self, logs: Iterable[RawLog]) -> bool:
        """Tell whether a market is listed: no event tells its pool's price, or the configuration, as they were then."""
        return any(isinstance(change, PoolAdded) for change in self._changes(logs))

    def _changes(self, logs: Iterable[RawLog]) -> list[Change]:
        decoded = ((log, self._decode(log)) for log in logs)
        listing = self._contracts.registry
        return [
            change
            for log, change in decoded
            if change is not None and (log.address == listing or not isinstance(change, PoolAdded))
        ]

    def _decode(self, log: RawLog) -> Change | None:
        """Decode a log that may be ours; one that does not decode is nobody's unless it is ours."""
        try:
            return decode(log)
        except NodeMalformed:
            if log.address in self.watched():
                raise
            return None

    # Folding.

    def begin_block(self, header: BlockHeader | BackfilledBlock) -> None:
        """Start a block; changes from here on belong to it."""
        self._state.tables.begin_block(header.number)
        self._state.block.set(ONLY_ROW, BlockRow(header.number, header.timestamp))
        self._now = None

    def apply_log(self, log: RawLog) -> LiquidationSeen | None:
        """Fold one log; a liquidation is returned.

        Raises:
            NodeMalformed: the log is not what its event promises (refused before by :meth:`discover`).
        """
        change = self._decode(log)
        if change is None:
            return None
        self._now = None
        if isinstance(change, PositionLiquidated):
            own = log.address == self._contracts.clearing_house
            return taken_over(self.name, self._contracts, log, change) if own else None
        self._fold.apply(log, change)
        if isinstance(change, CollateralLiquidated) and log.address == self._contracts.vault:
            return seen(self.name, self._contracts.settlement, log, change)
        return None

    def apply_reads(self, reads: Sequence[ContractRead]) -> None:
        """Fold the block's reads; those of other venues are ignored."""
        fold_reads(self._state, self._contracts, reads)
        self._now = None

    def undo_block(self, number: int) -> None:
        """Take back the newest block when it is ``number``; nothing when it is older."""
        if self._state.tables.undo_block(number):
            self._forget_derived()

    def forget_undo(self, number: int) -> None:
        """Blocks up to ``number`` are final."""
        self._state.tables.forget_undo(number)

    def _forget_derived(self) -> None:
        self._fold.forget_derived()
        self._now = None

    # Looking.

    def accounts(self) -> tuple[Address, ...]:
        """Everyone with a position, with liquidity that may become one, or with collateral for a debt, sorted."""
        return tuple(sorted({*takers(self._state), *self._state.providers(), *self.sales.debtors()}))

    def figures(self, account: Address) -> Figures | Unknown:
        """Return the account's figures as the contracts compute them, or why they are not known."""
        now = self._at_block()
        if isinstance(now, Unknown):
            return now
        held = account_of(self._state, self._contracts, account)
        return held if isinstance(held, Unknown) else figures_of(now, held, self._decimals)

    def owes(self, account: Address) -> bool:
        """Tell whether the account is one of :meth:`accounts`."""
        return account in self.accounts()

    def suspects(self) -> tuple[Address, ...]:
        """Everyone: funding grows with the square of what it moves, so no linear form bounds an account's margin."""
        return self.accounts()

    def near(self, move_of: MoveOf) -> tuple[Address, ...]:  # noqa: ARG002 - nobody is screened here
        """Everyone, for the same reason."""
        return self.accounts()

    def asset_prices(self) -> tuple[AssetPrice, ...]:
        """Every market's mark price and every collateral's price (1e18), in the order of their addresses."""
        now = self._at_block()
        if isinstance(now, Unknown):
            return ()
        marks = {base: known(market) for base, market in now.markets.items()}
        found = {base: None if isinstance(told, Unknown) else BigInt(told[0]) for base, told in marks.items()}
        for token, collateral in now.collaterals.items():
            found[token] = None if isinstance(collateral, Unknown) else BigInt(collateral.price)
        return tuple(AssetPrice(asset, found[asset]) for asset in sorted(found))

    def totals(self) -> VenueTotals:
        """Add everyone up."""
        return VenueTotals.of(map(self.margin, self.accounts()))

    def owed_within(self, bounds: Sequence[float]) -> tuple[BaseAmount, ...]:
        """Return what is owed within each distance of the line."""
        return owed_within(map(self.margin, self.accounts()), bounds)

    def margin(self, account: Address) -> AccountMargin:
        """Return the account's margin at the current block's timestamp.

        ``health_wad`` is account value over requirement; ``collateral_base`` and ``debt_base`` are account value
        (nothing when it is negative) and requirement, 1e-8 of the settlement token. An account is liquidatable when
        either way is open: its positions may be taken over (the ratio is below one then, and only then), or its
        collateral sold, which may be so at any ratio, and without one where there is no position.
        """
        known = self._value_and_requirement(account)
        epoch = Epoch(*self._state.epoch(account))
        if isinstance(known, Unknown):
            unknown = Health(Status.UNKNOWN, known.reason)
            return AccountMargin(self.name, account, epoch, unknown, None, BaseAmount(0), BaseAmount(0))
        value, need = known
        health = Health(Status.LIQUIDATABLE) if value < need else self._health_of_sale(account)
        ratio = Wad(divide(value * WAD, need)) if need > 0 else None
        worth, wanted = (BaseAmount(max(each, 0) * BaseAmount.ONE // WAD) for each in (value, need))
        return AccountMargin(self.name, account, epoch, health, ratio, worth, wanted)

    def _health_of_sale(self, account: Address) -> Health:
        is_open = self.sales.is_open(account)
        if isinstance(is_open, Unknown):
            return Health(Status.UNKNOWN, is_open.reason)
        return Health(Status.LIQUIDATABLE if is_open else Status.HEALTHY)

    def breakdown(self, account: Address) -> MarginBreakdown:
        """Return the account's margin term by term, 1e-18 of the settlement token."""
        now, held = self._at_block(), account_of(self._state, self._contracts, account)
        if not isinstance(now, Unknown) and not isinstance(held, Unknown):
            found = figures_of(now, held, self._decimals)
            if not isinstance(found, Unknown):
                own = breakdown_of(now, held, found, self._contracts)
                return msgspec.structs.replace(own, buckets=own.buckets + self.sales.buckets(account))
        said = self._value_and_requirement(account)
        if isinstance(said, Unknown):
            return MarginBreakdown(self.margin_kind, (), said.reason)
        return told(self._contracts, *said)

    def _value_and_requirement(self, account: Address) -> tuple[int, int] | Unknown:
        """Return both, 1e-18: our own figures of a taker, the contracts' of one that provides liquidity."""
        figures = self.figures(account)
        if not isinstance(figures, Unknown):
            return from_settlement(figures.account_value, self._decimals), figures.requirement
        maker = self._state.makers.get(account)
        if figures.reason != MAKER or maker is None:
            return figures
        if maker.at != self._state.now.number or maker.value is None or maker.requirement is None:
            return Unknown("the contracts gave no figures of it at this block")
        return int(maker.value), int(maker.requirement)

    def _at_block(self) -> Now | Unknown:
        if self._now is None:
            self._now = now_of(self._state)
        return self._now

    def foretell(self, trader: Address, base: Address, size: int, liquidator: Address) -> Foretold | Refused | Unknown:
        """Return what ``liquidate`` would do at the block's timestamp, sent by this liquidator.

        ``size`` is signed as the position, 1e-18; 0 asks for the most.
        """
        told = self.takeovers.foretell(trader, base, size, liquidator)
        return Refused(NOT_ENOUGH) if isinstance(told, Foretold) and told.free_collateral_after < 0 else told

    def value_base(self, token: Address, amount: TokenAmount) -> BaseAmount | None:
        """Value settlement and quote tokens as dollars, a collateral at the vault's price, a base token at the mark."""
        now = self._at_block()
        if token == self._contracts.quote:
            return BaseAmount(int(amount) // BASE_UNIT)
        market = None if isinstance(now, Unknown) else now.markets.get(token)
        if market is None:
            return self.sales.value_base(token, int(amount))
        return None if isinstance(market.mark, Unknown) else BaseAmount(int(amount) * market.mark // WAD // BASE_UNIT)

    def pairs(self, account: Address) -> tuple[Pair, ...]:
        """Every token of the account that may be sold for its debt now, and the most that is repaid for it."""
        return self.sales.pairs(account)

    def preview(self, account: Address, debt_asset: Address, collateral_asset: Address, cover: TokenAmount) -> Preview:
        """Return what a sale of collateral would do at the block's timestamp."""
        return self.sales.preview(account, debt_asset, collateral_asset, int(cover))

    # Auditing.

    def audit_reads(self, accounts: Sequence[Address]) -> tuple[ReadRequest, ...]:
        """Return a call of ``getAccountValue`` for each account."""
        house = self._contracts.clearing_house
        return tuple(ReadRequest(house, ACCOUNT_VALUE + address_word(account)) for account in accounts)

    def audit_findings(self, reads: Sequence[ContractRead]) -> tuple[AuditFinding, ...]:
        """Compare the clearing house's account values with ours; a side without a figure leaves the account out."""
        found: list[AuditFinding] = []
        for read in reads:
            output = read.output
            ours = read.target == self._contracts.clearing_house and read.calldata.startswith(ACCOUNT_VALUE)
            if not ours or output is None or len(output) != WORD:
                continue
            account = Address(read.calldata[-ADDRESS_LENGTH:])
            figures = self.figures(account)
            if not isinstance(figures, Unknown):
                value = from_settlement(figures.account_value, self._decimals)
                found.append(AuditFinding(account, str(value), str(int.from_bytes(output, "big", signed=True))))
        return tuple(found)

    # Acting.

    def liquidation_call(self, account: Address, preview: Preview) -> Call:
        """Return the transaction that executes a preview; a sale pays the cover, neither more nor less."""
        token, cover, contracts = preview.collateral_asset, int(preview.cover), self._contracts
        if preview.takeover is not None:
            size = self.takeovers.signed(account, token, cover)
            return calls.takeover_call(contracts.clearing_house, account, token, size)
        return calls.sale_call(contracts.vault, account, token, cover, in_settlement=True)

    def approval_call(self, token: Address, amount: TokenAmount) -> Call:
        """Return the transaction that lets the vault take a token from the signer."""
        return approval_call(token, self.spender, amount)

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


def contracts_of(spec: VenueSpec) -> PerpContracts:
    """Return the contracts of a venue.

    Raises:
        ConfigError: they are not configured.
    """
    told = spec.contracts
    if not isinstance(told, ExchangeSpec):
        raise ConfigError(f"venues.{spec.name}", "perp_v2 needs its contracts", f"write [venues.{spec.name}.contracts]")
    return PerpContracts(clearing_house=spec.root, **msgspec.structs.asdict(told))
