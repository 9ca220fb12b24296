"""How much of an account a liquidation may take, by the rules of each venue, in float64 for risk and simulation.

The closed forms for a target health and for two slices are those of :mod:`keeper.margin.sizing`, in integers of 1e-8
USD; they are called here, not written again. Ratios that a contract holds in 1e-4 are :class:`~keeper.core.units.Bps`.
"""

from __future__ import annotations

from math import inf, sqrt
from typing import NamedTuple

from keeper.core.errors import RiskInputError
from keeper.core.units import BaseAmount, Bps, Wad
from keeper.margin.sizing import target_cover_base, two_slices
from keeper.risk.bonus import protocol_fee
from keeper.risk.inputs import integer, number

DRIFT_TINY_SHORTAGE_USD = 50.0
"""A shortage below this is liquidated at once."""
AAVE_V3_CLOSE_FACTOR = 0.5
AAVE_V3_FULL_HEALTH = 0.95
"""At this health and below the close factor does not bind."""
AAVE_V3_FULL_USD = 2_000.0
"""Nor where debt or collateral of the reserve is below this."""
AAVE_DUST_USD = 1_000.0
"""What a liquidation leaves is nothing or at least this."""


def derive_buffer_margin(mark_to_market_usd: float, maintenance_usd: float, buffer: float) -> float:
    """Return the margin that an auction restores to zero: ``BM = MM + (MM - MtM) · buffer``.

    Source: lyra-finance/v2-core d69b557, ``DutchAuction.sol``. Margins are negative below the requirement.

    Raises:
        RiskInputError: the buffer is negative, or a margin not finite.
    """
    maintenance = number("maintenance_usd", maintenance_usd)
    gap = maintenance - number("mark_to_market_usd", mark_to_market_usd)
    return maintenance + gap * number("buffer", buffer, least=0)


def derive_fraction(
    mark_to_market_usd: float, buffer_margin_usd: float, discount: float, reserved_usd: float = 0.0
) -> float:
    """Return the largest fraction of a solvent account that may be bought: it restores the buffer margin to zero.

    ``f = BM / (BM - MtM·d - R·(1 - d))``; none while the margin holds. The cash ``R`` of earlier bids is not sold.

    Args:
        mark_to_market_usd: What the account is worth, the reserve included.
        buffer_margin_usd: Of :func:`derive_buffer_margin`.
        discount: The share ``d`` of the worth that is asked for.
        reserved_usd: What earlier bids paid.

    Raises:
        RiskInputError: the account is insolvent or worth less than its reserve, or the discount is outside [0, 1].
    """
    reserved = number("reserved_usd", reserved_usd, least=0)
    worth = number("mark_to_market_usd", mark_to_market_usd, least=reserved)
    margin = number("buffer_margin_usd", buffer_margin_usd)
    share = number("discount", discount, least=0, most=1)
    if margin >= 0:
        return 0.0
    return margin / (margin - worth * share - reserved * (1.0 - share))


def derive_after_bid(figure_usd: float, fraction: float, bid_usd: float, reserved_usd: float = 0.0) -> float:
    """Return a worth or a margin of the account after a bid: ``(x - R)·(1 - f) + R + bid``.

    Args:
        figure_usd: The mark to market, the maintenance or the buffer margin before.
        fraction: What is bought of all but the reserve.
        bid_usd: What is paid for it (:meth:`keeper.risk.auctions.SolventAuction.bid`).
        reserved_usd: What earlier bids paid.

    Raises:
        RiskInputError: the fraction is not within [0, 1], a payment negative, or a figure not finite.
    """
    reserved = number("reserved_usd", reserved_usd, least=0)
    kept = 1.0 - number("fraction", fraction, least=0, most=1)
    return (number("figure_usd", figure_usd) - reserved) * kept + reserved + number("bid_usd", bid_usd, least=0)


def drift_base_amount(
    shortage_usd: float,
    price_usd: float,
    margin_ratio: float,
    *,
    fee: float = 0.0,
    insurance_fee: float = 0.0,
    quote_price_usd: float = 1.0,
) -> float:
    """Return how much of a perpetual position must change hands to cover a margin shortage.

    ``shortage / (P·Q·(m - fee) - P·insurance fee)``; infinite where what a unit frees does not exceed its fees, and
    then the whole position goes. Source: drift-labs/protocol-v2 0ae3e3b, ``math/liquidation.rs``.

    Raises:
        RiskInputError: a price is not positive, or another figure negative.
    """
    price = number("price_usd", price_usd, above=0)
    earned = number("margin_ratio", margin_ratio, least=0) - number("fee", fee, least=0)
    freed = price * number("quote_price_usd", quote_price_usd, above=0) * earned
    freed -= price * number("insurance_fee", insurance_fee, least=0)
    return number("shortage_usd", shortage_usd, least=0) / freed if freed > 0 else inf


def drift_speed_limit(
    shortage_usd: float, slots: float, *, duration_slots: float, initial: float, freed_usd: float = 0.0
) -> float:
    """Return the share of a shortage that may be covered now.

    Of the shortage at the start, ``min(1, slots / duration + initial)`` may be covered after so many slots, less what
    was; all of it where less than 50 USD is short. Source: drift-labs/protocol-v2 0ae3e3b, ``math/liquidation.rs``.

    Args:
        shortage_usd: What is short now.
        slots: Since the liquidation began.
        duration_slots: After which all may be covered.
        initial: What may be covered at once.
        freed_usd: What was covered before.

    Raises:
        RiskInputError: a figure is negative, the duration no time, or the share at once is not within [0, 1].
    """
    short = number("shortage_usd", shortage_usd, least=0)
    grown = number("slots", slots, least=0) / number("duration_slots", duration_slots, above=0)
    allowed = min(1.0, grown + number("initial", initial, least=0, most=1))
    freed = number("freed_usd", freed_usd, least=0)
    if short < DRIFT_TINY_SHORTAGE_USD:
        return 1.0
    return min(max((short + freed) * allowed - freed, 0.0) / short, 1.0)


def aave_v3_repay_limit_usd(
    health: float, debt_total_usd: float, debt_reserve_usd: float, collateral_reserve_usd: float
) -> float:
    """Return the most debt of one reserve that one call may repay (Aave v3.3 and later).

    Half of the *total* debt, unless health is .95 or less, or the debt or the collateral of the reserve is below 2,000
    USD; never more than the reserve's debt. Source: aave-dao/aave-v3-origin fd1fbd9, ``LiquidationLogic.sol``.

    Raises:
        RiskInputError: a figure is negative, or the reserve's debt more than the whole.
    """
    owed = number("debt_reserve_usd", debt_reserve_usd, least=0)
    total = number("debt_total_usd", debt_total_usd, least=owed)
    held = number("collateral_reserve_usd", collateral_reserve_usd, least=0)
    if number("health", health, least=0) <= AAVE_V3_FULL_HEALTH or min(owed, held) < AAVE_V3_FULL_USD:
        return owed
    return min(owed, total * AAVE_V3_CLOSE_FACTOR)


def aave_v3_leaves_dust(debt_left_usd: float, collateral_left_usd: float) -> bool:
    """Tell whether a liquidation leaves what Aave v3.3 and later refuse: something of both, and too little of one.

    Raises:
        RiskInputError: what is left is negative.
    """
    least = min(
        number("debt_left_usd", debt_left_usd, least=0), number("collateral_left_usd", collateral_left_usd, least=0)
    )
    return 0 < least < AAVE_DUST_USD


class AaveV4Slice(NamedTuple):
    """What a liquidation of Aave v4 moves, USD."""

    repaid_usd: float
    seized_usd: float
    fee_usd: float

    @property
    def liquidator_usd(self) -> float:
        """What the liquidator receives."""
        return self.seized_usd - self.fee_usd


class AaveV4Account(NamedTuple):
    """What a liquidation of Aave v4 depends on.

    Attributes:
        debt_usd: The account's whole debt.
        debt_reserve_usd: The debt of the reserve that is repaid.
        collateral_usd: The collateral of the reserve that is seized.
        health: The health factor now.
        target: The health factor that a liquidation restores.
        bonus: What is seized per value repaid (10500 for 5 %).
        collateral_factor: Of the collateral that is seized.
        fee: The protocol's share of the bonus.
    """

    debt_usd: float
    debt_reserve_usd: float
    collateral_usd: float
    health: float
    target: float
    bonus: Bps
    collateral_factor: Bps
    fee: float = 0.0


def target_repay_usd(debt_usd: float, health: float, target: float, bonus: Bps, collateral_factor: Bps) -> float:
    """Return the debt to repay for a target health: ``D·(T - HF) / (T - lb·cf)``, to 1e-8 USD, rounded up.

    Infinite where no repayment reaches it. Source: aave/aave-v4, ``LiquidationLogic.sol``; the form itself is
    :func:`keeper.margin.sizing.target_cover_base`.

    Raises:
        RiskInputError: the target is not above the health, a figure is negative, a bonus below 1 or a factor above.
    """
    _check_terms(bonus, collateral_factor)
    now = number("health", health, least=0)
    wanted = number("target", target, above=now)
    found = target_cover_base(_base("debt_usd", debt_usd), _wad(now), _wad(wanted), bonus, collateral_factor)
    return inf if found is None else int(found) / BaseAmount.ONE


def aave_v4_slice(account: AaveV4Account, cover_usd: float = inf) -> AaveV4Slice | None:
    """Return what a liquidation moves when the liquidator would repay up to ``cover_usd``.

    The debt is repaid up to the target health; all of the reserve's where less than 1,000 USD would be left of it. The
    collateral ends it; and where less than 1,000 USD would be left of that while debt is left, it is seized whole.
    Source: aave/aave-v4 0051c6e, ``LiquidationLogic.sol``.

    Returns:
        The amounts; ``None`` where the contract refuses: the rule about dust asks for more than ``cover_usd``.

    Raises:
        RiskInputError: a figure is negative or not finite, a bonus is below 1, a factor above, or the target reached.
    """
    _check_terms(account.bonus, account.collateral_factor)
    owed = number("debt_reserve_usd", account.debt_reserve_usd, least=0, most=account.debt_usd)
    held = number("collateral_usd", account.collateral_usd, least=0)
    factor = int(account.bonus) / Bps.ONE
    most = target_repay_usd(account.debt_usd, account.health, account.target, account.bonus, account.collateral_factor)
    repaid = min(owed, number("cover_usd", cover_usd, least=0) if cover_usd < inf else inf, most)
    if 0 < owed - repaid < AAVE_DUST_USD:
        repaid = owed
    seized = repaid * factor
    if seized > held or (0 < held - seized < AAVE_DUST_USD and repaid < owed):
        repaid, seized = held / factor, held
    if repaid > cover_usd:
        return None
    return AaveV4Slice(repaid, seized, float(protocol_fee(seized, factor, account.fee)))


class TwoSteps(NamedTuple):
    """A liquidation in two steps against one at the close factor (Qin et al. 2021), USD.

    Attributes:
        first_usd: What leaves the account only just liquidatable.
        second_usd: What the close factor then allows.
        profit_usd: What both earn.
        single_profit_usd: What one step at the close factor earns.
    """

    first_usd: float
    second_usd: float
    profit_usd: float
    single_profit_usd: float

    @property
    def gain(self) -> float:
        """By how much two steps earn more: ``(1 - LT·C/D) / (1 - LT·(1 + LS)) · (1 - CF) / CF``."""
        return self.profit_usd / self.single_profit_usd - 1.0


def qin_two_steps(
    debt_usd: float, collateral_usd: float, threshold: Bps, bonus: Bps, close_factor: float
) -> TwoSteps | None:
    """Return the two repayments that take most where a close factor binds, ``None`` where nothing is gained.

    ``r1 = (D - LT·C) / (1 - LT·(1 + LS))`` and ``r2 = CF·(D - r1)``. Source: Qin, Zhou, Gamito, Jovanovic and Gervais
    (2021), *An Empirical Study of DeFi Liquidations*, section 5; :func:`keeper.margin.sizing.two_slices`.

    Raises:
        RiskInputError: a figure is negative, a bonus below 1 or a threshold above, or the account is not liquidatable.
    """
    _check_terms(bonus, threshold)
    owed = _base("debt_usd", number("debt_usd", debt_usd, above=0))
    weighted = int(_base("collateral_usd", collateral_usd)) * int(threshold) * Wad.ONE // Bps.ONE
    health = Wad(weighted // int(owed))
    if int(health) >= Wad.ONE:
        raise RiskInputError("collateral_usd", "makes the account healthy", "give one that may be liquidated")
    allowed = BaseAmount(round(int(owed) * number("close_factor", close_factor, above=0, most=1)))
    steps = two_slices(owed, health, bonus, threshold, owed, allowed)
    if steps is None:
        return None
    first, second, single = (int(each) / BaseAmount.ONE for each in (*steps, allowed))
    spread = int(bonus) / Bps.ONE - 1.0
    return TwoSteps(first, second, (first + second) * spread, single * spread)


def linear_impact_reduction(
    price_usd: float, quantity: float, margin_ratio: float, equity_usd: float, impact: float, buffer_usd: float = 0.0
) -> float | None:
    """Return the least quantity whose sale restores the margin when selling it costs ``impact/2`` times its square.

    The smallest root of ``a/2·dq² - mu·p·dq + (mu·p·q - e + tau) = 0``. Source: arXiv 2512.01112.

    Args:
        price_usd: ``p``.
        quantity: ``q``, what is held.
        margin_ratio: ``mu``, what each USD of the position needs.
        equity_usd: ``e``, what secures it.
        impact: ``a``, by how much a unit sold lowers its own price.
        buffer_usd: ``tau``, what is to be left beside.

    Returns:
        The quantity, zero when the margin holds; ``None`` when no sale restores it: each costs more than it frees.

    Raises:
        RiskInputError: a price or a ratio is not positive, or another figure but the equity negative.
    """
    freed = number("price_usd", price_usd, above=0) * number("margin_ratio", margin_ratio, above=0)
    held = number("quantity", quantity, least=0)
    slope = number("impact", impact, least=0)
    short = freed * held - number("equity_usd", equity_usd) + number("buffer_usd", buffer_usd, least=0)
    if short <= 0:
        return 0.0
    under = freed**2 - 2.0 * slope * short
    if under < 0:
        return None
    sold = 2.0 * short / (freed + sqrt(under))  # the smaller root, written so that no impact is no special case
    return sold if sold <= held else None


def _check_terms(bonus: Bps, threshold: Bps) -> None:
    integer("bonus", bonus, least=Bps.ONE)
    integer("threshold", threshold, least=0, most=Bps.ONE)


def _base(name: str, usd: float) -> BaseAmount:
    return BaseAmount(round(number(name, usd, least=0) * BaseAmount.ONE))


def _wad(ratio: float) -> Wad:
    return Wad(round(ratio * Wad.ONE))
