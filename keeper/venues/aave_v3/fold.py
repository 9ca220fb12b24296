"""Changes into rows: the one place where the state moves by logs.

Every change is accepted only from the contract that may state it. Balances are kept scaled, as the contracts keep
them, and recovered from events that print unscaled amounts: a ``Mint`` prints the accrual too, a burn smaller than the
accrual is printed as a ``Mint``, and a transfer's accrual is a ``Mint`` of nothing else. Interest has the timestamp
of the block, which no event carries.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from keeper.core.facts import RawLog
from keeper.core.ids import ZERO_ADDRESS, Address
from keeper.core.units import BigInt
from keeper.venues.aave_v3.codec import POOL, POOL_CONFIGURATOR, PRICE_ORACLE, PRICE_ORACLE_SENTINEL
from keeper.venues.aave_v3.events import (
    ActiveSet,
    AddressSet,
    AnswerUpdated,
    AssetCategorySet,
    CategorySet,
    Change,
    CollateralConfigured,
    CollateralToggled,
    ModeSet,
    PausedSet,
    ProtocolFeeSet,
    RatesUpdated,
    ReserveDropped,
    ReserveInitialized,
    ScaledBurned,
    ScaledMinted,
    ScaledTransferred,
    SourceSet,
    StableBurned,
    StableMinted,
    TokenInitialized,
    Upgraded,
)
from keeper.venues.aave_v3.math import ray_div
from keeper.venues.aave_v3.state import (
    BORROWING_BITS,
    ONLY_ROW,
    Category,
    Contracts,
    Following,
    Interest,
    PriceRow,
    Reserve,
    StableDebt,
    State,
)

NAMED = {
    POOL: "pool",
    POOL_CONFIGURATOR: "configurator",
    PRICE_ORACLE: "oracle",
    PRICE_ORACLE_SENTINEL: "sentinel",
}
NEW_SOURCE = "its price source changed and was not read yet"
OVERDRAWN = "more was burnt than was ever minted: a log is missing or the token's rules changed"
UPGRADED = "one of its tokens was upgraded"


class Fold:
    """Applies changes to a state. ``root`` is the PoolAddressesProvider."""

    def __init__(self, state: State, root: Address) -> None:
        self._state = state
        self._root = root
        self._roles: dict[bytes, tuple[Address, Reserve]] | None = None
        self._debtors: list[Address] | None = None
        self._handlers: dict[type, Callable[[RawLog, Any], None]] = {
            AddressSet: self._address_set,
            Upgraded: self._upgraded,
            ReserveInitialized: self._reserve_initialized,
            ReserveDropped: self._reserve_dropped,
            TokenInitialized: self._token_initialized,
            CollateralConfigured: self._collateral_configured,
            CategorySet: self._category_set,
            AssetCategorySet: self._asset_category_set,
            ProtocolFeeSet: self._protocol_fee_set,
            ActiveSet: self._active_set,
            PausedSet: self._paused_set,
            RatesUpdated: self._rates_updated,
            CollateralToggled: self._collateral_toggled,
            ModeSet: self._mode_set,
            ScaledMinted: self._scaled_minted,
            ScaledBurned: self._scaled_burned,
            ScaledTransferred: self._scaled_transferred,
            StableMinted: self._stable_minted,
            StableBurned: self._stable_burned,
            SourceSet: self._source_set,
            AnswerUpdated: self._answer_updated,
        }

    def apply(self, log: RawLog, change: Change) -> None:
        """Fold one change, if the contract that states it may."""
        handler = self._handlers.get(type(change))
        if handler is not None:
            handler(log, change)

    def debtors(self) -> list[Address]:
        """Return the accounts with debt, sorted; not to be changed."""
        if self._debtors is None:
            rows = self._state.bitmaps.rows.items()
            self._debtors = sorted(Address(user) for user, bits in rows if bits & BORROWING_BITS)
        return self._debtors

    def forget_derived(self) -> None:
        """Drop what is derived from rows, after rows changed by other ways than a log."""
        self._roles = None
        self._debtors = None

    def role(self, token: bytes) -> tuple[Address, Reserve] | None:
        """Return the listed asset, and its reserve, that a token belongs to."""
        if self._roles is None:
            rows = self._state.listed()
            self._roles = {
                token: (asset, reserve)
                for asset, reserve in rows
                for token in (reserve.a_token, reserve.stable_token, reserve.variable_token)
            }
        return self._roles.get(token)

    # The provider and its proxies.

    def _address_set(self, log: RawLog, change: AddressSet) -> None:
        if log.address != self._root or change.identifier not in NAMED:
            return
        self._state.contracts.set(ONLY_ROW, renamed(self._state.market, change))
        if change.identifier == PRICE_ORACLE:
            for asset in list(self._state.prices.rows):
                self._state.prices.set(asset, None)

    def _upgraded(self, log: RawLog, _: Upgraded) -> None:
        market = self._state.market
        if log.address == market.pool:
            self._state.contracts.set(ONLY_ROW, replace(market, revision=None))
        elif (role := self.role(log.address)) is not None:
            self._doubt(role[0], UPGRADED)

    # The configurator: what is listed, and how.

    def _reserve_initialized(self, log: RawLog, change: ReserveInitialized) -> None:
        if log.address != self._state.market.configurator:
            return
        taken = {reserve.index for reserve in self._state.reserves.rows.values()}
        index = next(place for place in range(len(taken) + 1) if place not in taken)
        row = Reserve(index, change.a_token, change.stable_token, change.variable_token)
        self._set_reserve(change.asset, row)
        self._state.interest.set(change.asset, Interest())

    def _reserve_dropped(self, log: RawLog, change: ReserveDropped) -> None:
        reserve = self._state.reserves.get(change.asset)
        if reserve is not None and log.address == self._state.market.configurator:
            self._set_reserve(change.asset, None)
            self._state.interest.set(change.asset, None)
            self._state.liquidity.set(change.asset, None)
            self._state.decimals.set(reserve.a_token, None)
            self._forget_price(change.asset)

    def _token_initialized(self, log: RawLog, change: TokenInitialized) -> None:
        if change.pool == self._state.market.pool:
            self._state.decimals.set(log.address, change.decimals)

    def _collateral_configured(self, log: RawLog, change: CollateralConfigured) -> None:
        self._configure(log, change.asset, ltv=change.ltv, threshold=change.threshold, bonus=change.bonus)

    def _asset_category_set(self, log: RawLog, change: AssetCategorySet) -> None:
        self._configure(log, change.asset, category=change.category)

    def _protocol_fee_set(self, log: RawLog, change: ProtocolFeeSet) -> None:
        self._configure(log, change.asset, protocol_fee=change.fee)

    def _active_set(self, log: RawLog, change: ActiveSet) -> None:
        self._configure(log, change.asset, active=change.active)

    def _paused_set(self, log: RawLog, change: PausedSet) -> None:
        self._configure(log, change.asset, paused=change.paused)

    def _configure(self, log: RawLog, asset: Address, **fields: int | bool) -> None:
        reserve = self._state.reserves.get(asset)
        if reserve is not None and log.address == self._state.market.configurator:
            self._set_reserve(asset, replace(reserve, **fields))

    def _doubt(self, asset: Address, reason: str) -> None:
        self._set_reserve(asset, replace(self._state.reserves[asset], doubt=reason))

    def _set_reserve(self, asset: Address, reserve: Reserve | None) -> None:
        self._state.reserves.set(asset, reserve)
        self._roles = None

    def _category_set(self, log: RawLog, change: CategorySet) -> None:
        if log.address != self._state.market.configurator:
            return
        key = bytes([change.category])
        before = self._state.categories.get(key)
        row = Category(change.ltv, change.threshold, change.bonus, change.price_source)
        self._state.categories.set(key, row)
        if before is not None:
            self._forget_price(before.price_source)

    def _forget_price(self, asset: Address) -> None:
        """Drop the price of what the oracle is not asked about any more."""
        if asset not in self._state.priced():
            self._state.prices.set(asset, None)

    # The pool: interest, collateral, efficiency mode.

    def _rates_updated(self, log: RawLog, change: RatesUpdated) -> None:
        if log.address != self._state.market.pool or change.asset not in self._state.reserves.rows:
            return
        row = Interest(
            BigInt(change.liquidity_index),
            BigInt(change.liquidity_rate),
            BigInt(change.variable_index),
            BigInt(change.variable_rate),
            self._state.now.timestamp,
        )
        self._state.interest.set(change.asset, row)
        self._state.liquidity.set(change.asset, None)

    def _collateral_toggled(self, log: RawLog, change: CollateralToggled) -> None:
        reserve = self._state.reserves.get(change.asset)
        if reserve is not None and log.address == self._state.market.pool:
            self._set_bit(change.user, 2 * reserve.index + 1, log, wanted=change.enabled)

    def _mode_set(self, log: RawLog, change: ModeSet) -> None:
        if log.address == self._state.market.pool and self._state.modes.set(change.user, change.category or None):
            self._state.mark_epoch(change.user, log.log_index)

    # The tokens: balances.

    def _scaled_minted(self, log: RawLog, change: ScaledMinted) -> None:
        amount = change.value - change.interest
        scaled = ray_div(abs(amount), change.index) if change.index else 0
        self._move(log, change.user, scaled if amount >= 0 else -scaled)

    def _scaled_burned(self, log: RawLog, change: ScaledBurned) -> None:
        self._move(log, change.user, -ray_div(change.value + change.interest, change.index) if change.index else 0)

    def _scaled_transferred(self, log: RawLog, change: ScaledTransferred) -> None:
        self._move(log, change.sender, -change.scaled)
        self._move(log, change.recipient, change.scaled)

    def _move(self, log: RawLog, user: Address, scaled: int) -> None:
        """Add to (or take from) a scaled balance of the token that emitted the log."""
        role = self.role(log.address)
        if role is None or not scaled:
            return
        asset, reserve = role
        key = log.address + user
        balance = (self._state.scaled.get(key) or 0) + scaled
        if balance < 0:
            self._doubt(asset, OVERDRAWN)
            balance = 0
        self._state.scaled.set(key, balance or None)
        self._state.mark_epoch(user, log.log_index)
        if log.address == reserve.variable_token:
            self._settle_borrowing(log, user, reserve)

    def _stable_minted(self, log: RawLog, change: StableMinted) -> None:
        self._move_stable(log, change.user, change.amount, change.rate)

    def _stable_burned(self, log: RawLog, change: StableBurned) -> None:
        self._move_stable(log, change.user, -change.amount, None)

    def _move_stable(self, log: RawLog, user: Address, amount: int, rate: int | None) -> None:
        role = self.role(log.address)
        if role is None:
            return
        key = log.address + user
        row = self._state.stable.get(key) or StableDebt(BigInt(0), BigInt(0), 0)
        principal = row.principal + amount
        if principal < 0:
            self._doubt(role[0], OVERDRAWN)
        new = StableDebt(BigInt(principal), row.rate if rate is None else BigInt(rate), self._state.now.timestamp)
        self._state.stable.set(key, new if principal > 0 else None)
        self._state.mark_epoch(user, log.log_index)
        self._settle_borrowing(log, user, role[1])

    def _settle_borrowing(self, log: RawLog, user: Address, reserve: Reserve) -> None:
        """Set the borrowing bit, for which there is no event, to whether there is debt."""
        variable, stable = self._state.scaled.rows, self._state.stable.rows
        owes = reserve.variable_token + user in variable or reserve.stable_token + user in stable
        self._set_bit(user, 2 * reserve.index, log, wanted=owes)

    def _set_bit(self, user: Address, place: int, log: RawLog, *, wanted: bool) -> None:
        old = self._state.bitmaps.get(user) or 0
        new = old | 1 << place if wanted else old & ~(1 << place)
        if new == old:
            return
        self._state.bitmaps.set(user, new or None)
        self._state.mark_epoch(user, log.log_index)
        self._sort_debtor(user, owed=bool(old & BORROWING_BITS), owes=bool(new & BORROWING_BITS))

    def _sort_debtor(self, user: Address, *, owed: bool, owes: bool) -> None:
        if self._debtors is None or owed == owes:
            return
        if owes:
            insort(self._debtors, user)
        else:
            del self._debtors[bisect_left(self._debtors, user)]

    # The oracle and its feeds, when prices are followed by events.

    def _source_set(self, log: RawLog, change: SourceSet) -> None:
        if log.address != self._state.market.oracle:
            return
        following = Following.READ if change.source == ZERO_ADDRESS else Following.FOLLOWED
        row = PriceRow(None, self._state.now.number, NEW_SOURCE, change.source, following)
        self._state.prices.set(change.asset, row)

    def _answer_updated(self, log: RawLog, change: AnswerUpdated) -> None:
        for asset, row in list(self._state.prices.rows.items()):
            if row.source == log.address:
                self._state.prices.set(asset, answered(row, change.answer, self._state.now.number))


def renamed(market: Contracts, change: AddressSet) -> Contracts:
    """Return the market's contracts after the provider named one of them."""
    field = NAMED.get(change.identifier)
    if field is None:
        return market
    named: dict[str, Any] = {field: change.address}
    if change.identifier == POOL:
        named["revision"] = None
    if change.identifier == PRICE_ORACLE_SENTINEL:
        named |= {"sentinel_allows": None, "sentinel_read_at": -1}
    return replace(market, **named)


def answered(row: PriceRow, answer: int, block: int) -> PriceRow:
    """Return a price after its feed's answer; one that is not positive sends the oracle to its fallback, unwatched."""
    if answer <= 0:
        reason = f"its feed answers {answer}"
        return replace(row, value=None, at=block, reason=reason, following=Following.READ)
    following = Following.FOLLOWED if row.following is Following.READ else row.following
    return replace(row, value=BigInt(answer), at=block, reason="", following=following)
