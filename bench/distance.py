"""The distance index against a product with the whole sparse matrix: a million accounts, twenty assets, all ticking.

The book is made up: holdings by a power law, a tenth of the accounts within eight per cent of their line, the others
further away. Every tick of every walk is also screened by the full product, which is the peer that is timed beside the
index, and the oracle: nothing that it finds below the line may be missed.

A worst tick is a matter of luck on a machine that does other work too. So the crash is walked three times, each from a
fresh index, and the median of the three worst ticks is given; and beside each worst wall time, the worst time that the
processor spent on a tick.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from resource import RUSAGE_SELF, getpagesize, getrusage
from statistics import median, quantiles
from time import perf_counter, thread_time
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from keeper.margin.distance import DistanceIndex
from keeper.margin.forms import Floats, Form, Places, Rows

SEED = 7
ACCOUNTS, ASSETS = 1_000_000, 20
CALM_TICKS, NOISY_TICKS, CRASH_TICKS, OTHER_TICKS, CHANGING_TICKS = 1_500, 1_000, 100, 200, 300
CRASHES = 3
CALM_MOVE = 1e-4
CRASH_TO, CRASH_MOVE = 0.7, 1e-3
STABLE = 5
"""Every so manieth asset does not fall with the others."""
NOISE = 0.005
JUMP, JUMPS = 0.08, 0.1
"""By how much an asset jumps, and the chance that it does."""
INTEREST, INTEREST_TICKS = 2e-4, 25
"""What an asset accrues at most in so many ticks, and shows at once at the last of them."""
CHANGED, RESIZED = 100, 0.02
"""Accounts that change at a tick, and by how much each of their terms does."""


class Change(NamedTuple):
    """Accounts whose terms become others before a tick.

    Attributes:
        places: Of the accounts.
        terms: Of their terms, all accounts one after the other.
        coefficients: What those become.
        forms: The same as forms, one for each account.
    """

    places: Places
    terms: Places
    coefficients: Floats
    forms: list[Form]


class Peer(NamedTuple):
    """The whole matrix, and whose its rows are."""

    matrix: csr_array
    ids: Places

    def found(self, prices: Floats) -> Places:
        """Return who is below the line."""
        below: Places = self.ids[self.matrix @ prices <= 0]
        return below


def run() -> dict[str, object]:
    """Measure; times are in microseconds."""
    chance = np.random.default_rng(SEED)
    prices = np.concatenate([[1.0], np.exp(chance.normal(3, 2, ASSETS))])
    rows = made_up_rows(chance, prices)
    peer = Peer(csr_array((rows.coefficients.copy(), rows.factors, rows.starts), (rows.total, len(prices))), rows.ids)
    resident, begun = resident_mib(), perf_counter()
    index = DistanceIndex(rows, prices)
    built, resident = perf_counter() - begun, resident_mib() - resident
    results = {
        "calm": measured(index, peer, list(walk(chance, prices, CALM_TICKS, CALM_MOVE, 0.0))),
        "noisy_asset": measured(index, peer, list(noisy(chance, prices))),
    }
    drift = np.log(CRASH_TO) / CRASH_TICKS
    falls = [list(walk(chance, prices, CRASH_TICKS, CRASH_MOVE, drift)) for _ in range(CRASHES)]
    crashes = []
    for ticks in falls:
        index = DistanceIndex(rows, prices)
        crashes.append(measured(index, peer, ticks))
    results["crash"] = together(crashes)
    bottom = falls[-1][-1]
    results["recovery"] = measured(index, peer, list(walk(chance, bottom, CRASH_TICKS, CRASH_MOVE, -drift)))
    results["jumps"] = measured(index, peer, list(jumping(chance, prices)))
    results["stale_interest"] = measured(index, peer, list(accruing(chance, prices)))
    changes = [change(chance, rows) for _ in range(CHANGING_TICKS)]
    calm = list(walk(chance, prices, CHANGING_TICKS, CALM_MOVE, 0.0))
    results["changing"] = {"changed_accounts_per_tick": CHANGED, **measured(index, peer, calm, changes)}
    return {
        "accounts": ACCOUNTS,
        "terms": len(rows.factors),
        "built_seconds": round(built, 2),
        "process_peak_mib": getrusage(RUSAGE_SELF).ru_maxrss // 1024,
        "index_mib": round(resident),
        "full_product_matrix_mib": round(
            sum(each.nbytes for each in (peer.matrix.data, peer.matrix.indices, peer.matrix.indptr)) / 2**20
        ),
        "ticks": sum(each["ticks"] for each in results.values()),
        "missed": sum(each["missed"] for each in results.values()),
        **results,
    }


def resident_mib() -> float:
    """Return what the process holds in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize() / 2**20


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
    for calm in walk(chance, prices, NOISY_TICKS, CALM_MOVE, 0.0):
        log += chance.normal(0, NOISE)
        calm[-1] *= np.exp(log)
        yield calm


def jumping(chance: np.random.Generator, prices: Floats) -> Iterator[Floats]:
    """Yield prices that stand still for most assets, and jump for some."""
    logs = np.log(prices)
    for _ in range(OTHER_TICKS):
        logs[1:] += chance.normal(0, JUMP, ASSETS) * (chance.random(ASSETS) < JUMPS / ASSETS)
        yield np.exp(logs)


def accruing(chance: np.random.Generator, prices: Floats) -> Iterator[Floats]:
    """Yield prices whose interest nobody has seen until it is shown, at once."""
    rates = chance.uniform(0, INTEREST, ASSETS)
    for tick, calm in enumerate(walk(chance, prices, OTHER_TICKS, CALM_MOVE, 0.0)):
        calm[1:] *= np.exp(rates * (tick // INTEREST_TICKS))
        yield calm


def change(chance: np.random.Generator, rows: Rows) -> Change:
    """Return accounts of which each term becomes a little more or less than it was at first."""
    places = np.sort(chance.choice(rows.total, CHANGED, replace=False))
    ends = zip(rows.starts[places].tolist(), rows.starts[places + 1].tolist(), strict=True)
    terms = [np.arange(start, end) for start, end in ends]
    coefficients = [rows.coefficients[each] * np.exp(chance.normal(0, RESIZED, len(each))) for each in terms]
    pairs = zip(terms, coefficients, strict=True)
    forms = [Form(tuple(zip(rows.factors[held].tolist(), sizes.tolist(), strict=True)), 0.0) for held, sizes in pairs]
    return Change(places, np.concatenate(terms), np.concatenate(coefficients), forms)


def measured(index: DistanceIndex, peer: Peer, ticks: list[Floats], changes: Sequence[Change] = ()) -> dict[str, float]:
    """Screen every tick both ways."""
    reported, ours, cpu, theirs, missed, extra, found = [], [], [], [], 0, 0, 0
    for tick, prices in enumerate(ticks):
        spent, begun = thread_time(), perf_counter()
        if changes:
            for place, form in zip(changes[tick].places.tolist(), changes[tick].forms, strict=True):
                index.update(place, form)
        reported.append(index.tick(prices))
        ours.append((perf_counter() - begun) * 1e6)
        cpu.append((thread_time() - spent) * 1e6)
    for tick, prices in enumerate(ticks):
        if changes:
            peer.matrix.data[changes[tick].terms] = changes[tick].coefficients
        begun = perf_counter()
        below = peer.found(prices)
        theirs.append((perf_counter() - begun) * 1e6)
        missed += len(np.setdiff1d(below, reported[tick]))
        extra += len(reported[tick]) - len(below)
        found += len(below)
    return {
        "ticks": len(ticks),
        "median_us": round(median(ours), 1),
        "p99_us": round(quantiles(ours, n=100)[98], 1),
        "worst_us": round(max(ours), 1),
        "median_cpu_us": round(median(cpu), 1),
        "worst_cpu_us": round(max(cpu), 1),
        "full_product_median_us": round(median(theirs), 1),
        "times_faster": round(median(theirs) / median(ours)),
        "found": found,
        "missed": missed,
        "extra": extra,
    }


def together(runs: list[dict[str, float]]) -> dict[str, float]:
    """Return what several runs say: their sums of ticks and accounts, the medians of their times."""
    sums = ("ticks", "found", "missed", "extra")
    every = {name: [each[name] for each in runs] for name in runs[0]}
    return {name: sum(values) if name in sums else median(values) for name, values in every.items()}
