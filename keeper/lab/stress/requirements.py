"""What a venue asks for over time: the thresholds of its coins under the three kinds of requirement.

A threshold is one less the maintenance requirement, which is at its floor in quiet times whatever the kind; so policies
differ by what they do in a storm alone.

The predictive kind multiplies the volatility by what the probability of turbulence asks for: of two Gaussian regimes,
fitted to the daily returns of the year before, filtered by the hour. Never smoothed: an hour knows the hours before it.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from keeper.core.units import Bps
from keeper.lab.stress.paths import Path
from keeper.lab.stress.policies import Policy
from keeper.risk.inputs import Floats
from keeper.risk.regimes import RegimeModel, fit_regimes, regime_multiplier, stationary
from keeper.risk.tail import student_var_z
from keeper.risk.volatility import (
    SECONDS_PER_DAY,
    MaintenanceRule,
    ewma_update,
    ewma_variances,
    horizon_seconds,
    horizon_vol,
    next_maintenance,
)

FLOOR = 0.175
"""The requirement of quiet times: a liquidation threshold of 0.825."""
HOUR = 3600
HOURS_PER_DAY = SECONDS_PER_DAY // HOUR
FIT_TOLERANCE = 1e-3
"""Of the log-likelihood: a fit that gains less is done. The parameters are then known to some digits, and soon."""
MULTIPLIER_MAX = 1.75
"""What certain turbulence multiplies the volatility by."""
HORIZON_SECONDS = horizon_seconds(1200, 4 * HOUR, 2 * HOUR - 1200)
"""Six hours: seen, sold in slices, settled."""
DECAY_HOURLY = 0.5 ** (1 / 24)
"""Half of what is known of the variance is of the last day."""
RULE = MaintenanceRule(
    multiplier=1.5,
    quantile=student_var_z(0.99, 4),
    floor=FLOOR,
    cap=0.35,
    half_life_seconds=SECONDS_PER_DAY,
)


class Regimes:
    """Two regimes of one coin, quiet and turbulent, followed by the hour.

    Args:
        returns: Daily, of the year before.
    """

    def __init__(self, returns: tuple[float, ...]) -> None:
        daily = _fitted(returns)
        kept = stationary(daily.transition)
        # A chain of two regimes keeps of its past, each day, the trace less one; each hour, the 24th root of that.
        memory = max(0.0, float(np.trace(daily.transition)) - 1) ** (1 / HOURS_PER_DAY)
        self._model = daily._replace(
            initial=daily.filter(returns).following,
            transition=memory * np.eye(len(kept)) + (1 - memory) * kept[np.newaxis, :],
            means=daily.means / HOURS_PER_DAY,
            variances=daily.variances / HOURS_PER_DAY,
        )

    def observe(self, hourly_return: float) -> float:
        """Take an hour's return; return the probability that the hour to come is turbulent."""
        following = self._model.filter([hourly_return]).following
        self._model = self._model._replace(initial=following)
        return float(np.clip(following[-1], 0.0, 1.0))


@cache
def _fitted(returns: tuple[float, ...]) -> RegimeModel:
    return fit_regimes(np.array(returns), tolerance=FIT_TOLERANCE)


class Requirement:
    """The requirement of a run, renewed every hour from the oracle's prices.

    Args:
        policy: Of which kind it is.
        path: Its prior closes are what is known at the start.
        prices_usd: (2,) the first prices.
    """

    def __init__(self, policy: Policy, path: Path, prices_usd: Floats) -> None:
        self._kind = policy.requirement
        returns = np.diff(np.log(path.prior_closes_usd), axis=0)
        variances = [ewma_variances(returns[:, coin])[-1] for coin in range(returns.shape[1])]
        self._hourly = np.array(variances) * 1 / HOURS_PER_DAY
        self._prices = prices_usd
        predictive = self._kind == "predictive"
        self._regimes = [Regimes(tuple(coin.tolist())) for coin in returns.T] if predictive else []
        self.held = np.full(len(prices_usd), FLOOR)
        """(2,) the requirement in force."""

    @property
    def thresholds_bps(self) -> tuple[int, ...]:
        """The coins' liquidation thresholds, rounded to the nearest."""
        return tuple(round(float(Bps.ONE * (1 - held))) for held in self.held)

    @property
    def vol_daily(self) -> Floats:
        """(2,) the volatility that it goes by."""
        return np.asarray(np.sqrt(self._hourly * HOURS_PER_DAY))

    def renew(self, prices_usd: Floats) -> None:
        """Take the oracle's prices of an hour later."""
        moves = np.log(prices_usd / self._prices)
        self._hourly = ewma_update(self._hourly, moves, DECAY_HOURLY)
        self._prices = prices_usd
        if self._kind == "static":
            return
        likely = [regimes.observe(float(move)) for regimes, move in zip(self._regimes, moves, strict=False)]
        raised = self.vol_daily * regime_multiplier(likely or 0.0, MULTIPLIER_MAX)
        self.held = next_maintenance(RULE, self.held, horizon_vol(raised, HORIZON_SECONDS), HOUR)
