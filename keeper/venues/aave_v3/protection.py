"""What an own account of Aave v3 can be helped by: repay, supply and repayWithATokens of the pool.

Each is repeated on the *scaled* balances, which is where the contract rounds (BorrowLogic.executeRepay,
SupplyLogic.executeSupply), and the account is then looked at again. The indexes are those of the timestamp, which the
call itself would bring the reserve to.

Only variable debt is repaid, and only assets are topped up that count as collateral already, so that no flag of the
account changes. What is left to the preflight: supply caps, frozen reserves, tokens that refuse a transfer.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from keeper.core.facts import RawLog
from keeper.core.ids import Address
from keeper.core.protection import ProtectedHealth, ProtectionAction, ProtectionOption
from keeper.core.units import TokenAmount, Wad
from keeper.core.venue import Call
from keeper.venues.aave_v3 import calls
from keeper.venues.aave_v3.codec import decode
from keeper.venues.aave_v3.events import ScaledBurned, ScaledMinted
from keeper.venues.aave_v3.margin import (
    Holding,
    Position,
    account_data,
    is_member,
    mode_of,
    position_of,
    price_in,
)
from keeper.venues.aave_v3.market import Market, Unknown
from keeper.venues.aave_v3.math import WAD, mul_div_ceil
from keeper.venues.aave_v3.state import State

PROTECTION_GAS = 500_000
"""Measured up to 268,000 on the local market; tokens of a real one cost more than ours."""
CEILING_SECONDS = 600
"""A repayment of all may take the interest of so long on top."""
TOP_UP_DEBTS = 10
"""No more is topped up than so many times the debt is worth: that raises health by more than anybody asks for."""
NOTHING_OF_IT = "the account has nothing of it"
ROUNDED_AWAY = "the amount rounds to nothing"
TOO_LOW = "HealthFactorLowerThanLiquidationThreshold"
"""In v3.6 who pays with collateral must be healthy afterwards, in v3.0 not."""
TOO_MUCH = "more than the account has supplied"


class AaveProtections:
    """Implements :class:`keeper.core.protection.ProtectionView`.

    Args:
        state: Of the ledger.
        market_at: Gives the market at a timestamp, ``None`` for the block's.
        is_token: Tells whether an address is an aToken or a debt token of the market.
        spender: Gives the pool, once it is known.
    """

    protection_gas = PROTECTION_GAS

    def __init__(
        self,
        state: State,
        market_at: Callable[[int | None], Market],
        is_token: Callable[[Address], bool],
        spender: Callable[[], Address | None],
    ) -> None:
        self._state = state
        self._market_at = market_at
        self._is_token = is_token
        self._spender = spender
        self._later: tuple[Market, int, Market] | None = None

    @property
    def spender(self) -> Address | None:
        """The pool."""
        return self._spender()

    def tokens(self) -> tuple[Address, ...]:
        """Return the listed assets."""
        return tuple(asset for asset, _ in self._state.listed())

    def options(self, account: Address) -> tuple[ProtectionOption, ...]:
        """Return what could be repaid, topped up or reduced, asset by asset in the order of the pool's list."""
        market, position = self._looked_at(account, 0)
        data = account_data(market, position)
        if isinstance(data, Unknown) or not data.total_debt_base:
            return ()
        later = {each.reserve.index: each for each in self._looked_at(account, CEILING_SECONDS)[1].holdings}
        return tuple(
            option
            for holding in position.holdings
            if holding.reserve.live and not holding.reserve.paused
            for option in _options(market, position, (holding, later[holding.reserve.index]), data.total_debt_base)
        )

    def preview(
        self, account: Address, action: ProtectionAction, asset: Address, amount: TokenAmount, seconds: int = 0
    ) -> ProtectedHealth:
        """Return the account's health factor after the action, so many seconds after the current block."""
        market, position = self._looked_at(account, seconds)
        holding = next((each for each in position.holdings if each.reserve.asset == asset), None)
        if market.doubt is not None:
            return ProtectedHealth(None, market.doubt.reason)
        after = NOTHING_OF_IT if holding is None else _after(market, holding, action, int(amount))
        if isinstance(after, str):
            return ProtectedHealth(None, after)
        left = account_data(market, _with(position, after))
        if isinstance(left, Unknown):
            return ProtectedHealth(None, left.reason)
        if action == "reduce" and market.rules.member_lists and left.health_factor < WAD:
            return ProtectedHealth(None, TOO_LOW)
        return ProtectedHealth(Wad(left.health_factor) if left.total_debt_base else None)

    def call(self, account: Address, action: ProtectionAction, asset: Address, amount: TokenAmount) -> Call:
        """Return the pool's call."""
        return calls.protection_call(self._state.market.pool, account, action, asset, int(amount))

    def moved(self, log: RawLog) -> Address | None:
        """Return whose balance a ``Mint`` or ``Burn`` of one of the market's tokens says has changed."""
        change = decode(log) if self._is_token(log.address) else None
        return change.user if isinstance(change, ScaledMinted | ScaledBurned) else None

    def _looked_at(self, account: Address, seconds: int) -> tuple[Market, Position]:
        market = self._market_later(seconds)
        return market, position_of(self._state, market, account)

    def _market_later(self, seconds: int) -> Market:
        """Return the market so many seconds later, worked out once for each market of now."""
        now = self._market_at(None)
        if not seconds:
            return now
        if self._later is None or self._later[0] is not now or self._later[1] != seconds:
            self._later = (now, seconds, self._market_at(now.timestamp + seconds))
        return self._later[2]


def _options(
    market: Market, position: Position, holding: tuple[Holding, Holding], debt_base: int
) -> list[ProtectionOption]:
    """Return the options of one holding, given as it is now and with the interest to come."""
    now, later = holding
    rules, asset, mode = market.rules, now.reserve.asset, mode_of(market, position)
    price = price_in(mode, now.reserve)
    owed = rules.owed.balance(now.variable, later.reserve.debt_index)
    supplied = rules.supplied.balance(now.supplied, now.reserve.income)
    threshold = (mode if is_member(mode, now.reserve) else now.reserve).threshold
    found: list[ProtectionOption] = []
    if owed:
        found.append(ProtectionOption("repay", asset, TokenAmount(owed)))
    if supplied and threshold and not isinstance(price, Unknown) and price:
        most = mul_div_ceil(TOP_UP_DEBTS * debt_base, now.reserve.unit, price)
        found.append(ProtectionOption("top-up", asset, TokenAmount(most)))
    if owed and supplied:
        found.append(ProtectionOption("reduce", asset, TokenAmount(min(owed, supplied))))
    return found


def _after(market: Market, holding: Holding, action: ProtectionAction, amount: int) -> Holding | str:
    """Return the holding that an action leaves, or why the contract refuses it."""
    rules, reserve = market.rules, holding.reserve
    if action == "top-up":
        minted = rules.supplied.minted(amount, reserve.income)
        return replace(holding, supplied=holding.supplied + minted) if minted else ROUNDED_AWAY
    paid = min(amount, rules.owed.balance(holding.variable, reserve.debt_index))
    burnt = rules.owed.burnt(paid, reserve.debt_index)
    if not burnt:
        return ROUNDED_AWAY
    left = replace(holding, variable=holding.variable - burnt)
    if action == "repay":
        return left
    taken = rules.supplied.burnt(paid, reserve.income)
    if not taken:
        return ROUNDED_AWAY
    return replace(left, supplied=left.supplied - taken) if taken <= left.supplied else TOO_MUCH


def _with(position: Position, after: Holding) -> Position:
    holdings = tuple(after if each.reserve.index == after.reserve.index else each for each in position.holdings)
    return replace(position, holdings=holdings)
