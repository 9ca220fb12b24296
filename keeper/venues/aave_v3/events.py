"""What the logs say, one small type for each kind of change; amounts are plain integers as the contract emits them."""

from __future__ import annotations

import msgspec

from keeper.core.ids import Address


class AddressSet(msgspec.Struct, frozen=True, gc=False):
    """The provider names a contract for an identifier (``ProxyCreated``, ``PriceOracleUpdated`` ...)."""

    identifier: bytes
    address: Address


class Upgraded(msgspec.Struct, frozen=True, gc=False):
    """A proxy has a new implementation."""

    implementation: Address


class ReserveInitialized(msgspec.Struct, frozen=True, gc=False):
    """An asset is listed, with its three tokens."""

    asset: Address
    a_token: Address
    stable_token: Address
    variable_token: Address


class ReserveDropped(msgspec.Struct, frozen=True, gc=False):
    """An asset is delisted; its place in the list is free."""

    asset: Address


class TokenInitialized(msgspec.Struct, frozen=True, gc=False):
    """An aToken says its decimals. Emitted before ``ReserveInitialized`` of the same transaction."""

    asset: Address
    pool: Address
    decimals: int


class CollateralConfigured(msgspec.Struct, frozen=True, gc=False):
    """Ratios of an asset as collateral, 1e-4."""

    asset: Address
    ltv: int
    threshold: int
    bonus: int


class CategorySet(msgspec.Struct, frozen=True, gc=False):
    """Ratios of an efficiency-mode category, 1e-4, and its price source (zero: each asset's own price)."""

    category: int
    ltv: int
    threshold: int
    bonus: int
    price_source: Address


class AssetCategorySet(msgspec.Struct, frozen=True, gc=False):
    """An asset joins a category (zero: leaves)."""

    asset: Address
    category: int


class CategoryMemberSet(msgspec.Struct, frozen=True, gc=False):
    """An asset counts as collateral in a category from now on, or no longer."""

    asset: Address
    category: int
    member: bool


class CategoryLtvZeroSet(msgspec.Struct, frozen=True, gc=False):
    """An asset lends nothing in a category from now on, or again."""

    asset: Address
    category: int
    zero: bool


class GraceSet(msgspec.Struct, frozen=True, gc=False):
    """Nobody is liquidated over an asset until ``until`` (seconds)."""

    asset: Address
    until: int


class ProtocolFeeSet(msgspec.Struct, frozen=True, gc=False):
    """The treasury's share of the liquidation bonus, 1e-4."""

    asset: Address
    fee: int


class ActiveSet(msgspec.Struct, frozen=True, gc=False):
    """A reserve is switched on or off."""

    asset: Address
    active: bool


class PausedSet(msgspec.Struct, frozen=True, gc=False):
    """A reserve is paused or resumed."""

    asset: Address
    paused: bool


class RatesUpdated(msgspec.Struct, frozen=True, gc=False):
    """Interest indexes and yearly rates of a reserve at the block's timestamp, ray (``ReserveDataUpdated``)."""

    asset: Address
    liquidity_rate: int
    variable_rate: int
    liquidity_index: int
    variable_index: int


class CollateralToggled(msgspec.Struct, frozen=True, gc=False):
    """An account's supply of an asset counts as collateral from now on, or no longer."""

    asset: Address
    user: Address
    enabled: bool


class ModeSet(msgspec.Struct, frozen=True, gc=False):
    """An account chose an efficiency-mode category (zero: none)."""

    user: Address
    category: int


class Liquidated(msgspec.Struct, frozen=True, gc=False):
    """A liquidation: what was repaid, what the liquidator received, and whether in aTokens."""

    collateral_asset: Address
    debt_asset: Address
    user: Address
    repaid: int
    seized: int
    liquidator: Address
    in_a_tokens: bool


class ScaledMinted(msgspec.Struct, frozen=True, gc=False):
    """An aToken or variable debt grew by ``value``, of which ``interest`` is accrual; ``index`` in ray."""

    user: Address
    value: int
    interest: int
    index: int


class ScaledBurned(msgspec.Struct, frozen=True, gc=False):
    """An aToken or variable debt shrank by ``value`` after an accrual of ``interest``; ``index`` in ray."""

    user: Address
    value: int
    interest: int
    index: int


class ScaledTransferred(msgspec.Struct, frozen=True, gc=False):
    """A scaled amount of an aToken moved between accounts."""

    sender: Address
    recipient: Address
    scaled: int


class StableMinted(msgspec.Struct, frozen=True, gc=False):
    """Stable debt grew by ``amount``, accrual included; ``rate`` is the account's new one, ray."""

    user: Address
    amount: int
    rate: int


class StableBurned(msgspec.Struct, frozen=True, gc=False):
    """The principal of a stable debt shrank by ``amount``, accrual already taken off."""

    user: Address
    amount: int


class SourceSet(msgspec.Struct, frozen=True, gc=False):
    """The oracle takes an asset's price from this feed from now on."""

    asset: Address
    source: Address


class AnswerUpdated(msgspec.Struct, frozen=True, gc=False):
    """A feed's answer, signed."""

    answer: int


Change = (
    AddressSet
    | Upgraded
    | ReserveInitialized
    | ReserveDropped
    | TokenInitialized
    | CollateralConfigured
    | CategorySet
    | AssetCategorySet
    | CategoryMemberSet
    | CategoryLtvZeroSet
    | GraceSet
    | ProtocolFeeSet
    | ActiveSet
    | PausedSet
    | RatesUpdated
    | CollateralToggled
    | ModeSet
    | Liquidated
    | ScaledMinted
    | ScaledBurned
    | ScaledTransferred
    | StableMinted
    | StableBurned
    | SourceSet
    | AnswerUpdated
)
