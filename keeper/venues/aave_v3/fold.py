"""Changes into rows: the one place where the state moves by logs.

Every change is accepted only from the contract that may state it. Balances are kept scaled, as the contracts keep
them, and recovered from events that print unscaled amounts: a ``Mint`` prints the accrual too, a burn smaller than the
accrual is printed as a ``Mint``, and a transfer's accrual is a ``Mint`` of nothing else. Interest has the timestamp
of the block, which no event carries.

How balances are scaled depends on the pool's revision. From the log that makes it unknown (the pool is named, or
upgraded) until it has been read, logs wait, each with its block: then they are folded in their order, by the rules of
the revision that was read. Balances that moved under a revision without rules cannot be told from what was printed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from keeper.core.facts import RawLog
from keeper.core.ids import ZERO_ADDRESS, Address
from keeper.core.units import BigInt
from keeper.venues.aave_v3.codec import PRICE_ORACLE, decode
from keeper.venues.aave_v3.events import (
    ActiveSet,
    AddressSet,
    AnswerUpdated,
    AssetCategorySet,
    CategoryLtvZeroSet,
    CategoryMemberSet,
    CategorySet,
    Change,
    CollateralConfigured,
    CollateralToggled,
    GraceSet,
    Liquidated,
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
from keeper.venues.aave_v3.market import debt_index, income
from keeper.venues.aave_v3.naming import NAMED, renamed
from keeper.venues.aave_v3.owing import Owing
from keeper.venues.aave_v3.rules import RULES, Rules
from keeper.venues.aave_v3.state import (
    ONLY_ROW,
    Category,
    Following,
    Interest,
    PriceRow,
    Reserve,
    StableDebt,
    State,
    WaitingRow,
)

NEW_SOURCE = "its price source changed and was not read yet"
OVERDRAWN = "more was burnt than was ever minted: a log is missing or the token's rules changed"
UPGRADED = "one of its tokens was upgraded"
MOVED_UNSEEN = "a balance moved while the pool was of a revision without rules"


class Fold:
    """Applies changes to a state. ``root`` is the PoolAddressesProvider, ``owing`` knows who has debt."""

    def __init__(self, state: State, root: Address) -> None:
        self._state = state
        self._root = root
        self.owing = Owing(state)
        self._roles: dict[bytes, tuple[Address, Reserve]] | None = None
        self._rules: Rules | None = None
        self._handlers: dict[type, Callable[[RawLog, Any], None]] = {
            AddressSet: self._address_set,
            Upgraded: self._upgraded,
            ReserveInitialized: self._reserve_initialized,
            ReserveDropped: self._reserve_dropped,
            TokenInitialized: self._token_initialized,
            CollateralConfigured: self._collateral_configured,
            CategorySet: self._category_set,
            AssetCategorySet: self._asset_category_set,
            CategoryMemberSet: self._category_member_set,
            CategoryLtvZeroSet: self._category_ltv_zero_set,
            GraceSet: self._grace_set,
            ProtocolFeeSet: self._protocol_fee_set,
            ActiveSet: self._active_set,
            PausedSet: self._paused_set,
            RatesUpdated: self._rates_updated,
            CollateralToggled: self._collateral_toggled,
            ModeSet: self._mode_set,
            Liquidated: self._liquidated,
            ScaledMinted: self._scaled_minted,
            ScaledBurned: self._scaled_burned,
            ScaledTransferred: self._scaled_transferred,
            StableMinted: self._stable_minted,
            StableBurned: self._stable_burned,
            SourceSet: self._source_set,
            AnswerUpdated: self._answer_updated,
        }

    def apply(self, log: RawLog, change: Change) -> None:
        """Fold one change, if the contract that states it may, or let it wait for the pool's revision."""
        market = self._state.market
        if market.revision is None and market.pool != ZERO_ADDRESS and not isinstance(change, AddressSet):
            key = self._state.now.number.to_bytes(8, "big") + log.log_index.to_bytes(4, "big")
            self._state.waiting.set(key, WaitingRow(self._state.now, log))
            return
        self._rules = RULES.get(market.revision or 0)
        self._fold(log, change)

    def settle(self) -> bool:
        """Fold what waited, when the pool's revision is known: each log at its own block, by the rules that held.

        Return whether anything waited.
        """
        state, revision = self._state, self._state.market.revision
        if revision is None or not state.waiting.rows:
            return False
        now, rows = state.now, state.queue()
        changes = [(key, row, decode(row.log)) for key, row in rows]
        upgrades = [key for key, row, change in changes if self._is_upgrade(row.log, change)]
        for key, row, change in changes:
            state.waiting.set(key, None)
            if change is not None and key not in upgrades:
                state.block.set(ONLY_ROW, row.block)
                self._rules = RULES.get(revision) if not upgrades or key > upgrades[-1] else None
                self._fold(row.log, change)
        state.block.set(ONLY_ROW, now)
        return True

    def _is_upgrade(self, log: RawLog, change: Change | None) -> bool:
        return isinstance(change, Upgraded) and log.address == self._state.market.pool

    def _fold(self, log: RawLog, change: Change) -> None:
        handler = self._handlers.get(type(change))
        if handler is not None:
            handler(log, change)

    def forget_derived(self) -> None:
        """Drop what is derived from rows, after rows changed by other ways than a log."""
        self._roles = None
        self.owing.forget()

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
            for asset in list(self._state.liquidity.rows):
                self._state.liquidity.set(asset, None)
        elif (role := self.role(log.address)) is not None and not self._state.reserves[role[0]].doubt:
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

    def _grace_set(self, log: RawLog, change: GraceSet) -> None:
        self._configure(log, change.asset, grace_until=change.until)

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
        before = self._state.categories.get(key) or Category()
        row = replace(before, ltv=change.ltv, threshold=change.threshold, bonus=change.bonus)
        if self._rules is None or not self._rules.member_lists:
            row = replace(row, price_source=change.price_source)
        self._state.categories.set(key, row)
        self._forget_price(before.price_source)

    def _category_member_set(self, log: RawLog, change: CategoryMemberSet) -> None:
        self._set_member(log, change.asset, change.category, "collateral", wanted=change.member)

    def _category_ltv_zero_set(self, log: RawLog, change: CategoryLtvZeroSet) -> None:
        self._set_member(log, change.asset, change.category, "without_ltv", wanted=change.zero)

    def _set_member(self, log: RawLog, asset: Address, category: int, field: str, *, wanted: bool) -> None:
        reserve = self._state.reserves.get(asset)
        if reserve is None or log.address != self._state.market.configurator:
            return
        row = self._state.categories.get(bytes([category])) or Category()
        bits, bit = getattr(row, field), 1 << reserve.index
        new = replace(row, **{field: BigInt(bits | bit if wanted else bits & ~bit)})
        self._state.categories.set(bytes([category]), new)

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
            self.owing.set_bit(change.user, 2 * reserve.index + 1, log.log_index, wanted=change.enabled)

    def _mode_set(self, log: RawLog, change: ModeSet) -> None:
        if log.address == self._state.market.pool and self._state.modes.set(change.user, change.category or None):
            self._state.mark_epoch(change.user, log.log_index)

    def _liquidated(self, log: RawLog, change: Liquidated) -> None:
        """Accrue the collateral's interest, which a liquidation paid in aTokens does without an event of its own."""
        row, rules, now = self._state.interest.get(change.collateral_asset), self._rules, self._state.now.timestamp
        if log.address != self._state.market.pool or row is None or not change.in_a_tokens or row.since == now:
            return
        if rules is None:
            self._doubt(change.collateral_asset, MOVED_UNSEEN)
        if rules is None or not rules.silent_accrual:
            return
        variable_index = row.variable_index
        if row.liquidity_rate or self._is_owed(change.collateral_asset):
            variable_index = BigInt(debt_index(row, rules, now))
        accrued = replace(row, liquidity_index=BigInt(income(row, now)), variable_index=variable_index, since=now)
        self._state.interest.set(change.collateral_asset, accrued)

    def _is_owed(self, asset: Address) -> bool:
        token = self._state.reserves[asset].variable_token
        return any(key.startswith(token) for key in self._state.scaled.rows)

    # The tokens: balances.

    def _scaled_minted(self, log: RawLog, change: ScaledMinted) -> None:
        self._change(log, change.user, change.value - change.interest, change.index)

    def _scaled_burned(self, log: RawLog, change: ScaledBurned) -> None:
        self._change(log, change.user, -change.value - change.interest, change.index)

    def _change(self, log: RawLog, user: Address, amount: int, index: int) -> None:
        """Change a balance by the amount that an event printed at an index."""
        role = self.role(log.address)
        if role is None or not amount or not index:
            return
        asset, reserve = role
        if self._rules is None:
            self._doubt(asset, MOVED_UNSEEN)
            return
        scaling = self._rules.owed if log.address == reserve.variable_token else self._rules.supplied
        scaled = self._state.scaled.get(log.address + user) or 0
        self._move(log, user, scaling.after(scaled, amount, index) - scaled)

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
        self.owing.set_bit(user, 2 * reserve.index, log.log_index, wanted=owes)

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


def answered(row: PriceRow, answer: int, block: int) -> PriceRow:
    """Return a price after its feed's answer; one that is not positive sends the oracle to its fallback, unwatched."""
    if answer <= 0:
        reason = f"its feed answers {answer}"
        return replace(row, value=None, at=block, reason=reason, following=Following.READ)
    following = Following.FOLLOWED if row.following is Following.READ else row.following
    return replace(row, value=BigInt(answer), at=block, reason="", following=following)
