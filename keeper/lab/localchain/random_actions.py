"""What a random participant of an Aave market might do next, drawn from what it holds.

Each function draws one transaction for one account. They aim at *valid-ish*: an asset is drawn among those where the
action makes sense, an amount among none, dust, a part and all. Some will be reverted, as on mainnet. Nothing here
talks to the chain; :mod:`keeper.lab.localchain.random_market` does.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from keeper.lab.localchain.aave import AaveMarket, Asset
from keeper.lab.localchain.accounts import UINT256_MAX, AccountData, Position, units_worth
from keeper.lab.localchain.assets import BLUE_CHIPS, STABLECOINS
from keeper.lab.localchain.scenario import BORROW, SUPPLY, USD, VARIABLE_RATE
from keeper.lab.localchain.transactions import Call, encode_call

STABLE_RATE = 1
DUST_UNITS_MAX = 1_000
SUPPLY_USD = (50, 300_000)
LIQUIDATION_GAS = 2_500_000


@dataclass(frozen=True, slots=True)
class View:
    """What the drawing may see: the market, everyone's account data, the holdings of those drawn, prices now."""

    market: AaveMarket
    users: tuple[str, ...]
    accounts: Mapping[str, AccountData]
    held: Mapping[tuple[str, str], Position]
    prices: Mapping[str, int]

    def position(self, user: str, asset: Asset) -> Position:
        """Return what the user holds of the asset."""
        return self.held[user, asset.symbol]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiquidationAsk:
    """The arguments of one ``liquidationCall``, and who makes it; ``debt_to_cover`` in base units of the debt."""

    collateral_asset: str
    debt_asset: str
    user: str
    debt_to_cover: int
    receive_a_token: bool
    liquidator: str


@dataclass(frozen=True, slots=True)
class Action:
    """One transaction of the random market: its kind, the call, and what was asked if it is a liquidation."""

    kind: str
    call: Call
    asked: LiquidationAsk | None = None


Draw = Callable[[random.Random, View, str], Call]
Holds = Callable[[Position], bool]


def part_of(chance: random.Random, whole: int) -> int:
    """Draw an amount: mostly a part of the whole, sometimes all of it, dust, or a little more than there is."""
    sort = chance.random()
    if sort < 0.06:  # noqa: PLR2004 - one of four shares that are named by the docstring
        return chance.randint(1, DUST_UNITS_MAX)
    if sort < 0.16:  # noqa: PLR2004 - as above
        return max(1, whole)
    if sort < 0.19:  # noqa: PLR2004 - as above
        return whole + chance.randint(1, DUST_UNITS_MAX)
    return max(1, int(whole * chance.random()))


def _asset(chance: random.Random, view: View, user: str, holds: Holds) -> Asset:
    """Draw an asset of which the user's holding answers the question; any asset when there is none."""
    fitting = [asset for asset in view.market.assets if holds(view.position(user, asset))]
    return chance.choice(fitting or view.market.assets)


def _supplied(position: Position) -> bool:
    return position.supplied > 0


def _pledged(position: Position) -> bool:
    return position.supplied > 0 and position.is_collateral


def _owed(position: Position) -> bool:
    return position.debt > 0


def _rate_mode(position: Position) -> int:
    return VARIABLE_RATE if position.variable_debt else STABLE_RATE


def _pool(user: str, view: View, signature: str, *arguments: object) -> Call:
    return Call(user, view.market.pool, encode_call(signature, *arguments))


def supply(chance: random.Random, view: View, user: str) -> Call:
    """Supply some asset, one time in five for somebody else."""
    asset = chance.choice(view.market.assets)
    low, high = SUPPLY_USD
    value_base = int(math.exp(chance.uniform(math.log(low), math.log(high))) * USD)
    receiver = user if chance.random() < 0.8 else chance.choice(view.users)  # noqa: PLR2004 - the docstring's share
    return _pool(user, view, SUPPLY, asset.token, units_worth(asset, value_base), receiver, 0)


def withdraw(chance: random.Random, view: View, user: str) -> Call:
    """Withdraw a part, or everything by the contract's own word for it."""
    asset = _asset(chance, view, user, _supplied)
    amount = part_of(chance, view.position(user, asset).supplied)
    chosen = UINT256_MAX if chance.random() < 0.2 else amount  # noqa: PLR2004 - a share
    return _pool(user, view, "withdraw(address,uint256,address)", asset.token, chosen, user)


def borrow(chance: random.Random, view: View, user: str) -> Call:
    """Borrow a part of what the account may, often nearly all of it; at a stable rate where the asset has one."""
    asset = chance.choice(view.market.assets)
    base = view.accounts[user].available_borrows_base * chance.choice((0.3, 0.9, 0.995, 1.0))
    amount = max(1, int(base) * 10**asset.decimals // view.prices[asset.symbol])
    stable = asset.spec.stable_borrowing and chance.random() < 0.5  # noqa: PLR2004 - a share
    mode = STABLE_RATE if stable else VARIABLE_RATE
    return _pool(user, view, BORROW, asset.token, amount, mode, 0, user)


def repay(chance: random.Random, view: View, user: str) -> Call:
    """Repay a part, or everything by the contract's own word for it."""
    asset = _asset(chance, view, user, _owed)
    position = view.position(user, asset)
    amount = UINT256_MAX if chance.random() < 0.25 else part_of(chance, position.debt)  # noqa: PLR2004 - a share
    signature = "repay(address,uint256,uint256,address)"
    return _pool(user, view, signature, asset.token, amount, _rate_mode(position), user)


def repay_with_a_tokens(chance: random.Random, view: View, user: str) -> Call:
    """Repay out of what the account supplied of the same asset."""
    asset = _asset(chance, view, user, lambda held: _owed(held) and _supplied(held))
    position = view.position(user, asset)
    amount = UINT256_MAX if chance.random() < 0.25 else part_of(chance, position.debt)  # noqa: PLR2004 - a share
    return _pool(user, view, "repayWithATokens(address,uint256,uint256)", asset.token, amount, _rate_mode(position))


def transfer_a_token(chance: random.Random, view: View, user: str) -> Call:
    """Hand aTokens to somebody, one time in ten to oneself."""
    asset = _asset(chance, view, user, _supplied)
    receiver = user if chance.random() < 0.1 else chance.choice(view.users)  # noqa: PLR2004 - the docstring's share
    amount = part_of(chance, view.position(user, asset).supplied)
    return Call(user, asset.a_token, encode_call("transfer(address,uint256)", receiver, amount))


def set_category(chance: random.Random, view: View, user: str) -> Call:
    """Enter or leave an efficiency mode."""
    return _pool(user, view, "setUserEMode(uint8)", chance.choice((0, STABLECOINS, STABLECOINS, BLUE_CHIPS)))


def toggle_collateral(chance: random.Random, view: View, user: str) -> Call:
    """Switch an asset's use as collateral; one time in ten to what it already is."""
    asset = _asset(chance, view, user, _supplied)
    wanted = view.position(user, asset).is_collateral == (chance.random() < 0.1)  # noqa: PLR2004 - the docstring's share
    return _pool(user, view, "setUserUseReserveAsCollateral(address,bool)", asset.token, wanted)


def swap_rate_mode(chance: random.Random, view: View, user: str) -> Call:
    """Turn variable debt into stable debt or back, where the asset has both."""
    asset = chance.choice([one for one in view.market.assets if one.spec.stable_borrowing])
    mode = _rate_mode(view.position(user, asset))
    return _pool(user, view, "swapBorrowRateMode(address,uint256)", asset.token, mode)


def rebalance_stable_rate(chance: random.Random, view: View, user: str) -> Call:
    """Ask for a rebalance of somebody's stable rate."""
    asset = chance.choice([one for one in view.market.assets if one.spec.stable_borrowing])
    signature = "rebalanceStableBorrowRate(address,address)"
    return _pool(user, view, signature, asset.token, chance.choice(view.users))


USER_ACTIONS: tuple[tuple[int, Draw], ...] = (
    (16, supply),
    (14, withdraw),
    (32, borrow),
    (11, repay),
    (6, repay_with_a_tokens),
    (8, transfer_a_token),
    (6, set_category),
    (8, toggle_collateral),
    (4, swap_rate_mode),
    (1, rebalance_stable_rate),
)


USER_ACTIONS_36 = tuple(
    (weight, draw) for weight, draw in USER_ACTIONS if draw not in (swap_rate_mode, rebalance_stable_rate)
)
"""There is no stable debt any more."""


def user_action(chance: random.Random, view: View, user: str) -> Action:
    """Draw what this account does."""
    actions = USER_ACTIONS if view.market.version == "3.0" else USER_ACTIONS_36
    (draw,) = chance.choices([draw for _, draw in actions], [weight for weight, _ in actions])
    return Action(draw.__name__, draw(chance, view, user))


def liquidation(chance: random.Random, view: View, user: str, liquidator: str) -> Action:
    """Draw a liquidation of this account: usually a pair it has, a cover from one base unit to the maximum."""
    sensible = chance.random() < 0.9  # noqa: PLR2004 - a share
    debt = _asset(chance, view, user, _owed) if sensible else chance.choice(view.market.assets)
    collateral = _asset(chance, view, user, _pledged) if sensible else chance.choice(view.market.assets)
    cover = UINT256_MAX if chance.random() < 0.35 else part_of(chance, view.position(user, debt).debt)  # noqa: PLR2004 - a share
    asked = LiquidationAsk(
        collateral_asset=collateral.token,
        debt_asset=debt.token,
        user=user,
        debt_to_cover=cover,
        receive_a_token=chance.random() < 0.4,  # noqa: PLR2004 - a share
        liquidator=liquidator,
    )
    data = encode_call(
        "liquidationCall(address,address,address,uint256,bool)",
        *(asked.collateral_asset, asked.debt_asset, asked.user, asked.debt_to_cover, asked.receive_a_token),
    )
    return Action("liquidation", Call(liquidator, view.market.pool, data, LIQUIDATION_GAS), asked)
