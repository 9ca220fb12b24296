"""First passage of a million accounts against a loop over them: every account with its own health and volatility.

The loop is the formula as it is written, on Python's floats. It is timed over a sample of the accounts and scaled to
all of them; it is also the oracle: the two may differ by rounding alone.
"""

from __future__ import annotations

import math
from statistics import median
from time import perf_counter

import numpy as np

from keeper.risk.inputs import SECONDS_PER_YEAR, Floats
from keeper.risk.passage import liquidation_probability

SEED = 7
ACCOUNTS, SAMPLE = 1_000_000, 20_000
RUNS = 9
HORIZON_SECONDS = 86_400


def run() -> dict[str, object]:
    """Measure; times are in milliseconds."""
    chance = np.random.default_rng(SEED)
    health = np.exp(np.abs(chance.normal(0, 0.5, ACCOUNTS)))
    vol = chance.uniform(0.3, 1.5, ACCOUNTS)
    ours, theirs = [], []
    for _ in range(RUNS):
        begun = perf_counter()
        found = liquidation_probability(health, vol, HORIZON_SECONDS)
        ours.append((perf_counter() - begun) * 1e3)
        begun = perf_counter()
        expected = looped(health[:SAMPLE].tolist(), vol[:SAMPLE].tolist())
        theirs.append((perf_counter() - begun) * 1e3 * ACCOUNTS / SAMPLE)
    return {
        "accounts": ACCOUNTS,
        "runs": RUNS,
        "median_ms": round(median(ours), 1),
        "worst_ms": round(max(ours), 1),
        "scalar_loop_sample": SAMPLE,
        "scalar_loop_median_ms": round(median(theirs), 1),
        "times_faster": round(median(theirs) / median(ours), 1),
        "largest_difference": float(np.abs(found[:SAMPLE] - expected).max()),
    }


def looped(health: list[float], vol: list[float]) -> Floats:
    """Return the probability of each account, one after the other."""
    years = HORIZON_SECONDS / SECONDS_PER_YEAR
    return np.array([touched(math.log(each), sigma, years) for each, sigma in zip(health, vol, strict=True)])


def touched(distance: float, sigma: float, years: float) -> float:
    """Return the probability that one account's health reaches 1 within the time, without drift."""
    nu, deviation = -sigma * sigma / 2, sigma * math.sqrt(years)
    reflected = math.exp(-2 * nu * distance / sigma**2) * normal((nu * years - distance) / deviation)
    return normal((-distance - nu * years) / deviation) + reflected


def normal(z: float) -> float:
    """Return the standard normal distribution function."""
    return math.erfc(-z / math.sqrt(2)) / 2
