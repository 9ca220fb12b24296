"""The distance index against a product with the whole sparse matrix: a million accounts, twenty assets, all ticking.

The book is made up: holdings by a power law, a tenth of the accounts within eight per cent of their line, the others
further away. Every tick of every walk is also screened by the full product, which is the peer that is timed beside the
index, and the oracle: nothing that it finds below the line may be missed.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from statistics import median, quantiles
from time import perf_counter

import numpy as np
from scipy.sparse import csr_array

from keeper.margin.distance import DistanceIndex
from keeper.margin.forms import Floats, Rows

SEED = 7
ACCOUNTS, ASSETS = 1_000_000, 20
CALM_TICKS, CRASH_TICKS = 1_000, 100
CALM_MOVE = 1e-4
CRASH_TO, CRASH_MOVE = 0.7, 1e-3
STABLE = 5
"""Every so manieth asset does not fall with the others."""
NOISE = 0.005


def run() -> dict[str, object]:
    """Measure; times are in microseconds."""
    chance = np.random.default_rng(SEED)
    prices = np.concatenate([[1.0], np.exp(chance.normal(3, 2, ASSETS))])
    rows = made_up_rows(chance, prices)
    matrix = csr_array((rows.coefficients, rows.factors, rows.starts), shape=(rows.total, len(prices)))
    begun = perf_counter()
    index = DistanceIndex(rows, prices)
    built = perf_counter() - begun
    walks = {
        "calm": list(walk(chance, prices, CALM_TICKS, CALM_MOVE, 0.0)),
        "noisy_asset": list(noisy(chance, prices)),
        "crash": list(walk(chance, prices, CRASH_TICKS, CRASH_MOVE, np.log(CRASH_TO) / CRASH_TICKS)),
    }
    results = {name: measured(index, matrix, rows.ids, ticks) for name, ticks in walks.items()}
    return {
        "accounts": ACCOUNTS,
        "terms": len(rows.factors),
        "built_seconds": round(built, 2),
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        **results,
    }


def made_up_rows(chance: np.random.Generator, prices: Floats) -> Rows:
    """Return rows of one to several collaterals and debts, at distances from 0.3 % to far away."""
    lengths = 2 + np.minimum(chance.geometric(0.32, ACCOUNTS) - 1, ASSETS - 2)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    share = 1 / np.arange(1, ASSETS + 1) ** 1.1
    factors = 1 + chance.choice(ASSETS, starts[-1], p=share / share.sum())
    values = np.exp(chance.normal(7, 2, starts[-1]))
    place = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)
    sides = np.where(place < np.repeat((lengths + 1) // 2, lengths), 1.0, -1.0)
    secures = np.add.reduceat(np.where(sides > 0, values, 0), starts[:-1])
    owes = np.add.reduceat(np.where(sides < 0, values, 0), starts[:-1])
    near = chance.random(ACCOUNTS) < 0.1
    distance = np.where(near, chance.uniform(0.003, 0.08, ACCOUNTS), 0.08 + chance.exponential(0.6, ACCOUNTS))
    scale = np.repeat(secures / owes * np.exp(-distance), lengths)
    values = np.where(sides > 0, values, -values * scale)
    return Rows(np.arange(ACCOUNTS), starts, factors, values / prices[factors])


def walk(chance: np.random.Generator, prices: Floats, ticks: int, move: float, drift: float) -> Iterator[Floats]:
    """Yield prices of which all assets move at every tick."""
    logs = np.log(prices)
    falls = np.arange(1, ASSETS + 1) % STABLE != 0
    for _ in range(ticks):
        logs[1:] += drift * falls + chance.normal(0, move, ASSETS)
        yield np.exp(logs)


def noisy(chance: np.random.Generator, prices: Floats) -> Iterator[Floats]:
    """Yield prices of which the rarest asset moves fifty times as much as the others."""
    log = 0.0
    for calm in walk(chance, prices, CALM_TICKS, CALM_MOVE, 0.0):
        log += chance.normal(0, NOISE)
        calm[-1] *= np.exp(log)
        yield calm


def measured(index: DistanceIndex, matrix: csr_array, ids: np.ndarray, ticks: list[Floats]) -> dict[str, object]:
    """Screen every tick both ways."""
    reported, ours, theirs, missed, extra, found = [], [], [], 0, 0, 0
    for prices in ticks:
        begun = perf_counter()
        reported.append(index.tick(prices))
        ours.append((perf_counter() - begun) * 1e6)
    for prices, ids_reported in zip(ticks, reported, strict=True):
        begun = perf_counter()
        margins = matrix @ prices
        theirs.append((perf_counter() - begun) * 1e6)
        below = ids[margins <= 0]
        missed += len(np.setdiff1d(below, ids_reported))
        extra += len(ids_reported) - len(below)
        found += len(below)
    return {
        "ticks": len(ticks),
        "median_us": round(median(ours), 1),
        "p99_us": round(quantiles(ours, n=100)[98], 1),
        "worst_us": round(max(ours), 1),
        "full_product_median_us": round(median(theirs), 1),
        "times_faster": round(median(theirs) / median(ours)),
        "found": found,
        "missed": missed,
        "extra": extra,
    }
