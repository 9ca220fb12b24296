"""What a random participant of a Morpho market might do next, drawn from what it holds.

Drawn like :mod:`keeper.lab.localchain.random_actions`: *valid-ish*, with amounts of none, dust, a part, all and a
little more. The contract takes most amounts either as assets or as shares, so both are drawn. Nothing here talks to
the chain; :mod:`keeper.lab.localchain.random_morpho` does.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from keeper.lab.localchain.morpho import (
    FIRST_PRICE,
    PARAMS,
    WAD,
    MarketTotals,
    MorphoAccount,
    MorphoMarket,
    borrow_call,
    collateral_call,
    price_call,
    supply_call,
)
from keeper.lab.localchain.random_actions import LIQUIDATION_GAS, part_of
from keeper.lab.localchain.transactions import Call, encode_call

MAX_FEE = WAD // 4
ORACLE_SCALE = 10**36
BOTH_WAYS = "uint256,uint256,address,address"


@dataclass(frozen=True, slots=True)
class MorphoView:
    """What the drawing may see: the market, its totals, everyone's account, who may get fees, the price now."""

    market: MorphoMarket
    totals: MarketTotals
    accounts: Mapping[str, MorphoAccount]
    recipients: tuple[str, ...]
    price: int

    def debt_max(self, user: str) -> int:
        """Return what the user may owe, in loan units."""
        return self.accounts[user].collateral * self.price // ORACLE_SCALE * self.market.lltv // WAD


@dataclass(frozen=True, slots=True)
class MorphoAsk:
    """The arguments of one ``liquidate``, and who makes it: collateral to seize or shares to repay."""

    borrower: str
    seized: int
    repaid_shares: int
    liquidator: str


@dataclass(frozen=True, slots=True)
class MorphoAction:
    """One transaction: its kind, the call, and what was asked if it is a liquidation."""

    kind: str
    call: Call
    asked: MorphoAsk | None = None


Draw = Callable[[random.Random, MorphoView, str], Call]


def _morpho(user: str, view: MorphoView, signature: str, *arguments: object) -> Call:
    name, _, types = signature.partition("(")
    data = encode_call(f"{name}({PARAMS},{types}", view.market.params, *arguments)
    return Call(user, view.market.morpho, data)


def _either(chance: random.Random, assets: int, shares: int) -> tuple[int, int]:
    """Draw assets or shares, the other being zero; all the shares one time in three."""
    if chance.random() < 0.5:  # noqa: PLR2004 - a share
        return part_of(chance, assets), 0
    return 0, max(1, shares) if chance.random() < 0.33 else part_of(chance, shares)  # noqa: PLR2004 - a share


def supply(chance: random.Random, view: MorphoView, user: str) -> Call:
    """Lend to the market."""
    return supply_call(view.market, user, int(math.exp(chance.uniform(0, math.log(10**11)))))


def withdraw(chance: random.Random, view: MorphoView, user: str) -> Call:
    """Take back what was lent."""
    shares = view.accounts[user].supply_shares
    assets = shares * (view.totals.supply_assets + 1) // (view.totals.supply_shares + 10**6)
    return _morpho(user, view, f"withdraw({BOTH_WAYS})", *_either(chance, assets, shares), user, user)


def borrow(chance: random.Random, view: MorphoView, user: str) -> Call:
    """Borrow a part of what the account may, often all of it."""
    room = view.debt_max(user) - view.accounts[user].debt
    return borrow_call(view.market, user, max(1, int(room * chance.choice((0.3, 0.9, 0.995, 1.0)))))


def repay(chance: random.Random, view: MorphoView, user: str) -> Call:
    """Repay, one time in five somebody else's debt."""
    whom = user if chance.random() < 0.8 else chance.choice(list(view.accounts))  # noqa: PLR2004 - the docstring's share
    account = view.accounts[whom]
    amounts = _either(chance, account.debt, account.borrow_shares)
    return _morpho(user, view, "repay(uint256,uint256,address,bytes)", *amounts, whom, b"")


def supply_collateral(chance: random.Random, view: MorphoView, user: str) -> Call:
    """Put up collateral, from dust to fifty whole tokens."""
    return collateral_call(view.market, user, int(math.exp(chance.uniform(0, math.log(50 * WAD)))))


def withdraw_collateral(chance: random.Random, view: MorphoView, user: str) -> Call:
    """Take collateral back, often as much as the debt leaves free."""
    account = view.accounts[user]
    needed = account.debt * WAD // view.market.lltv * ORACLE_SCALE // max(1, view.price)
    whole = account.collateral if chance.random() < 0.3 else max(0, account.collateral - needed)  # noqa: PLR2004 - a share
    return _morpho(user, view, "withdrawCollateral(uint256,address,address)", part_of(chance, whole), user, user)


def accrue(_: random.Random, view: MorphoView, user: str) -> Call:
    """Do nothing but accrue."""
    return Call(user, view.market.morpho, encode_call(f"accrueInterest({PARAMS})", view.market.params))


def elsewhere(chance: random.Random, view: MorphoView, user: str) -> Call:
    """Put up collateral in the contract's other market."""
    signature = f"supplyCollateral({PARAMS},uint256,address,bytes)"
    data = encode_call(signature, view.market.other, chance.randint(1, WAD), user, b"")
    return Call(user, view.market.morpho, data)


USER_ACTIONS: tuple[tuple[int, Draw], ...] = (
    (14, supply),
    (10, withdraw),
    (30, borrow),
    (14, repay),
    (16, supply_collateral),
    (8, withdraw_collateral),
    (3, accrue),
    (5, elsewhere),
)


def user_action(chance: random.Random, view: MorphoView, user: str) -> MorphoAction:
    """Draw what this account does."""
    (draw,) = chance.choices([draw for _, draw in USER_ACTIONS], [weight for weight, _ in USER_ACTIONS])
    return MorphoAction(draw.__name__, draw(chance, view, user))


def governance(chance: random.Random, view: MorphoView) -> MorphoAction:
    """Draw what the owner does: the market's fee, or who gets it."""
    market = view.market
    if chance.random() < 0.6:  # noqa: PLR2004 - a share
        fee = chance.choice((0, MAX_FEE, chance.randint(1, MAX_FEE)))
        return MorphoAction("fee", _morpho(market.admin, view, "setFee(uint256)", fee))
    data = encode_call("setFeeRecipient(address)", chance.choice(view.recipients))
    return MorphoAction("recipient", Call(market.admin, market.morpho, data))


def next_price(chance: random.Random, price: int) -> int:
    """Draw a price: a noisy walk that is drawn back to where it began, with a jump now and then."""
    jump = chance.choice((-0.25, -0.12, 0.15)) if chance.random() < 0.08 else 0.0  # noqa: PLR2004 - a share
    moved = 0.05 * math.log(FIRST_PRICE / price) + jump + chance.gauss(0, 0.03)
    return max(1, int(price * math.exp(moved)) + chance.randint(0, 10**9))


def price_action(view: MorphoView, price: int) -> MorphoAction:
    """Return the action that sets a price."""
    return MorphoAction("price", price_call(view.market, price))


def liquidation(chance: random.Random, view: MorphoView, borrower: str, liquidator: str) -> MorphoAction:
    """Draw a liquidation: by collateral or by shares, from one unit to more than there is."""
    account = view.accounts[borrower]
    seized = shares = 0
    if chance.random() < 0.5:  # noqa: PLR2004 - a share
        seized = account.collateral if chance.random() < 0.4 else part_of(chance, account.collateral)  # noqa: PLR2004 - a share
    else:
        whole = account.borrow_shares
        shares = whole if chance.random() < 0.4 else part_of(chance, whole)  # noqa: PLR2004 - a share
    asked = MorphoAsk(borrower, seized, shares, liquidator)
    arguments = (view.market.params, borrower, seized, shares, b"")
    data = encode_call(f"liquidate({PARAMS},address,uint256,uint256,bytes)", *arguments)
    return MorphoAction("liquidation", Call(liquidator, view.market.morpho, data, LIQUIDATION_GAS), asked)
