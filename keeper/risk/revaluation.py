"""What every instrument is worth under every scenario: one table (U, S) for all accounts.

Under a spot factor x a forward becomes ``F_fix + F_var x`` and any other price ``P x``; options are Black's (1976) of
the shocked forward and volatility, undiscounted. In USD one contract of an inverse perpetual or future, a dollar of
notional, is worth ``P' / P``; in coins it is ``-1 / P'``, so that a position of N entered at P gains
``N (1/P - 1/P')``.
"""

from __future__ import annotations

import numpy as np

from keeper.core.errors import RiskInputError
from keeper.risk.greeks import black76
from keeper.risk.inputs import Floats, Integers, array
from keeper.risk.instruments import DATED, Instruments, Kind
from keeper.risk.scenarios import VolRule

OWN_COIN = (Kind.SPOT, Kind.LENDING)
"""The kinds of which one is one coin."""


def price_table(instruments: Instruments, factors: Floats, shocks: Integers, rule: VolRule) -> Floats:
    """Return the value of one contract of each instrument under each scenario, shape (U, S), USD.

    Args:
        instruments: U instruments.
        factors: What spot is multiplied by, shape (S,).
        shocks: Which way volatilities move, shape (S,), as :class:`keeper.risk.scenarios.VolShock`.
        rule: How far they move.

    Raises:
        RiskInputError: a scenario leaves a price or a forward nothing, or has no shock.
    """
    table = shocked_forwards(instruments, factors)
    coin_settled = instruments.inverse & ~instruments.is_option
    table[coin_settled] /= instruments.forward_usd[coin_settled, None]
    _price_options(instruments, table, shocks, rule)
    return table


def coin_table(instruments: Instruments, factors: Floats, shocks: Integers, rule: VolRule) -> Floats:
    """Return the same in coins of the one underlying, shape (U, S).

    What is settled in coins is priced in them: an option at Black's price over its forward. Anything else is worth its
    dollars at the shocked spot price; a coin is a coin.

    Raises:
        RiskInputError: there are several underlyings, or a scenario leaves a forward nothing.
    """
    if len(instruments.underlyings) != 1:
        reason = f"are on {len(instruments.underlyings)} underlyings"
        raise RiskInputError("instruments", reason, "count in coins for one underlying at a time")
    table = shocked_forwards(instruments, factors)
    inverse, option = instruments.inverse, instruments.is_option
    coin_price = np.where(inverse[:, None], table, instruments.spot_usd[0] * factors)
    table[inverse & ~option] = -1.0
    _price_options(instruments, table, shocks, rule)
    own = np.isin(instruments.kind, OWN_COIN)
    table /= coin_price
    table[own] = (instruments.mark_price_usd[own] / instruments.spot_usd[0])[:, None]
    return table


def shocked_forwards(instruments: Instruments, factors: Floats) -> Floats:
    """Return the forward, or the price of what never expires, under each spot factor, shape (U, S).

    Raises:
        RiskInputError: a factor is not positive.
    """
    array("factors", factors, ndim=1, above=0.0)
    dated = np.isin(instruments.kind, DATED)
    fixed = np.where(dated, instruments.forward_fixed_usd, 0.0)
    variable = np.where(dated, instruments.forward_variable_usd, instruments.mark_price_usd)
    forwards = np.multiply.outer(variable, factors)
    forwards += fixed[:, None]
    return forwards


def _price_options(instruments: Instruments, table: Floats, shocks: Integers, rule: VolRule) -> None:
    array("shocks", shocks, ndim=1, length=table.shape[1])
    option = instruments.is_option
    years = instruments.expiry_years[option]
    table[option] = black76(
        table[option],
        instruments.strike_usd[option, None],
        years[:, None],
        rule.shocked(instruments.vol_annual[option], years, shocks),
        instruments.is_call[option, None],
    )
