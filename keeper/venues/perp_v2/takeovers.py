"""Takeovers in the words of :mod:`keeper.core.venue`: what a strategy may ask, and an event as a liquidation seen.

One settlement token counts as one dollar, as in every figure of the protocol itself. Sizes and notionals stay in the
contracts' 1e-18; what leaves as a base amount is rounded against the taker: notional and margin up, fee down.
"""

from __future__ import annotations

from collections.abc import Callable

from keeper.core.facts import RawLog
from keeper.core.ids import Address
from keeper.core.takeover import Takeover
from keeper.core.units import BaseAmount, BigInt, Bps, Rounding, TokenAmount, Wad, mul_div
from keeper.core.venue import Call, LiquidationSeen, Preview
from keeper.venues.perp_v2.calls import exit_call
from keeper.venues.perp_v2.codec import decode
from keeper.venues.perp_v2.collateral import PAUSED
from keeper.venues.perp_v2.events import PositionChanged, PositionLiquidated
from keeper.venues.perp_v2.liquidation import Foretold, Parties, Refused, foretell_funded, liquidatable_size
from keeper.venues.perp_v2.margin import Account, account_of, figures_of, known, position_value
from keeper.venues.perp_v2.market import Now, Unknown
from keeper.venues.perp_v2.math import DUST, RATIO, WAD, divide, from_settlement
from keeper.venues.perp_v2.state import PerpContracts, State

BASE_UNIT = 10**10
"""One base unit (USD 1e-8) in 1e-18."""
HAS_ORDERS = "CH_CLWTISO"


class PerpTakeovers:
    """Implements :class:`keeper.core.venue.TakeoverView`."""

    def __init__(self, state: State, contracts: PerpContracts, at_block: Callable[[], Now | Unknown]) -> None:
        self._state = state
        self._contracts = contracts
        self._at_block = at_block

    @property
    def target(self) -> Address:
        """The clearing house."""
        return self._contracts.clearing_house

    def largest(self, account: Address) -> tuple[tuple[Address, TokenAmount], ...]:
        """Return the markets in which the account may be liquidated now, each with the protocol's maximum."""
        now, held = self._at_block(), account_of(self._state, self._contracts, account)
        if isinstance(now, Unknown) or isinstance(held, Unknown):
            return ()
        decimals = self._contracts.settlement_decimals
        figures = figures_of(now, held, decimals)
        if isinstance(figures, Unknown):
            return ()
        sizes = {base: liquidatable_size(now, held, base, figures, decimals) for base in sorted(held.positions)}
        return tuple(
            (base, TokenAmount(abs(size))) for base, size in sizes.items() if not isinstance(size, Unknown) and size
        )

    def preview(self, account: Address, market: Address, size: TokenAmount, taker: Address) -> Preview:
        """Return what the contract would do at the block's timestamp."""
        told = self.foretell(account, market, self.signed(account, market, int(size)), taker)
        if isinstance(told, Foretold):
            return self._preview(account, market, size, told)
        reason = told.error if isinstance(told, Refused) else told.reason
        nothing, none = TokenAmount(0), BaseAmount(0)
        return Preview(
            self._contracts.quote, market, size, nothing, nothing, nothing, none, none, none, None, reason, None
        )

    def held(self, account: Address) -> tuple[tuple[Address, BigInt], ...]:
        """Return the account's positions, but for dust."""
        held = account_of(self._state, self._contracts, account)
        if isinstance(held, Unknown):
            return ()
        positions = sorted(held.positions.items())
        return tuple((base, position.size) for base, position in positions if abs(position.size) >= DUST)

    def exit_call(self, account: Address, market: Address, slippage: Bps) -> Call | None:
        """Return the call that closes the account's position, bounded by the mark price."""
        now, position = self._at_block(), self._state.positions.get(market + account)
        found = Unknown("nothing is held") if isinstance(now, Unknown) else known(now.markets.get(market))
        if isinstance(found, Unknown) or position is None:
            return None
        worth, share = abs(position_value(position.size, found[0])), int(slippage)
        if position.size < 0:
            bound = mul_div(worth, Bps.ONE + share, Bps.ONE, Rounding.CEIL)
        else:
            bound = mul_div(worth, Bps.ONE - share, Bps.ONE, Rounding.FLOOR)
        return exit_call(self._contracts.clearing_house, market, bound)

    def moved(self, log: RawLog) -> Address | None:
        """Return the trader of a ``PositionChanged`` of this clearing house."""
        change = decode(log) if log.address == self._contracts.clearing_house else None
        return change.trader if isinstance(change, PositionChanged) else None

    def signed(self, account: Address, market: Address, size: int) -> int:
        """Give a size the sign of the account's position."""
        position = self._state.positions.get(market + account)
        return -size if position is not None and position.size < 0 else size

    def foretell(self, trader: Address, base: Address, size: int, taker: Address) -> Foretold | Refused | Unknown:
        """Return what ``liquidate`` would do for a taker whose free collateral is enough; 0 asks for the most."""
        now, contracts = self._at_block(), self._contracts
        if contracts.clearing_house in self._state.paused.rows:
            return Refused(PAUSED)
        if isinstance(now, Unknown):
            return now
        if trader in self._state.providers():
            return Refused(HAS_ORDERS)
        known: list[Account] = []
        for each in (trader, taker, contracts.insurance_fund):
            held = account_of(self._state, contracts, each)
            if isinstance(held, Unknown):
                return held
            known.append(held)
        return foretell_funded(now, Parties(*known), base, size, contracts.settlement_decimals)

    def _preview(self, account: Address, market: Address, size: TokenAmount, told: Foretold) -> Preview:
        notional = _up(told.notional)
        value = from_settlement(told.account_value_after, self._contracts.settlement_decimals)
        need = told.requirement_after
        taken = Takeover(
            size=BigInt(self.signed(account, market, told.size)),
            fee=TokenAmount(told.to_liquidator),
            margin_base=BaseAmount(-(-int(notional) * self._initial_ratio() // RATIO)),
            free_base=BaseAmount(told.free_collateral_after // BASE_UNIT),
            position=BigInt(told.liquidator.size),
        )
        return Preview(
            debt_asset=self._contracts.quote,
            collateral_asset=market,
            cover=size,
            repaid=TokenAmount(told.notional),
            seized=TokenAmount(told.size),
            protocol_fee=TokenAmount(told.to_insurance),
            repaid_base=notional,
            seized_base=notional + BaseAmount(told.to_liquidator // BASE_UNIT),
            debt_left_base=BaseAmount(need // BASE_UNIT),
            health_after=Wad(divide(value * WAD, need)) if need > 0 else None,
            revert=None,
            takeover=taken,
        )

    def _initial_ratio(self) -> int:
        config = self._state.figures
        return RATIO if config is None else config.im


def _up(value: int) -> BaseAmount:
    return BaseAmount(-(-value // BASE_UNIT))


def taken_over(venue: str, contracts: PerpContracts, log: RawLog, change: PositionLiquidated) -> LiquidationSeen:
    """Return a liquidation in the shared words: the notional is what was repaid, the size what was seized."""
    return LiquidationSeen(
        venue,
        change.trader,
        change.liquidator,
        contracts.quote,
        change.base,
        TokenAmount(change.notional),
        TokenAmount(change.size),
        log.tx_hash,
    )
