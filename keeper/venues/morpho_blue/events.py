"""What the contract's logs say, one struct for each kind. Which market is told by the log and is not repeated."""

from __future__ import annotations

import msgspec

from keeper.core.ids import Address


class MarketCreated(msgspec.Struct, frozen=True, gc=False):
    """The market begins; ``lltv`` is its liquidation loan to value, wad."""

    loan_token: Address
    collateral_token: Address
    oracle: Address
    irm: Address
    lltv: int


class FeeSet(msgspec.Struct, frozen=True, gc=False):
    """The fee recipient's share of the interest, wad."""

    fee: int


class FeeRecipientSet(msgspec.Struct, frozen=True, gc=False):
    """Who gets the fee shares of every market of the contract from now on."""

    recipient: Address


class InterestAccrued(msgspec.Struct, frozen=True, gc=False):
    """Interest was added to both totals, and shares for the fee; ``rate`` is wad per second since the last time."""

    rate: int
    interest: int
    fee_shares: int


class Supplied(msgspec.Struct, frozen=True, gc=False):
    """Loan tokens were lent to the market."""

    account: Address
    assets: int
    shares: int


class Withdrawn(msgspec.Struct, frozen=True, gc=False):
    """Loan tokens were taken back."""

    account: Address
    assets: int
    shares: int


class Borrowed(msgspec.Struct, frozen=True, gc=False):
    """Loan tokens were borrowed."""

    account: Address
    assets: int
    shares: int


class Repaid(msgspec.Struct, frozen=True, gc=False):
    """Loan tokens were repaid; ``assets`` may be one more than the market's whole debt."""

    account: Address
    assets: int
    shares: int


class CollateralSupplied(msgspec.Struct, frozen=True, gc=False):
    """Collateral was put up. The one movement that accrues no interest."""

    account: Address
    assets: int


class CollateralWithdrawn(msgspec.Struct, frozen=True, gc=False):
    """Collateral was taken back."""

    account: Address
    assets: int


class Liquidated(msgspec.Struct, frozen=True, gc=False):
    """A liquidation; the bad debt is what no collateral was left for, and the suppliers bear it."""

    liquidator: Address
    account: Address
    repaid_assets: int
    repaid_shares: int
    seized: int
    bad_debt_assets: int
    bad_debt_shares: int


Change = (
    MarketCreated
    | FeeSet
    | FeeRecipientSet
    | InterestAccrued
    | Supplied
    | Withdrawn
    | Borrowed
    | Repaid
    | CollateralSupplied
    | CollateralWithdrawn
    | Liquidated
)


class Authorized(msgspec.Struct, frozen=True, gc=False):
    """An account lets the pre-liquidation contract act on its positions, or no longer."""

    account: Address
    allowed: bool


class PreLiquidated(msgspec.Struct, frozen=True, gc=False):
    """A part of a debt was closed by the pre-liquidation contract; repayment and withdrawal were told before."""

    liquidator: Address
    account: Address
    repaid_assets: int
    repaid_shares: int
    seized: int
