"""The insurance fund: dYdX's exact quotes, the fund's dynamics, how large it should be, and limits per block.

dYdX's functions are in integers: quote quantums (1e-6 USDC) and base quantums, rounded as the chain does. The rest is
float64 in USD.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from keeper.core.errors import RiskInputError
from keeper.risk.inputs import MAGNITUDE_MOST, Floats, aligned, array, history, integer, number

PPM = 1_000_000
USDC = 1_000_000
"""Quote quantums of a dollar."""


@dataclass(frozen=True, slots=True)
class Closing:
    """A position before and after a part of it is closed, in quote quantums; the notional is signed.

    Raises:
        RiskInputError: closing would raise the maintenance requirement, a requirement is negative, or a figure is not
            an integer.
    """

    notional: int
    notional_after: int
    maintenance: int
    maintenance_after: int

    def __post_init__(self) -> None:
        integer("notional", self.notional)
        integer("notional_after", self.notional_after)
        most = integer("maintenance", self.maintenance, least=0)
        integer("maintenance_after", self.maintenance_after, least=0, most=most)


def bankruptcy_quote(closing: Closing, *, net_collateral: int, maintenance_total: int) -> int:
    """Return the quote that closing must bring for the account to owe nothing: ``-dNNV - floor(TNC * |dMMR| / TMMR)``.

    It is rounded up, so that closing at it asks nothing of the fund; negative when closing is a purchase
    (dydxprotocol/v4-chain, ``x/clob/keeper/liquidations.go``, GetBankruptcyPriceInQuoteQuantums).

    Raises:
        RiskInputError: the account has no maintenance requirement, or a figure is not an integer.
    """
    integer("maintenance_total", maintenance_total, least=1)
    integer("net_collateral", net_collateral)
    freed = closing.maintenance - closing.maintenance_after
    return closing.notional - closing.notional_after - net_collateral * freed // maintenance_total


def fund_delta(proceeds: int, bankruptcy: int, *, fee_ppm: int) -> int:
    """Return what the fund gains: ``min(fee cap * |proceeds|, gap)``, or the whole gap when it is negative.

    The gap is what closing brought beyond the bankruptcy quote (v4-chain, GetLiquidationInsuranceFundDelta).

    Raises:
        RiskInputError: the fee is not within 0 and 1,000,000, or a figure is not an integer.
    """
    integer("fee_ppm", fee_ppm, least=0, most=PPM)
    gap = integer("proceeds", proceeds) - integer("bankruptcy", bankruptcy)
    return gap if gap <= 0 else min(abs(proceeds) * fee_ppm // PPM, gap)


def fillable_price(
    size: int,
    *,
    notional: int,
    maintenance: int,
    net_collateral: int,
    maintenance_total: int,
    adjustment_ppm: int = PPM,
    spread_ppm: int = 1_500_000,
) -> Fraction:
    """Return the price at which dYdX offers a position: ``(PNNV - ABR * SMMR * PMMR) / PS``, exactly.

    ``ABR = clamp(BA * (1 - TNC / TMMR), 0, 1)``. The price is in quote quantums per base quantum; the defaults are
    genesis (v4-chain, GetFillablePrice).

    Raises:
        RiskInputError: there is no position or no maintenance requirement, a figure is not an integer or out of range,
            or the price would be negative.
    """
    if integer("size", size) == 0:
        raise RiskInputError("size", "is 0", "give a position")
    integer("notional", notional)
    integer("net_collateral", net_collateral)
    integer("maintenance_total", maintenance_total, least=1)
    for name, value in (
        ("maintenance", maintenance),
        ("adjustment_ppm", adjustment_ppm),
        ("spread_ppm", spread_ppm),
    ):
        integer(name, value, least=0)
    rating = Fraction(adjustment_ppm, PPM) * (1 - Fraction(net_collateral, maintenance_total))
    spread = min(max(rating, Fraction(0)), Fraction(1)) * Fraction(spread_ppm, PPM) * maintenance
    price = (notional - spread) / size
    if price < 0:
        raise RiskInputError("fillable price", f"is {float(price):g}", "give a spread below the notional")
    return price


@dataclass(frozen=True, slots=True)
class BlockLimits:
    """What may be liquidated in one block, in quote quantums; the defaults are dYdX's genesis.

    Raises:
        RiskInputError: a limit is negative.
    """

    position_ppm: int = 100_000
    position_least: int = 1_000 * USDC
    subaccount_most: int = 100_000 * USDC
    fund_loss_most: int = 1_000_000 * USDC

    def __post_init__(self) -> None:
        for name in ("position_ppm", "position_least", "subaccount_most", "fund_loss_most"):
            integer(name, getattr(self, name), least=0)

    def notional(self, position: int, *, liquidated: int = 0) -> int:
        """Return the notional that may be liquidated of a position, when so much of its subaccount's was already.

        A tenth of the position, though not less than the least, not more than there is, and not more than is left to
        the subaccount in this block.

        Raises:
            RiskInputError: a figure is not an integer, or less than nothing was liquidated.
        """
        size = abs(integer("position", position))
        part = max(size * self.position_ppm // PPM, self.position_least)
        return min(part, size, max(self.subaccount_most - integer("liquidated", liquidated, least=0), 0))

    def allows(self, delta: int, *, lost: int = 0) -> bool:
        """Return whether the fund may bear ``delta`` when it lost so much in this block; a gain is always allowed.

        Raises:
            RiskInputError: a figure is not an integer, or less than nothing was lost.
        """
        return integer("lost", lost, least=0) - min(integer("delta", delta), 0) <= self.fund_loss_most or delta >= 0


def fund_inflow(
    fees_usd: ArrayLike,
    liquidated_usd: ArrayLike,
    funding_usd: ArrayLike,
    *,
    of_fees: float,
    of_liquidated: float,
    of_funding: float,
) -> Floats:
    """Return what each period brings the fund: ``a * fees + e * p * V + b * sum|funding|`` (arXiv 2512.01112).

    Raises:
        RiskInputError: a volume is negative or a share is not within [0, 1]; funding counts whoever paid it.
    """
    fees, liquidated, funding = aligned(
        "fees, liquidations and funding",
        array("fees_usd", fees_usd, least=0),
        array("liquidated_usd", liquidated_usd, least=0),
        array("funding_usd", funding_usd),
    )
    inflow = fees * number("of_fees", of_fees, least=0, most=1)
    inflow = inflow + liquidated * number("of_liquidated", of_liquidated, least=0, most=1)
    return inflow + np.abs(funding) * number("of_funding", of_funding, least=0, most=1)


@dataclass(frozen=True, slots=True)
class FundPath:
    """A fund through its periods: what it held after each, what it paid in it, and what it could not pay."""

    fund_usd: Floats
    paid_usd: Floats
    residual_usd: Floats


def fund_path(first_usd: float, inflows_usd: ArrayLike, deficits_usd: ArrayLike) -> FundPath:
    """Return the path of a fund: ``IF' = IF + inflow - min(IF, D)``, residual ``(D - IF)+`` (arXiv 2512.01112).

    A deficit is paid of what the fund had at the period's beginning.

    Raises:
        RiskInputError: an amount is negative, or the periods of inflows and deficits differ.
    """
    inflows = history("inflows_usd", inflows_usd, shortest=1, least=0)
    deficits = array("deficits_usd", deficits_usd, ndim=1, length=len(inflows), least=0)
    held = number("first_usd", first_usd, least=0)
    fund = np.empty_like(inflows)
    paid = np.empty_like(inflows)
    for period, (inflow, deficit) in enumerate(zip(inflows, deficits, strict=True)):
        paid[period] = min(held, deficit)
        held = held - paid[period] + inflow
        fund[period] = held
    return FundPath(fund, paid, deficits - paid)


def fund_size_lognormal(mu: float, sigma: float, *, capital_cost: float, loss_weight: float) -> float:
    """Return the fund that costs least for a deficit of ``exp(N(mu, sigma^2))``: its VaR at ``1 - r / kappa``.

    ``K* = argmin r K + kappa E[(D - K)+]``, the newsvendor's quantity (arXiv 2512.01112, optimal capital structure).

    Raises:
        RiskInputError: a cost is not positive, ``sigma`` is negative, or the fund beyond all money.
    """
    location = number("mu", mu)
    scale = number("sigma", sigma, least=0)
    level = _level(capital_cost, loss_weight)
    if level <= 0.0:
        return 0.0
    most = float(np.log(MAGNITUDE_MOST))
    return float(np.exp(number("mu + sigma z", location + scale * float(ndtri(level)), most=most)))


def fund_size_empirical(deficits_usd: ArrayLike, *, capital_cost: float, loss_weight: float) -> float:
    """Return the fund that costs least for the deficits seen: the least that covers a share ``1 - r / kappa`` of them.

    Raises:
        RiskInputError: there is no deficit, one is negative, or a cost is not positive.
    """
    seen = history("deficits_usd", deficits_usd, shortest=1, least=0)
    level = _level(capital_cost, loss_weight)
    return 0.0 if level <= 0.0 else float(np.quantile(seen, level, method="inverted_cdf"))


def _level(capital_cost: float, loss_weight: float) -> float:
    """Return ``1 - r / kappa``; where capital costs what a loss does, no fund is worth it."""
    return 1.0 - number("capital_cost", capital_cost, above=0) / number("loss_weight", loss_weight, above=0)
