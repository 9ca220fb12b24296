"""What an account's owner may do so that it is not liquidated: what may be asked of a venue about the operator's own.

Three actions, in the field's words: *repay* some debt from the wallet, *top up* the collateral from the wallet, and
*reduce*: let collateral that is the very asset owed pay for its debt, both sides becoming smaller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from keeper.core.ids import Address
from keeper.core.units import TokenAmount, Wad

if TYPE_CHECKING:
    from keeper.core.facts import RawLog
    from keeper.core.venue import Call

ProtectionAction = Literal["repay", "top-up", "reduce"]


class ProtectionOption(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An action that would raise an account's health, and the most of the asset that it makes sense with."""

    action: ProtectionAction
    asset: Address
    amount_max: TokenAmount


class ProtectedHealth(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The health that an action leaves, rounded as the contract rounds; ``None`` when no debt is left.

    ``refusal`` is why the contract would refuse the action, or why its effect is not known; the health is then ``None``
    too.
    """

    health_wad: Wad | None
    refusal: str | None = None


class ProtectionView(Protocol):
    """What may be asked of a venue where anybody may repay for, or add to, an account. Amounts are of the asset.

    Attributes:
        protection_gas: What an action is expected to cost at most, in gas.
    """

    protection_gas: int

    @property
    def spender(self) -> Address | None:
        """The contract that is called and takes the tokens, by an allowance; ``None`` before it is known."""

    def tokens(self) -> tuple[Address, ...]:
        """The tokens that actions may take from a wallet, in the venue's order."""

    def options(self, account: Address) -> tuple[ProtectionOption, ...]:
        """Every action that could raise the account's health, in the order of the venue's list; none without debt.

        ``reduce`` is among them for whoever holds both sides, though only the account itself can do it.
        """

    def preview(
        self, account: Address, action: ProtectionAction, asset: Address, amount: TokenAmount, seconds: int = 0
    ) -> ProtectedHealth:
        """The health that an action leaves, so many seconds after the current block, exactly."""

    def call(self, account: Address, action: ProtectionAction, asset: Address, amount: TokenAmount) -> Call:
        """The transaction that does it; of a repayment ``amount`` is the most that may leave the wallet."""

    def moved(self, log: RawLog) -> Address | None:
        """Whose debt or collateral a log says has changed, ``None`` for any other log."""
