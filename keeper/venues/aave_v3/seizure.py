"""What the versions of ``liquidationCall`` have in common: the call that is repeated, and what it moves."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from keeper.venues.aave_v3.margin import Holding, Position, UserAccountData
from keeper.venues.aave_v3.market import CategoryNow, Market, Unknown
from keeper.venues.aave_v3.math import WAD
from keeper.venues.aave_v3.rules import CLOSE_FACTOR_HEALTH

BARE_REVERT = "0x"
DIVISION_BY_ZERO = "Panic(0x12)"
UNDERFLOW = "Panic(0x11)"


class Case(msgspec.Struct, frozen=True, gc=False):
    """One call that is being repeated: on whom, in which market, what for what."""

    market: Market
    position: Position
    mode: CategoryNow
    account: UserAccountData
    debt: Holding
    collateral: Holding
    cover: int

    @property
    def health(self) -> int:
        """The account's health, in wad."""
        return self.account.health_factor


class Seizure(msgspec.Struct, frozen=True, gc=False):
    """Amounts of a liquidation: debt tokens ``repaid``, collateral tokens ``seized`` and ``fee`` out of ``balance``.

    ``nothing_left`` tells that the account had no other collateral, so that the debt it cannot repay is written off.
    """

    repaid: int
    seized: int
    fee: int
    balance: int
    nothing_left: bool = False


def settled(case: Case, done: Seizure, debt: Holding, supplied: int) -> Position:
    """Return the position with the debt that was left, and with collateral of this scaled balance."""
    reserve, emptied = case.collateral.reserve, done.seized + done.fee == done.balance
    changed = {debt.reserve.index: debt}
    collateral = changed.get(reserve.index, case.collateral)
    changed[reserve.index] = replace(collateral, collateral=not emptied, supplied=supplied)
    holdings = tuple(changed.get(held.reserve.index, held) for held in case.position.holdings)
    return Position(case.position.mode, holdings)


def unknown(*figures: object) -> str:
    """Return the refusal for the first figure that is missing."""
    return next(f"unknown: {figure.reason}" for figure in figures if isinstance(figure, Unknown))


def kept_by_sentinel(market: Market, health: int) -> bool | Unknown:
    """Tell whether the sentinel keeps an account of this health from being liquidated."""
    guarded = market.guarded
    if guarded in (None, True) or health < CLOSE_FACTOR_HEALTH:
        return False
    return guarded if isinstance(guarded, Unknown) else True


def is_healthy(health: int) -> bool:
    """Tell whether an account of this health may not be liquidated."""
    return health >= WAD
