"""Small made-up markets, and those of published examples."""

from __future__ import annotations

import numpy as np

from keeper.risk.inputs import SECONDS_PER_YEAR, Floats
from keeper.risk.instruments import Contract, Instruments, Kind, Portfolio, Underlying

DAY_SECONDS = 86_400


def years(*, days: float = 0.0, seconds: float = 0.0) -> float:
    """Return a time in years of option time."""
    return (days * DAY_SECONDS + seconds) / SECONDS_PER_YEAR


def derive_option(name: str, strike: float, *, is_call: bool, vol: float = 1.047884494) -> Contract:
    """Return an option of Derive's first margin test: 500,400 seconds, of whose forward only the spot part moves."""
    return Contract(
        name=name,
        kind=Kind.OPTION,
        underlying="ETH",
        expiry_years=years(seconds=500_400),
        strike_usd=strike,
        is_call=is_call,
        forward_variable_usd=1500.833279,
        vol_annual=vol,
    )


def listing(chance: np.random.Generator, options: int, expiries: int = 4) -> Instruments:
    """Return spot, perpetual and options on each of two underlyings; the options lie around the money."""
    contracts = []
    spots = {"BTC": 60_000.0, "ETH": 2_000.0}
    for underlying, spot in spots.items():
        contracts.append(Contract(name=underlying, kind=Kind.SPOT, underlying=underlying, mark_price_usd=spot))
        perpetual = f"{underlying}-PERP"
        contracts.append(
            Contract(name=perpetual, kind=Kind.PERPETUAL, underlying=underlying, mark_price_usd=spot * 1.001)
        )
    for place in range(options):
        underlying = ("BTC", "ETH")[place % 2]
        strike = spots[underlying] * float(np.exp(chance.normal(0, 0.15)))
        days = 3 + 29 * (place // 2 % expiries)
        contracts.append(
            Contract(
                name=f"{underlying}-{days}-{place}",
                kind=Kind.OPTION,
                underlying=underlying,
                expiry_years=years(days=days),
                strike_usd=strike,
                is_call=bool(chance.random() < 0.5),
                forward_fixed_usd=spots[underlying] * 0.001,
                forward_variable_usd=spots[underlying],
                vol_annual=float(chance.uniform(0.3, 1.5)),
                rate_annual=0.03,
            )
        )
    return Instruments.of(contracts, [Underlying(name=name, spot_usd=spot) for name, spot in spots.items()])


def book(chance: np.random.Generator, instruments: Instruments, accounts: int, legs: int) -> Portfolio:
    """Return accounts of so many random positions each, long and short, and some cash."""
    quantities = np.zeros((accounts, len(instruments)))
    for row in quantities:
        held = chance.choice(len(instruments), min(legs, len(instruments)), replace=False)
        row[held] = chance.normal(0, 2, len(held))
    return Portfolio(quantities, chance.normal(1_000, 500, accounts))


def moved(instruments: Instruments, spot_moves: Floats, vol_rise: float, elapsed_years: float) -> Instruments:
    """Return the market after each underlying's spot price has grown by a share, and time has passed."""
    growth = 1.0 + spot_moves[instruments.underlying]
    return instruments.replaced(
        mark_price_usd=instruments.mark_price_usd * growth,
        forward_variable_usd=instruments.forward_variable_usd * growth,
        vol_annual=np.where(instruments.is_option, instruments.vol_annual + vol_rise, 0.0),
        expiry_years=instruments.expiry_years - elapsed_years,
        spot_usd=instruments.spot_usd * (1.0 + spot_moves),
    )
