"""Positions that a liquidator takes over at the mark price, and leaves again: what may be asked of such a venue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from keeper.core.facts import RawLog
from keeper.core.ids import Address
from keeper.core.units import BaseAmount, BigInt, Bps, TokenAmount

if TYPE_CHECKING:
    from keeper.core.venue import Call, Preview


class Takeover(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What taking a position over means for the one who takes it.

    Attributes:
        size: What is taken over, signed as the position, in the base token's 1e-18.
        fee: What the taker earns by it, in the quote token's 1e-18.
        margin_base: The most of its free collateral that this can bind.
        free_base: Its free collateral afterwards; below zero the contract refuses.
        position: Its position in that market afterwards, as ``size``.
    """

    size: BigInt
    fee: TokenAmount
    margin_base: BaseAmount
    free_base: BaseAmount
    position: BigInt


class TakeoverView(Protocol):
    """What may be asked of a venue where a liquidator takes positions over at the mark price. Sizes are unsigned."""

    @property
    def target(self) -> Address:
        """The contract that is called."""

    def largest(self, account: Address) -> tuple[tuple[Address, TokenAmount], ...]:
        """Every market in which a position of the account may be taken over, and the largest size of it."""

    def preview(self, account: Address, market: Address, size: TokenAmount, taker: Address) -> Preview:
        """What the contract would do, exactly; that the taker's free collateral is short is told, and no revert."""

    def held(self, account: Address) -> tuple[tuple[Address, BigInt], ...]:
        """The account's own positions: market and size, signed; none of one that provides liquidity."""

    def exit_call(self, account: Address, market: Address, slippage: Bps) -> Call | None:
        """The transaction that leaves a position through the pool, at that much off the mark price at worst.

        ``None`` while the mark price is not known.
        """

    def moved(self, log: RawLog) -> Address | None:
        """Whose position a log says has changed, ``None`` for any other log."""
