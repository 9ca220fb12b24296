"""What a run was told to do, in the exact form the engine decides by.

The composition root derives it from the operator's settings; it is part of the ``RunStarted`` fact, so a replay
needs nothing but the journal. It holds no secret and no URL.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from keeper.core.ids import Address, Hash32
from keeper.core.protection import ProtectionAction
from keeper.core.units import BaseAmount, Bps, Price, TokenAmount, Wad, Wei


class ChainSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A chain the run follows.

    ``finality_depth_blocks`` is ``None`` when the chain's own ``finalized`` tag is used. ``wrapped_native`` is the
    token whose venue price values gas. No head for ``stale_after_seconds`` makes every account ``Unknown``. While
    ``scanned``, logs are read again from a second provider, and what they changed can be taken back until then.
    """

    name: str
    chain_id: int
    finality_depth_blocks: int | None
    stale_after_seconds: int
    wrapped_native: Address | None
    scanned: bool = False


class IsolatedSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which isolated market a venue is: its id, and what one whole of its loan token counts as (USD, 1e-8).

    With ``pre_liquidation`` the venue is that contract, which closes debts of this market before they are unsafe.
    """

    market: Hash32
    loan_price: Price
    pre_liquidation: Address | msgspec.UnsetType = msgspec.UNSET


class ExchangeSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The contracts of an exchange of perpetuals beside its root. None of them names another in an event."""

    account_balance: Address
    exchange: Address
    vault: Address
    config: Address
    collateral_manager: Address
    registry: Address
    insurance_fund: Address
    quote: Address
    settlement: Address
    settlement_decimals: int


class VenueSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A deployment of a protocol on a chain.

    ``root`` is the protocol's root contract (Aave: PoolAddressesProvider; Morpho: the contract itself; Perpetual
    Protocol: the clearing house). ``prices`` is
    ``"read"`` (the venue's oracle is called at every block) or ``"events"`` (its feeds emit ``AnswerUpdated``; the
    oracle is called once for each new source). ``bootstrap`` is ``"logs"`` (all events since ``from_block`` are folded)
    or ``"snapshot"`` (the venue is read at one block). ``isolated`` is set where the protocol has isolated markets,
    ``contracts`` where it is an exchange; else they are unset (and so not encoded) rather than empty: records of before
    them are read and written alike.
    """

    name: str
    protocol: str
    chain_id: int
    root: Address
    from_block: int
    prices: Literal["read", "events"]
    bootstrap: Literal["logs", "snapshot"] = "logs"
    isolated: IsolatedSpec | msgspec.UnsetType = msgspec.UNSET
    contracts: ExchangeSpec | msgspec.UnsetType = msgspec.UNSET


class SignerSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signing account; ``in_flight_max`` transactions may be unmined at once."""

    name: str
    address: Address
    in_flight_max: int
    bump_after_blocks: int
    valid_for_blocks: int
    balance_wei_min: Wei


class PartialLiquidationSpec(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="partial_liquidation"
):
    """Parameters of ``strategies/partial_liquidation.py``.

    ``slippage_bps`` (by collateral token, else ``slippage_bps_default``) is what selling the seized collateral is
    assumed to cost; ``slippage_bps_per_million`` adds to that for each million USD sold at once. A slice that would
    leave less than ``dust_base`` of the debt takes all that the close factor allows. ``exit_slippage_bps`` bounds the
    price at which a position that was taken over is left again, from the mark price. ``more_signers`` act after
    ``signer``, in their order, on what it has no room or no means for.
    """

    name: str
    venues: tuple[str, ...]
    signer: str
    objective: Literal["target-health", "max-profit"]
    target_health: Wad
    slippage_bps: dict[str, Bps]
    slippage_bps_default: Bps
    dust_base: BaseAmount
    slippage_bps_per_million: dict[str, Bps] = {}
    exit_slippage_bps: Bps = Bps(200)
    more_signers: tuple[str, ...] = ()

    @property
    def signers(self) -> tuple[str, ...]:
        """All signers, first choice first."""
        return (self.signer, *self.more_signers)


class PreLiquidationSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="pre_liquidation"):
    """Parameters of ``strategies/pre_liquidation.py``.

    ``headroom_bps`` is the share of what the close factor lets that a slice leaves alone. The costs of selling and the
    signers are those of :class:`PartialLiquidationSpec`.
    """

    name: str
    venues: tuple[str, ...]
    signer: str
    target_health: Wad
    headroom_bps: Bps
    slippage_bps: dict[str, Bps]
    slippage_bps_default: Bps
    slippage_bps_per_million: dict[str, Bps] = {}
    more_signers: tuple[str, ...] = ()

    @property
    def signers(self) -> tuple[str, ...]:
        """All signers, first choice first."""
        return (self.signer, *self.more_signers)


class SelfProtectSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="self_protect"):
    """Parameters of ``strategies/self_protect.py``.

    An own account of ``accounts`` whose health is below ``floor_health`` is brought to ``target_health`` by one of
    ``actions``, first choice first.
    """

    name: str
    venues: tuple[str, ...]
    signer: str
    accounts: tuple[Address, ...]
    floor_health: Wad
    target_health: Wad
    actions: tuple[ProtectionAction, ...]
    more_signers: tuple[str, ...] = ()

    @property
    def signers(self) -> tuple[str, ...]:
        """All signers, first choice first."""
        return (self.signer, *self.more_signers)


class DeltaHedgeSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="delta_hedge"):
    """Parameters of ``strategies/delta_hedge.py``.

    ``exposures`` maps tokens to base tokens of markets of ``hedge_venue``. What the signer's wallet and ``accounts`` at
    ``venues`` have of them is hedged where it is worth more than ``band_base``.
    """

    name: str
    venues: tuple[str, ...]
    signer: str
    accounts: tuple[Address, ...]
    hedge_venue: str
    exposures: tuple[tuple[Address, Address], ...]
    band_base: BaseAmount
    slippage_bps: Bps

    @property
    def signers(self) -> tuple[str, ...]:
        """The one signer."""
        return (self.signer,)


SlicingSpec = PartialLiquidationSpec | PreLiquidationSpec
"""The parameters of a strategy that closes others' positions in slices."""
StrategySpec = SlicingSpec | SelfProtectSpec | DeltaHedgeSpec
"""The parameters of a strategy; the tag says of which."""


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The policy gate's limits; base amounts are USD, 1e-8.

    A venue is paused for ``breaker_pause_blocks`` when ``reverts_per_venue_max`` transactions reverted within
    ``breaker_window_blocks`` with no success between. What is unsigned ``decision_ttl_blocks`` after it was decided is
    dropped. ``gas_wei_per_hour_max`` is of each signer.
    """

    profit_base_min: BaseAmount
    gas_price_wei_max: Wei
    spend_base_per_hour_max: BaseAmount
    spend_base_per_intent_max: BaseAmount
    attempts_per_account_max: int
    head_age_seconds_max: int
    reverts_per_venue_max: int = 5
    breaker_window_blocks: int = 50
    breaker_pause_blocks: int = 50
    gas_wei_per_hour_max: Wei = Wei(5 * 10**18)
    decision_ttl_blocks: int = 2


class GarchSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A GARCH(1,1) variance beside the moving average: what the last square and the last variance weigh.

    Their sum is below one. The long-run variance is that of the asset's ``vol_annual``.
    """

    alpha: float
    beta: float


class RegimeSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two regimes of a price, calm and stressed, whose long-run variance is that of the asset's ``vol_annual``.

    Attributes:
        stress_vol_factor: The stressed volatility as a multiple of the calm one, above 1.
        calm_samples: How many samples calm is expected to last.
        stress_samples: How many stress is.
        move_factor_max: What certain stress multiplies moves by, at least 1; less likely stress in proportion.
    """

    stress_vol_factor: float
    calm_samples: int
    stress_samples: int
    move_factor_max: float


class RiskSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The model behind the second opinion of a venue's accounts. Shares and volatilities are plain numbers, 1 for all.

    Attributes:
        venue: The venue's name.
        model: ``static`` (every price moves by ``move``), ``volatility`` (each by its own volatility, the worst of each
            added up) or ``portfolio`` (the joint loss of all, by their covariance).
        horizon_seconds: From seeing a breach to having closed it.
        quantile: Of the standardised move at the operator's confidence.
        safety_factor: Multiplies every move.
        warning_factor: The moves, so many times enlarged, make the difference between safe and warned.
        move: Of every price, in the static model.
        move_min: The least move that is reckoned with.
        move_max: The greatest.
        vol_annual: Of an asset without enough history, and the least of any asset named in ``vols_annual``.
        vols_annual: The same by asset.
        decay: Of the moving average of squared returns, for each sample.
        sample_seconds: Between two samples of prices.
        samples_min: Fewer are not enough history.
        half_life_seconds: Moves that are smaller than before come down at this speed.
        heartbeat_seconds: A price that has been unknown for longer makes accounts unknown.
        step_max: A price that jumps by more, in one look, is not believed at once.
        confirmations: Looks in a row that must say alike before it is.
        garch: A second forecast of variance, of which the greater counts; unset (and so not encoded) there is none.
        regimes: What makes moves greater while a price is likely to be in stress; unset, nothing does.
    """

    venue: str
    model: Literal["static", "volatility", "portfolio"]
    horizon_seconds: int
    quantile: float
    safety_factor: float
    warning_factor: float
    move: float
    move_min: float
    move_max: float
    vol_annual: float
    vols_annual: dict[str, float]
    decay: float
    sample_seconds: int
    samples_min: int
    half_life_seconds: int
    heartbeat_seconds: int
    step_max: float
    confirmations: int
    garch: GarchSpec | msgspec.UnsetType = msgspec.UNSET
    regimes: RegimeSpec | msgspec.UnsetType = msgspec.UNSET


class RunConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything the engine decides by. Without ``risk`` (then it is not encoded) no second opinion is formed."""

    live: bool
    chains: tuple[ChainSpec, ...]
    venues: tuple[VenueSpec, ...]
    signers: tuple[SignerSpec, ...]
    strategies: tuple[StrategySpec, ...]
    limits: Limits
    risk: tuple[RiskSpec, ...] | msgspec.UnsetType = msgspec.UNSET


class Holding(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A signer's balance of one token and what it allows one venue's pool to take."""

    token: Address
    spender: Address
    balance: TokenAmount
    allowance: TokenAmount
