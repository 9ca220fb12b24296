"""What an own account of Morpho Blue can be helped by: ``repay`` and ``supplyCollateral`` on its behalf.

A repayment is asked for in shares, as slices are (:mod:`keeper.venues.morpho_blue.liquidation`): an amount is a
ceiling in loan tokens that holds for :data:`CEILING_SECONDS`, and shares do not leave a crumb of a debt that is to be
gone. There is no way to pay with the collateral: it is another token.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from keeper.core.facts import RawLog
from keeper.core.ids import Address
from keeper.core.protection import ProtectedHealth, ProtectionAction, ProtectionOption
from keeper.core.units import BigInt, TokenAmount, Wad
from keeper.core.venue import Call
from keeper.venues.morpho_blue import calls
from keeper.venues.morpho_blue.events import Change, CollateralSupplied, Repaid
from keeper.venues.morpho_blue.liquidation import CEILING_SECONDS, MARKET_NOT_CREATED
from keeper.venues.morpho_blue.market import Market, Position, Unknown, figures
from keeper.venues.morpho_blue.math import ORACLE_PRICE_SCALE, mul_div_up, to_assets_up, to_shares_down

PROTECTION_GAS = 300_000
"""Measured up to 119,000 on the local market; tokens of a real one cost more than ours."""
TOP_UP_DEBTS = 10
"""No more is topped up than so many times the debt is worth: that raises health by more than anybody asks for."""
ROUNDED_AWAY = "the amount rounds to nothing"
ANOTHER_MARKET = "it is no token of the market for that"


class MorphoProtections:
    """Implements :class:`keeper.core.protection.ProtectionView`.

    Args:
        morpho: The contract.
        market_at: Gives the market so many seconds after the current block.
        position_of: Gives what the contract keeps of an account.
        decoded: Gives what a log of this market says.
    """

    protection_gas = PROTECTION_GAS

    def __init__(
        self,
        morpho: Address,
        market_at: Callable[[int], Market],
        position_of: Callable[[Address], Position],
        decoded: Callable[[RawLog], Change | None],
    ) -> None:
        self._morpho = morpho
        self._market_at = market_at
        self._position_of = position_of
        self._decoded = decoded

    @property
    def spender(self) -> Address:
        """The contract."""
        return self._morpho

    def tokens(self) -> tuple[Address, ...]:
        """Return loan token and collateral; none before the market's creation was seen."""
        params = self._market_at(0).params
        return () if params is None else (params.loan_token, params.collateral_token)

    def options(self, account: Address) -> tuple[ProtectionOption, ...]:
        """Return the debt with the interest to come, and the collateral up to a multiple of it."""
        market, ceiling, position = self._market_at(0), self._market_at(CEILING_SECONDS), self._position_of(account)
        params, totals = market.params, ceiling.totals
        if params is None or market.doubt is not None or ceiling.doubt is not None or not position.borrow_shares:
            return ()
        owed = to_assets_up(position.borrow_shares, totals.borrow_assets, totals.borrow_shares)
        most = mul_div_up(TOP_UP_DEBTS * owed, ORACLE_PRICE_SCALE, market.price)
        return (
            ProtectionOption("repay", params.loan_token, TokenAmount(owed)),
            ProtectionOption("top-up", params.collateral_token, TokenAmount(most)),
        )

    def preview(
        self, account: Address, action: ProtectionAction, asset: Address, amount: TokenAmount, seconds: int = 0
    ) -> ProtectedHealth:
        """Return what may be owed over what is owed after the action, so many seconds after the current block."""
        after = self._after(self._market_at(seconds), account, (action, asset), int(amount))
        if isinstance(after, str):
            return ProtectedHealth(None, after)
        left = figures(*after)
        if isinstance(left, Unknown):
            return ProtectedHealth(None, left.reason)
        return ProtectedHealth(None if left.health is None else Wad(left.health))

    def call(self, account: Address, action: ProtectionAction, asset: Address, amount: TokenAmount) -> Call:
        """Return the contract's call; ``asset`` is the market's own for the action."""
        del asset
        params = self._market_at(0).params
        if params is None:
            raise AssertionError(MARKET_NOT_CREATED)
        if action == "top-up":
            return calls.collateral_call(self._morpho, params, account, int(amount))
        return calls.repay_call(self._morpho, params, account, self._shares(account, int(amount)))

    def moved(self, log: RawLog) -> Address | None:
        """Return whose debt was repaid, or whose collateral was added to."""
        change = self._decoded(log)
        return change.account if isinstance(change, Repaid | CollateralSupplied) else None

    def _shares(self, account: Address, amount: int) -> int:
        totals = self._market_at(CEILING_SECONDS).totals
        shares = to_shares_down(amount, totals.borrow_assets, totals.borrow_shares)
        return min(shares, self._position_of(account).borrow_shares)

    def _after(
        self, market: Market, account: Address, what: tuple[ProtectionAction, Address], amount: int
    ) -> tuple[Market, Position] | str:
        """Return market and position after the action, or why it is refused."""
        params, position = market.params, self._position_of(account)
        doubt = market.doubt or self._market_at(CEILING_SECONDS).doubt
        if params is None or doubt is not None:
            return MARKET_NOT_CREATED if doubt is None else doubt.reason
        if what == ("top-up", params.collateral_token):
            return market, replace(position, collateral=position.collateral + amount)
        if what != ("repay", params.loan_token):
            return ANOTHER_MARKET
        shares = self._shares(account, amount)
        if not shares:
            return ROUNDED_AWAY
        totals = market.totals
        repaid = to_assets_up(shares, totals.borrow_assets, totals.borrow_shares)
        left = replace(
            totals,
            borrow_assets=BigInt(max(totals.borrow_assets - repaid, 0)),
            borrow_shares=BigInt(totals.borrow_shares - shares),
        )
        return replace(market, totals=left), replace(position, borrow_shares=position.borrow_shares - shares)
