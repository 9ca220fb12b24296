"""What a model expects of a price's volatility beside the moving average of what was seen: GARCH and regimes.

A *pace* is a return over the square root of the seconds it took, so that its square is a variance for each second, as
all variances here are. Both models go back to the variance of the asset's ``vol_annual``, and step once a sample.

GARCH(1,1) is that of :mod:`keeper.risk.garch`; what counts of it is the mean of its forecasts over the horizon. The two
regimes are filtered by :mod:`keeper.risk.regimes` (Hamilton 1989), and what is seen later changes no probability that
moves were multiplied by.

The GARCH variance is made of sums and products. Exponentials and logarithms are not rounded alike on all machines: the
probability of stress is kept in ppm, and a forecast over the horizon is not kept.
"""

from __future__ import annotations

import msgspec
import numpy as np

from keeper.core.ids import Address, to_hex
from keeper.core.risk import PPM
from keeper.core.runconfig import RiskSpec
from keeper.risk.garch import GarchParams, garch_cumulative, garch_update
from keeper.risk.inputs import SECONDS_PER_YEAR, number
from keeper.risk.regimes import RegimeModel, regime_multiplier, stationary

STEPS_MOST = 10_000
"""How many samples ahead is looked at most; of a longer horizon these stand for all."""


def usual_variance(asset: Address, spec: RiskSpec) -> float:
    """Return the variance, for each second, of the volatility that the operator gives an asset."""
    vol_annual = spec.vols_annual.get(to_hex(asset), spec.vol_annual)
    return vol_annual * vol_annual / SECONDS_PER_YEAR


def garch_after(
    variance: float | msgspec.UnsetType, pace: float, usual: float, spec: RiskSpec
) -> float | msgspec.UnsetType:
    """Return the GARCH variance after one more sample, unset without the model.

    Args:
        variance: Before it; unset, the first sample was forecast to have the usual one.
        pace: Of the sample.
        usual: The variance that it goes back to.
        spec: The operator's parameters.
    """
    params = _garch(usual, spec)
    if params is None:
        return msgspec.UNSET
    return float(garch_update(params, usual if isinstance(variance, msgspec.UnsetType) else variance, pace))


def garch_over_horizon(variance: float | msgspec.UnsetType, pace: float | None, usual: float, spec: RiskSpec) -> float:
    """Return the mean of the variances that GARCH forecasts for the samples within the horizon, 0 without the model.

    Args:
        variance: Of the sample to come.
        pace: Of the move since the last sample, which counts at once where it makes the forecast greater.
        usual: The variance that it goes back to.
        spec: The operator's parameters.
    """
    params = _garch(usual, spec)
    if params is None:
        return 0.0
    now = usual if isinstance(variance, msgspec.UnsetType) else variance
    if pace is not None:
        now = max(now, float(garch_update(params, now, pace)))
    steps = min(-(-spec.horizon_seconds // spec.sample_seconds), STEPS_MOST)
    return float(garch_cumulative(params, now, steps)) / steps


def stress_after(
    stress_ppm: int | msgspec.UnsetType, pace: float, usual: float, spec: RiskSpec
) -> int | msgspec.UnsetType:
    """Return the filtered probability of stress after one more sample, 1e-6; unset without regimes.

    Args:
        stress_ppm: Before it; unset, the regimes were as likely as they are in the long run.
        pace: Of the sample.
        usual: The long-run variance of both regimes together.
        spec: The operator's parameters.
    """
    regimes = spec.regimes
    if isinstance(regimes, msgspec.UnsetType):
        return msgspec.UNSET
    ends = 1 / number("calm_samples", regimes.calm_samples, least=1)
    calms = 1 / number("stress_samples", regimes.stress_samples, least=1)
    chain = np.array([[1 - ends, ends], [calms, 1 - calms]])
    kept, ratios = stationary(chain), np.array([1.0, regimes.stress_vol_factor**2])
    prior = kept
    if not isinstance(stress_ppm, msgspec.UnsetType):
        prior = np.array([1 - stress_ppm / PPM, stress_ppm / PPM]) @ chain
    model = RegimeModel(prior, chain, np.zeros(2), usual / (kept @ ratios) * ratios)
    return round(float(model.filter([pace]).probabilities[0, 1]) * PPM)


def stress_factor(stress_ppm: int | msgspec.UnsetType, spec: RiskSpec) -> float:
    """Return what a price's moves are multiplied by, at least 1: ``1 + P(stress) * (greatest - 1)``."""
    if isinstance(spec.regimes, msgspec.UnsetType) or isinstance(stress_ppm, msgspec.UnsetType):
        return 1.0
    return float(regime_multiplier(stress_ppm / PPM, spec.regimes.move_factor_max))


def _garch(usual: float, spec: RiskSpec) -> GarchParams | None:
    """Return the parameters at which the long-run variance is the usual one."""
    if isinstance(spec.garch, msgspec.UnsetType):
        return None
    alpha, beta = spec.garch.alpha, spec.garch.beta
    return GarchParams(mu=0.0, omega=(1 - alpha - beta) * usual, alpha=alpha, beta=beta)
