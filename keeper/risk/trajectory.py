"""How fast to sell a position: the schedule that trades expected cost against risk.

Almgren and Chriss (2000), *Optimal execution of portfolio transactions*, with linear impact. ``X`` units are sold in
``N`` intervals of ``tau = T / N``, ``n_j`` in each, and ``x_j`` are left after it::

    E = gamma·X²/2 + eps·sum |n_j| + eta~/tau · sum n_j²,    eta~ = eta - gamma·tau/2
    V = sigma² · sum tau·x_j²

``E + lambda·V`` is least for ``x_j = X · sinh(kappa·(T - t_j)) / sinh(kappa·T)``, where
``2·(cosh(kappa·tau) - 1) / tau² = lambda·sigma² / eta~``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import acosh, inf, sqrt

import numpy as np

from keeper.core.errors import RiskInputError
from keeper.risk.inputs import Floats, history, number, whole


@dataclass(frozen=True, slots=True)
class ImpactModel:
    """What a market takes for selling; all per unit of the asset, time in one unit throughout.

    Attributes:
        sigma_usd: The standard deviation of the price over one unit of time.
        spread_usd: ``eps``, half of the spread and fees.
        temporary_usd: ``eta``, by which one unit sold in one unit of time lowers its own price.
        permanent_usd: ``gamma``, by which one unit sold lowers the price for good.

    Raises:
        RiskInputError: a figure is negative, or there is no temporary impact.
    """

    sigma_usd: float
    spread_usd: float
    temporary_usd: float
    permanent_usd: float = 0.0

    def __post_init__(self) -> None:
        for name in ("sigma_usd", "spread_usd", "permanent_usd"):
            number(name, getattr(self, name), least=0)
        number("temporary_usd", self.temporary_usd, above=0)


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """What is left after each interval, and what that costs.

    Attributes:
        kappa: How fast the position is sold, per unit of time; zero when risk has no price.
        holdings: From the whole to nothing, shape (intervals + 1,).
        cost_usd: The expected cost.
        risk_usd: The standard deviation of the cost.
    """

    kappa: float
    holdings: Floats
    cost_usd: float
    risk_usd: float

    @property
    def half_life(self) -> float:
        """``1 / kappa``: after so long about ``1/e`` is left; infinite when the position is sold evenly."""
        return 1.0 / self.kappa if self.kappa else inf


def schedule_cost(model: ImpactModel, holdings: Floats, interval: float) -> tuple[float, float]:
    """Return the expected cost of any schedule and its standard deviation, USD.

    Args:
        model: What the market takes.
        holdings: What is held before the first interval and after each, shape (intervals + 1,).
        interval: The length of each.

    Raises:
        RiskInputError: there is no interval, its length is not positive, or a holding is not finite.
    """
    left = history("holdings", holdings, shortest=2)
    tau = number("interval", interval, above=0)
    sold = -np.diff(left)
    adjusted = model.temporary_usd - model.permanent_usd * tau / 2
    cost = model.permanent_usd * float(left[0] ** 2 - left[-1] ** 2) / 2
    cost += model.spread_usd * float(np.abs(sold).sum()) + adjusted / tau * float((sold**2).sum())
    return cost, model.sigma_usd * sqrt(tau * float((left[1:] ** 2).sum()))


def optimal_schedule(
    model: ImpactModel, quantity: float, horizon: float, intervals: int, risk_aversion: float
) -> Schedule:
    """Return the schedule of least ``E + lambda·V``.

    Args:
        model: What the market takes.
        quantity: What is to be sold.
        horizon: By when.
        intervals: In how many equal steps.
        risk_aversion: ``lambda``, per USD; zero sells evenly.

    Raises:
        RiskInputError: a figure is out of range, or permanent impact is so large that selling faster costs less.
    """
    total, end = number("quantity", quantity, above=0), number("horizon", horizon, above=0)
    steps = whole("intervals", intervals, least=1)
    tau = end / steps
    adjusted = model.temporary_usd - model.permanent_usd * tau / 2
    if adjusted <= 0:
        raise RiskInputError("permanent_usd", f"is {model.permanent_usd:g}", "take shorter intervals")
    squared = number("risk_aversion", risk_aversion, least=0) * model.sigma_usd**2 / adjusted
    kappa = acosh(squared * tau**2 / 2 + 1) / tau
    to_go = end - np.linspace(0.0, end, steps + 1)
    if kappa:  # sinh(a)/sinh(b), written so that neither overflows
        share = np.exp(kappa * (to_go - end)) * np.expm1(-2 * kappa * to_go) / np.expm1(-2 * kappa * end)
    else:
        share = to_go / end
    holdings: Floats = total * share
    return Schedule(kappa, holdings, *schedule_cost(model, holdings, tau))
