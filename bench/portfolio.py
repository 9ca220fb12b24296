"""Portfolio margin of many accounts at one tick of the market, and the same account by account in plain Python.

The market is made up: two underlyings, each with a perpetual, spot, and options at twelve expiries; every account holds
twenty instruments at random. A tick is priced and every account re-margined under Derive's 23 scenarios with all
contingencies. The peer is the margin of the same accounts one by one, as the contract computes it, from the same
prices; a sample of them, whose margins are also compared.

Beside each wall time stands the time that the processor spent, and ratios are of those: a machine that does other work
too stretches the former.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter, thread_time

import numpy as np
from scipy.sparse import csr_array

from keeper.risk.grouping import GroupedBook
from keeper.risk.inputs import DAYS_PER_YEAR, Floats
from keeper.risk.instruments import Contract, Instruments, Kind, Portfolio, Underlying
from keeper.risk.portfolio import CONTINGENT_COLUMNS, derive_margins, derive_table, expiry_weights
from keeper.risk.scenarios import DERIVE_MAINNET

SEED = 7
ACCOUNTS, MORE_ACCOUNTS, LEGS, INSTRUMENTS = 10_000, 100_000, 20, 2_000
TICKS, MORE_TICKS, SAMPLE = 41, 11, 200
SPOTS_USD = {"BTC": 60_000.0, "ETH": 2_000.0}
EXPIRY_DAYS = (1, 2, 7, 14, 21, 28, 56, 84, 120, 180, 270, 360)
MOVE = 1e-3


def run() -> dict[str, object]:
    """Measure; times are in milliseconds."""
    chance = np.random.default_rng(SEED)
    instruments = market(chance)
    portfolio = book(chance, instruments, ACCOUNTS)
    begun = perf_counter()
    compiled = GroupedBook.of(instruments, portfolio)
    built = perf_counter() - begun
    ticks = [moved(chance, instruments) for _ in range(TICKS)]
    ours, cpu = timed(ticks, lambda tick: derive_margins(tick, compiled, DERIVE_MAINNET))
    priced, _ = timed(ticks, lambda tick: derive_table(tick, DERIVE_MAINNET))
    naive, error = one_by_one(ticks[0], portfolio, compiled)
    more = GroupedBook.of(instruments, book(chance, instruments, MORE_ACCOUNTS))
    many, more_cpu = timed(ticks[:MORE_TICKS], lambda tick: derive_margins(tick, more, DERIVE_MAINNET))
    return {
        "instruments": len(instruments),
        "scenarios": len(DERIVE_MAINNET.scenarios),
        "accounts": ACCOUNTS,
        "legs_per_account": LEGS,
        "compiled_ms": round(built * 1e3, 1),
        "priced_ms": round(priced * 1e3, 2),
        "remargined_ms": round(ours * 1e3, 1),
        "remargined_cpu_ms": round(cpu * 1e3, 1),
        "more_accounts": MORE_ACCOUNTS,
        "more_remargined_ms": round(many * 1e3, 1),
        "more_remargined_cpu_ms": round(more_cpu * 1e3, 1),
        "more_to_ten_times_fewer": round(more_cpu / (cpu * MORE_ACCOUNTS / ACCOUNTS), 2),
        "one_by_one_cpu_ms": round(naive * 1e3),
        "times_faster_than_one_by_one": round(naive / cpu),
        "largest_difference_usd": error,
    }


def market(chance: np.random.Generator) -> Instruments:
    """Return spot and perpetual of each underlying, and options at every expiry around the money."""
    contracts = []
    each = INSTRUMENTS // len(SPOTS_USD) - 2
    for underlying, spot in SPOTS_USD.items():
        contracts.append(Contract(name=underlying, kind=Kind.SPOT, underlying=underlying, mark_price_usd=spot))
        perpetual = Contract(name=f"{underlying}-PERP", kind=Kind.PERPETUAL, underlying=underlying, mark_price_usd=spot)
        contracts.append(perpetual)
        for place in range(each):
            days = EXPIRY_DAYS[place % len(EXPIRY_DAYS)]
            option = Contract(
                name=f"{underlying}-{place}",
                kind=Kind.OPTION,
                underlying=underlying,
                expiry_years=days / DAYS_PER_YEAR,
                strike_usd=spot * (0.5 + place // (2 * len(EXPIRY_DAYS)) / 40),
                is_call=place // len(EXPIRY_DAYS) % 2 == 0,
                forward_variable_usd=spot * (1 + 0.03 * days / DAYS_PER_YEAR),
                vol_annual=float(chance.uniform(0.4, 1.2)),
                rate_annual=0.03,
            )
            contracts.append(option)
    return Instruments.of(contracts, [Underlying(name=name, spot_usd=spot) for name, spot in SPOTS_USD.items()])


def book(chance: np.random.Generator, instruments: Instruments, accounts: int) -> Portfolio:
    """Return accounts of so many legs each; an instrument drawn twice is one leg."""
    held = chance.integers(0, len(instruments), accounts * LEGS)
    starts = np.arange(0, accounts * LEGS + 1, LEGS)
    rows = csr_array((chance.normal(0, 2, accounts * LEGS), held, starts), shape=(accounts, len(instruments)))
    return Portfolio(rows, chance.normal(1e5, 1e4, accounts))


def moved(chance: np.random.Generator, instruments: Instruments) -> Instruments:
    """Return the next tick's market: other spot prices and volatilities."""
    growth = np.exp(chance.normal(0, MOVE, len(SPOTS_USD)))
    of_each = growth[instruments.underlying]
    return instruments.replaced(
        mark_price_usd=instruments.mark_price_usd * of_each,
        forward_variable_usd=instruments.forward_variable_usd * of_each,
        vol_annual=instruments.vol_annual * np.exp(chance.normal(0, MOVE, len(instruments))),
        spot_usd=instruments.spot_usd * growth,
    )


def timed(ticks: list[Instruments], work: Callable[[Instruments], object]) -> tuple[float, float]:
    """Return the median time that a tick's work took, and that the processor spent on it, seconds."""
    spent, cpu = [], []
    for tick in ticks:
        began, begun = thread_time(), perf_counter()
        work(tick)
        spent.append(perf_counter() - begun)
        cpu.append(thread_time() - began)
    return median(spent), median(cpu)


def one_by_one(instruments: Instruments, portfolio: Portfolio, compiled: GroupedBook) -> tuple[float, float]:
    """Return the processor's time for all accounts one by one, from a sample, and the largest difference in it."""
    margins = derive_margins(instruments, compiled, DERIVE_MAINNET).maintenance_usd
    table = derive_table(instruments, DERIVE_MAINNET)
    discount, basis_share = expiry_weights(instruments, compiled, DERIVE_MAINNET)
    buckets = compiled.instrument_bucket.tolist()
    weights = [(float(discount[bucket]), float(basis_share[bucket]), bucket) for bucket in buckets]
    rows = portfolio.quantities
    worst, begun = 0.0, thread_time()
    for account in range(SAMPLE):
        legs = slice(int(rows.indptr[account]), int(rows.indptr[account + 1]))
        held = list(zip(rows.indices[legs].tolist(), rows.data[legs].tolist(), strict=True))
        margin = float(portfolio.cash_usd[account])
        for underlying in range(len(SPOTS_USD)):
            mine = [(place, size) for place, size in held if instruments.underlying[place] == underlying]
            margin += pair_margin(instruments, mine, table, weights, float(instruments.spot_usd[underlying]))
        worst = max(worst, abs(margin - float(margins[account])))
    return (thread_time() - begun) * len(portfolio) / SAMPLE, worst


def pair_margin(
    instruments: Instruments,
    held: list[tuple[int, float]],
    table: Floats,
    weights: list[tuple[float, float, int]],
    spot_usd: float,
) -> float:
    """Return value and worst loss of what an account holds on one underlying, leg by leg and scenario by scenario."""
    count = len(DERIVE_MAINNET.scenarios)
    totals: dict[int, list[float]] = {}
    discounts: dict[int, tuple[float, float]] = {}
    strikes: dict[tuple[int, float], float] = {}
    static = 0.0
    for place, size in held:
        discount, basis_share, bucket = weights[place]
        sums = totals.setdefault(bucket, [0.0] * (count + CONTINGENT_COLUMNS))
        discounts[bucket] = discount, basis_share
        for column, price in enumerate(table[place].tolist()):
            sums[column] += size * price
        if instruments.kind[place] == Kind.OPTION:
            strike = (bucket, float(instruments.strike_usd[place]))
            strikes[strike] = strikes.get(strike, 0.0) + size
        else:
            of_spot = instruments.kind[place] == Kind.SPOT
            static += abs(size) * (DERIVE_MAINNET.base_share if of_spot else DERIVE_MAINNET.perpetual_share)
    static += DERIVE_MAINNET.option_share * sum(max(-size, 0.0) for size in strikes.values())
    losses, basis = [0.0] * count, 0.0
    for bucket, sums in totals.items():
        discount, basis_share = discounts[bucket]
        down, up, now = sums[count:]
        basis += min(down - now, up - now, 0.0) * basis_share
        for column in range(count):
            value = sums[column]
            losses[column] += (value * discount if value > 0 else value) - now
    return sum(sums[-1] for sums in totals.values()) + min(*losses, basis) - static * spot_usd
