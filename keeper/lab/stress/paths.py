"""Price paths: recorded crashes between their hourly bars, and three made-up kinds.

A path is what the market would do if nobody were forced to sell. Between the bars of a recording the price walks from
close to close through the bar's extremes, with noise of the seed; the made-up kinds are

* *gbm*: geometric Brownian motion;
* *jumps*: the same with crashes that arrive at random (Merton 1976);
* *heston*: a variance that reverts to its mean and rises as the price falls (Heston 1993), by the full-truncation
  Euler scheme of Lord, Koekkoek and van Dijk (2010).

Both coins move together: one is the other's with a correlation.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.random import PCG64, Generator

from keeper.core.errors import RiskInputError
from keeper.lab.stress.closes import daily_closes
from keeper.lab.stress.crashes import COINS, crash
from keeper.risk.inputs import DAYS_PER_YEAR, Floats, array, number
from keeper.risk.volatility import SECONDS_PER_DAY

STEP_SECONDS = 1200
STEPS_PER_HOUR = 3600 // STEP_SECONDS
HOURS_BEFORE, HOURS_AFTER = 120, 12
"""A recording is run from so long before ether's lowest price until so long after it."""
HOURS_MADE = HOURS_BEFORE + HOURS_AFTER
STEPS_SHORTEST = 24 * STEPS_PER_HOUR
PRIOR_DAYS = 365
"""The daily closes before a path that a forecast may have learnt from."""
START_USD = (30_000.0, 2_000.0)
CORRELATION = 0.8
QUIET_VOL_ANNUAL = 0.6
NOISE = 0.25
"""Of the walk between two bars, as a share of the bar's own range."""


class Path(NamedTuple):
    """Prices by step; the last axis is :data:`~keeper.lab.stress.crashes.COINS`."""

    name: str
    prices_usd: Floats
    """(N, 2), one for each step of :data:`STEP_SECONDS`."""
    prior_closes_usd: Floats
    """(M, 2) daily closes that end before the path begins."""

    @property
    def steps(self) -> int:
        """How many steps it has."""
        return len(self.prices_usd)


def checked(path: Path, *, shortest: int = STEPS_SHORTEST) -> Path:
    """Return a path that can be run.

    Raises:
        RiskInputError: a price is not a positive number, or the path is too short.
    """
    array("prices_usd", path.prices_usd, ndim=2, above=0)
    array("prior_closes_usd", path.prior_closes_usd, ndim=2, above=0)
    if path.prices_usd.shape[1] != len(COINS) or path.prior_closes_usd.shape[1] != len(COINS):
        raise RiskInputError(f"path {path.name}", f"has shape {path.prices_usd.shape}", f"give {len(COINS)} columns")
    if path.steps < shortest:
        raise RiskInputError(f"path {path.name}", f"has {path.steps} steps", f"give at least {shortest}")
    return path


def stream(seed: int, name: str) -> Generator:
    """Return a stream of chance for a purpose: the same numbers for the same seed and name, whatever else draws."""
    return Generator(PCG64(np.random.SeedSequence([seed, *name.encode()])))


def recorded(name: str, seed: int) -> Path:
    """Return a recorded crash, walked between its bars.

    Raises:
        RiskInputError: there is no recording of that name.
    """
    window = crash(name)
    lowest = int(np.argmin(window.low[:, COINS.index("ETH")]))
    seconds = window.times - window.times[lowest]
    chosen = np.flatnonzero((seconds >= -HOURS_BEFORE * 3600) & (seconds < HOURS_AFTER * 3600))
    first = max(1, int(chosen[0]))
    rows = range(first, int(chosen[-1]) + 1)
    chance = stream(seed, f"path {name}")
    walked = [
        _within_bar(window.close[row - 1], window.high[row], window.low[row], window.close[row], chance) for row in rows
    ]
    return checked(Path(name, np.concatenate(walked), _prior(int(window.times[first]))))


def _within_bar(before: Floats, high: Floats, low: Floats, close: Floats, chance: Generator) -> Floats:
    """Walk from one close to the next through the bar's extremes; when it falls, the highest comes first."""
    falling = close <= before
    first, second = np.where(falling, high, low), np.where(falling, low, high)
    marks = np.stack([before, np.maximum(first, 1e-9), np.maximum(second, 1e-9), close])
    at = np.arange(1, STEPS_PER_HOUR + 1) / STEPS_PER_HOUR * (len(marks) - 1)
    part = np.minimum(at.astype(np.int64), len(marks) - 2)
    share = (at - part)[:, None]
    smooth = np.log(marks[part]) * (1 - share) + np.log(marks[part + 1]) * share
    noise = NOISE * (np.log(high) - np.log(low)) * chance.standard_normal((STEPS_PER_HOUR, 1))
    noise[-1] = 0.0
    walked: Floats = np.clip(np.exp(smooth + noise), low, high)
    return walked


def _prior(before_unix: int) -> Floats:
    closes = daily_closes()
    days = np.array(closes.dates, dtype="datetime64[D]").astype(np.int64)
    end = int(np.searchsorted(days, before_unix // SECONDS_PER_DAY))
    both = np.stack([closes.btc, closes.eth], axis=1)
    return np.asarray(both[max(0, end - PRIOR_DAYS) : end])


class Made(NamedTuple):
    """The parameters of a made-up path, a year as in :data:`~keeper.risk.inputs.DAYS_PER_YEAR`."""

    vol_annual: float = 0.9
    drift_annual: float = -25.0
    """Of the logarithm: a path that is to hurt anybody within days falls."""
    jumps_per_day: float = 0.0
    jump_mean: float = -0.08
    jump_vol: float = 0.05
    reversion_per_day: float = 0.0
    """Of the variance; zero holds it fixed."""
    vol_of_vol: float = 0.0
    """``xi``: of the variance's own square-root process, per square root of a day, relative to the mean variance."""
    leverage: float = -0.7
    """The correlation of a price with its variance."""


KINDS = {
    "gbm": Made(),
    "jumps": Made(vol_annual=0.7, drift_annual=-2.0, jumps_per_day=0.8),
    "heston": Made(vol_annual=1.0, drift_annual=-20.0, reversion_per_day=1.0, vol_of_vol=1.5),
}
"""The made-up kinds by name."""


def made(kind: str, seed: int, *, hours: int = HOURS_MADE) -> Path:
    """Return a made-up path after a quiet year, which is the same for all seeds.

    Raises:
        RiskInputError: there is no such kind, or the path is too short.
    """
    if kind not in KINDS:
        raise RiskInputError("kind", f"is {kind!r}", f"choose of {', '.join(KINDS)}")
    number("hours", hours, least=1)
    terms, chance = KINDS[kind], stream(seed, f"path {kind}")
    quiet = QUIET_VOL_ANNUAL / math.sqrt(DAYS_PER_YEAR) * _correlated(stream(0, "quiet year"), PRIOR_DAYS)
    prior = np.exp(np.log(START_USD) + np.cumsum(quiet, axis=0) - np.sum(quiet, axis=0))
    return checked(Path(kind, np.exp(np.log(START_USD) + np.cumsum(_moves(terms, chance, hours), axis=0)), prior))


def _correlated(chance: Generator, count: int) -> Floats:
    drawn = chance.standard_normal((count, 2))
    drawn[:, 0] = CORRELATION * drawn[:, 1] + math.sqrt(1 - CORRELATION**2) * drawn[:, 0]
    return drawn


def _moves(terms: Made, chance: Generator, hours: int) -> Floats:
    """Return the logarithmic returns of a path, (N, 2)."""
    count, days = hours * STEPS_PER_HOUR, STEP_SECONDS / SECONDS_PER_DAY
    mean = terms.vol_annual**2 / DAYS_PER_YEAR
    shocks, own = _correlated(chance, count), chance.standard_normal(count)
    driver = terms.leverage * shocks[:, 1] + math.sqrt(1 - terms.leverage**2) * own
    variances, now = np.empty(count), mean
    for step in range(count):
        variances[step] = held = max(0.0, now)
        pull = terms.reversion_per_day * (mean - held) * days
        now += pull + terms.vol_of_vol * math.sqrt(mean * held * days) * driver[step]
    moves = (terms.drift_annual / DAYS_PER_YEAR - variances / 2)[:, None] * days
    moves = moves + np.sqrt(variances * days)[:, None] * shocks
    arrivals = chance.random(count) < terms.jumps_per_day * days
    sizes = terms.jump_mean + terms.jump_vol * chance.standard_normal((count, 1)) * np.ones((1, 2))
    return np.asarray(moves + np.where(arrivals[:, None], sizes, 0.0))
