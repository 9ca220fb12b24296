"""What the logs say, one small type for each kind of change; amounts are plain integers as the contract emits them."""

from __future__ import annotations

import msgspec

from keeper.core.ids import Address


class PoolAdded(msgspec.Struct, frozen=True, gc=False):
    """A market is listed: its base token and its pool."""

    base: Address
    pool: Address


class StatusUpdated(msgspec.Struct, frozen=True, gc=False):
    """A base token opens (0), pauses or closes."""

    status: int


class Swapped(msgspec.Struct, frozen=True, gc=False):
    """A pool's price (square root, 2^-96) and tick after a swap."""

    sqrt_price: int
    tick: int


class FundingUpdated(msgspec.Struct, frozen=True, gc=False):
    """A market's funding was brought up to the block's timestamp, with this index price (1e-18)."""

    base: Address
    index: int


class FundingSettled(msgspec.Struct, frozen=True, gc=False):
    """A trader's funding in a market was settled; what was paid stands in a :class:`PnlRealized` of its own."""

    trader: Address
    base: Address


class PositionChanged(msgspec.Struct, frozen=True, gc=False):
    """A taker's position grew by ``size`` (1e-18, signed) and has this open notional now."""

    trader: Address
    base: Address
    size: int
    open_notional: int


class PositionClosed(msgspec.Struct, frozen=True, gc=False):
    """A position in a closed market was settled."""

    trader: Address
    base: Address


class LiquidityChanged(msgspec.Struct, frozen=True, gc=False):
    """A maker added liquidity, or took some away."""

    maker: Address
    base: Address
    liquidity: int


class PositionLiquidated(msgspec.Struct, frozen=True, gc=False):
    """A liquidator took over this much of a position (unsigned, 1e-18), for this much; ``penalty`` in all."""

    trader: Address
    base: Address
    notional: int
    size: int
    penalty: int
    liquidator: Address


class PnlRealized(msgspec.Struct, frozen=True, gc=False):
    """Something is owed to a trader (or by it) from now on, 1e-18."""

    trader: Address
    amount: int


class Deposited(msgspec.Struct, frozen=True, gc=False):
    """Collateral came in, base units of the token."""

    token: Address
    trader: Address
    amount: int


class Withdrawn(msgspec.Struct, frozen=True, gc=False):
    """Collateral went out, base units of the token."""

    token: Address
    trader: Address
    amount: int


class CollateralLiquidated(msgspec.Struct, frozen=True, gc=False):
    """Collateral was sold to repay a trader's debt, base units of both tokens."""

    trader: Address
    token: Address
    liquidator: Address
    collateral: int
    repaid: int
    fee: int


class BadDebtSettled(msgspec.Struct, frozen=True, gc=False):
    """The insurance fund took over a trader's debt, base units of the settlement token."""

    trader: Address
    amount: int


class CollateralAdded(msgspec.Struct, frozen=True, gc=False):
    """A token is accepted as collateral at this ratio, and sold at this discount, 1e-6."""

    token: Address
    ratio: int
    discount: int


class CollateralRatioChanged(msgspec.Struct, frozen=True, gc=False):
    """A collateral counts at another ratio, 1e-6."""

    token: Address
    ratio: int


class DiscountRatioChanged(msgspec.Struct, frozen=True, gc=False):
    """A collateral is sold at another discount, 1e-6."""

    token: Address
    discount: int


class CollateralFeedChanged(msgspec.Struct, frozen=True, gc=False):
    """A collateral is priced by another feed."""

    token: Address


class TermsChanged(msgspec.Struct, frozen=True, gc=False):
    """One figure of the terms of a sale has another value; ``name`` is that of the field here."""

    name: str
    value: int


class DebtThresholdGiven(msgspec.Struct, frozen=True, gc=False):
    """A trader may have a debt of its own measure, base units of the settlement token; zero for everyone's."""

    trader: Address
    amount: int


class PauseChanged(msgspec.Struct, frozen=True, gc=False):
    """A contract refuses everything from now on, or no longer does."""

    paused: bool


class ConfigChanged(msgspec.Struct, frozen=True, gc=False):
    """One figure of the configuration has another value; ``name`` is that of the field here."""

    name: str
    value: int


Change = (
    PoolAdded
    | StatusUpdated
    | Swapped
    | FundingUpdated
    | FundingSettled
    | PositionChanged
    | PositionClosed
    | LiquidityChanged
    | PositionLiquidated
    | PnlRealized
    | Deposited
    | Withdrawn
    | CollateralLiquidated
    | BadDebtSettled
    | CollateralAdded
    | CollateralRatioChanged
    | DiscountRatioChanged
    | CollateralFeedChanged
    | TermsChanged
    | DebtThresholdGiven
    | PauseChanged
    | ConfigChanged
)
