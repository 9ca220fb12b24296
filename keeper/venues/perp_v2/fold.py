"""Changes into rows: the one place where the state moves by logs.

Every change is accepted only from the contract that may state it. Three figures are not in any event and follow from
the order of the logs: the funding growth (from the pool's ticks and the index price that ``FundingUpdated`` prints),
the growth a taker was last settled at (it is settled before whatever moves its position), and what a withdrawal
settles (the fraction of a settlement token that is lost).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from keeper.core.facts import RawLog
from keeper.core.ids import ADDRESS_LENGTH, Address
from keeper.core.units import BigInt
from keeper.venues.perp_v2.averages import growth_at, moved
from keeper.venues.perp_v2.events import (
    BadDebtSettled,
    Change,
    CollateralAdded,
    CollateralFeedChanged,
    CollateralLiquidated,
    CollateralRatioChanged,
    ConfigChanged,
    DebtThresholdGiven,
    Deposited,
    DiscountRatioChanged,
    FundingSettled,
    FundingUpdated,
    LiquidityChanged,
    PauseChanged,
    PnlRealized,
    PoolAdded,
    PositionChanged,
    PositionClosed,
    StatusUpdated,
    Swapped,
    TermsChanged,
    Withdrawn,
)
from keeper.venues.perp_v2.math import DUST, to_settlement
from keeper.venues.perp_v2.state import ONLY_ROW, Amount, Collateral, Market, PerpContracts, Position, State

KEPT_SECONDS_MIN = 3_600
UNREAD = "its pool traded before the pool's price was read"
UNCONFIGURED = "its funding was updated before the configuration was read"
TERM_AMOUNTS = ("threshold", "dust")
SETTLED_CLOSED = "a position was settled after the market had closed"


class Fold:
    """Applies changes to a state."""

    def __init__(self, state: State, contracts: PerpContracts) -> None:
        self._state = state
        self._contracts = contracts
        self._pools: dict[bytes, Address] | None = None
        self._handlers: dict[type, tuple[Address | None, Callable[[RawLog, Any], None]]] = {
            PoolAdded: (contracts.registry, self._pool_added),
            StatusUpdated: (None, self._status_updated),
            Swapped: (None, self._swapped),
            FundingUpdated: (contracts.exchange, self._funding_updated),
            FundingSettled: (contracts.clearing_house, self._funding_settled),
            PositionChanged: (contracts.clearing_house, self._position_changed),
            PositionClosed: (contracts.clearing_house, self._position_closed),
            LiquidityChanged: (contracts.clearing_house, self._liquidity_changed),
            PnlRealized: (contracts.account_balance, self._pnl_realized),
            Deposited: (contracts.vault, self._deposited),
            Withdrawn: (contracts.vault, self._withdrawn),
            CollateralLiquidated: (contracts.vault, self._collateral_liquidated),
            BadDebtSettled: (contracts.vault, self._bad_debt_settled),
            CollateralAdded: (contracts.collateral_manager, self._collateral_added),
            CollateralRatioChanged: (contracts.collateral_manager, self._collateral_ratio_changed),
            DiscountRatioChanged: (contracts.collateral_manager, self._discount_ratio_changed),
            CollateralFeedChanged: (contracts.collateral_manager, self._collateral_feed_changed),
            TermsChanged: (contracts.collateral_manager, self._terms_changed),
            DebtThresholdGiven: (contracts.collateral_manager, self._debt_threshold_given),
            PauseChanged: (None, self._pause_changed),
            ConfigChanged: (contracts.config, self._config_changed),
        }

    def apply(self, log: RawLog, change: Change) -> None:
        """Fold one change, if the contract that states it may."""
        source, handler = self._handlers.get(type(change), (None, None))
        if handler is not None and source in (None, log.address):
            handler(log, change)

    def forget_derived(self) -> None:
        """Drop what was worked out from the rows: they were replaced."""
        self._pools = None

    def pools(self) -> dict[bytes, Address]:
        """Base tokens by pool."""
        if self._pools is None:
            self._pools = {market.pool: base for base, market in self._state.listed()}
        return self._pools

    # Markets.

    def _pool_added(self, _: RawLog, change: PoolAdded) -> None:
        self._state.markets.set(change.base, Market(change.pool))
        self._pools = None

    def _status_updated(self, log: RawLog, change: StatusUpdated) -> None:
        self._set_market(log.address, status=change.status)

    def _swapped(self, log: RawLog, change: Swapped) -> None:
        base = self.pools().get(log.address)
        if base is None:
            return
        market, ticks, now = self._state.markets[base], self._state.ticks.get(base), self._state.now.timestamp
        if ticks is None:
            self._set_market(base, doubt=UNREAD)
            return
        self._state.ticks.set(base, moved(ticks, now, change.tick, self._kept_seconds()))
        self._set_market(base, sqrt_price=BigInt(change.sqrt_price), first_trade=market.first_trade or now)

    def _kept_seconds(self) -> int:
        config = self._state.figures
        return max(KEPT_SECONDS_MIN, *(0, 0) if config is None else (config.mark_twap, config.twap, config.premium))

    def _funding_updated(self, _: RawLog, change: FundingUpdated) -> None:
        market, ticks = self._state.markets.get(change.base), self._state.ticks.get(change.base)
        config, now = self._state.figures, self._state.now.timestamp
        if market is None:
            return
        if config is None or ticks is None:
            self._set_market(change.base, doubt=UNCONFIGURED)
            return
        growth = growth_at(market, ticks, config, now, change.index)
        self._set_market(change.base, growth=BigInt(growth), settled=now)

    def _set_market(self, base: Address, **fields: BigInt | int | str) -> None:
        market = self._state.markets.get(base)
        if market is not None:
            self._state.markets.set(base, replace(market, **fields))

    def _config_changed(self, _: RawLog, change: ConfigChanged) -> None:
        config = self._state.figures
        if config is not None:
            self._state.config.set(ONLY_ROW, replace(config, **{change.name: change.value}))

    def _collateral_added(self, _: RawLog, change: CollateralAdded) -> None:
        self._state.collaterals.set(change.token, Collateral(change.ratio, change.discount))

    def _collateral_ratio_changed(self, _: RawLog, change: CollateralRatioChanged) -> None:
        self._set_collateral(change.token, ratio=change.ratio)

    def _discount_ratio_changed(self, _: RawLog, change: DiscountRatioChanged) -> None:
        self._set_collateral(change.token, discount=change.discount)

    def _collateral_feed_changed(self, _: RawLog, change: CollateralFeedChanged) -> None:
        self._set_collateral(change.token, price_decimals=None)

    def _set_collateral(self, token: Address, **fields: int | None) -> None:
        row = self._state.collaterals.get(token)
        if row is not None:
            self._state.collaterals.set(token, replace(row, **fields))

    def _terms_changed(self, _: RawLog, change: TermsChanged) -> None:
        terms = self._state.sale
        if terms is not None:
            value = BigInt(change.value) if change.name in TERM_AMOUNTS else change.value
            self._state.terms.set(ONLY_ROW, replace(terms, **{change.name: value}))

    def _debt_threshold_given(self, log: RawLog, change: DebtThresholdGiven) -> None:
        self._state.thresholds.set(change.trader, Amount(BigInt(change.amount)) if change.amount else None)
        self._state.mark_epoch(change.trader, log.log_index)

    def _pause_changed(self, log: RawLog, change: PauseChanged) -> None:
        if log.address in (self._contracts.vault, self._contracts.clearing_house):
            self._state.paused.set(log.address, 1 if change.paused else None)

    # Positions.

    def _funding_settled(self, log: RawLog, change: FundingSettled) -> None:
        self._settle(log, change.base, change.trader)

    def _settle(self, log: RawLog, base: Address, trader: Address) -> Position | None:
        """Bring a position to the market's growth; return it, ``None`` in a market that is not listed."""
        market = self._state.markets.get(base)
        if market is None:
            return None
        row = self._state.positions.get(base + trader)
        settled = replace(row or Position(), growth=market.growth)
        if row is not None:
            self._state.positions.set(base + trader, settled)
        self._state.mark_epoch(trader, log.log_index)
        return settled

    def _position_changed(self, log: RawLog, change: PositionChanged) -> None:
        row = self._settle(log, change.base, change.trader)
        if row is None:
            return
        size = row.size + change.size
        new = replace(row, size=BigInt(size), open_notional=BigInt(change.open_notional))
        gone = abs(size) < DUST and abs(change.open_notional) < DUST
        self._state.positions.set(change.base + change.trader, None if gone else new)

    def _position_closed(self, log: RawLog, change: PositionClosed) -> None:
        self._set_market(change.base, doubt=SETTLED_CLOSED)
        self._state.positions.set(change.base + change.trader, None)
        self._state.mark_epoch(change.trader, log.log_index)

    def _liquidity_changed(self, log: RawLog, change: LiquidityChanged) -> None:
        if self._settle(log, change.base, change.maker) is None:
            return
        key = change.base + change.maker
        row = self._state.liquidity.get(key)
        liquidity = change.liquidity + (0 if row is None else row.value)
        self._state.liquidity.set(key, Amount(BigInt(liquidity)) if liquidity else None)

    # Money.

    def _pnl_realized(self, log: RawLog, change: PnlRealized) -> None:
        self._owe(log, change.trader, self._state.owed_to(change.trader) + change.amount)

    def _owe(self, log: RawLog, trader: Address, owed: int) -> None:
        self._state.owed.set(trader, Amount(BigInt(owed)) if owed else None)
        self._state.mark_epoch(trader, log.log_index)

    def _deposited(self, log: RawLog, change: Deposited) -> None:
        self._move(log, change.token, change.trader, change.amount)

    def _withdrawn(self, log: RawLog, change: Withdrawn) -> None:
        trader, contracts, settled = change.trader, self._contracts, 0
        if change.token == contracts.settlement:
            settled = to_settlement(self._state.owed_to(trader), contracts.settlement_decimals)
            self._owe(log, trader, 0)
        self._move(log, change.token, trader, settled - change.amount)
        for base, _ in self._state.listed():
            if base + trader in self._state.positions.rows:
                self._settle(log, base, trader)

    def _collateral_liquidated(self, log: RawLog, change: CollateralLiquidated) -> None:
        contracts = self._contracts
        self._move(log, change.token, change.trader, -change.collateral)
        self._move(log, contracts.settlement, change.trader, change.repaid)
        self._move(log, contracts.settlement, contracts.insurance_fund, change.fee)

    def _bad_debt_settled(self, log: RawLog, change: BadDebtSettled) -> None:
        contracts = self._contracts
        self._move(log, contracts.settlement, change.trader, change.amount)
        self._move(log, contracts.settlement, contracts.insurance_fund, -change.amount)

    def _move(self, log: RawLog, token: Address, trader: Address, amount: int) -> None:
        balance = self._state.balance(token, trader) + amount
        self._state.balances.set(token + trader, Amount(BigInt(balance)) if balance else None)
        self._state.mark_epoch(trader, log.log_index)


def takers(state: State) -> list[Address]:
    """Return everyone with a position of their own, sorted."""
    return sorted({Address(key[ADDRESS_LENGTH:]) for key in state.positions.rows})
