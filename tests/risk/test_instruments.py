"""A market is refused by the instrument that is wrong with it."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import msgspec
import numpy as np
import pytest
from scipy.sparse import csr_array

from keeper.core.errors import RiskInputError
from keeper.risk.instruments import Contract, Instruments, Kind, Portfolio, Underlying
from tests.risk.markets import derive_option

ETH = Underlying(name="ETH", spot_usd=1500.0)
CALL = derive_option("ETH-1500-C", 1500.0, is_call=True)
PERPETUAL = Contract(name="ETH-PERP", kind=Kind.PERPETUAL, underlying="ETH", mark_price_usd=1505.0)


def market(**changes: Any) -> Instruments:  # noqa: ANN401 - any field of a contract
    """Return a perpetual and a call that is changed."""
    return Instruments.of([PERPETUAL, msgspec.structs.replace(CALL, **changes)], [ETH])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"expiry_years": 0.0}, "^ETH-1500-C: has expired"),
        ({"expiry_years": -0.1}, "^ETH-1500-C: has expired"),
        ({"expiry_years": inf}, "^ETH-1500-C: has no expiry"),
        ({"vol_annual": 0.0}, "^ETH-1500-C: has a volatility outside 0 to 20"),
        ({"vol_annual": 80.0}, "^ETH-1500-C: has a volatility .*; give it as a fraction a year"),
        ({"strike_usd": 0.0}, "^ETH-1500-C: has no positive strike"),
        ({"forward_variable_usd": 0.0}, "^ETH-1500-C: has no positive forward"),
        ({"mark_price_usd": -1.0}, "^ETH-1500-C: has a negative price"),
        ({"confidence": 1.5}, "^ETH-1500-C: has a confidence outside 0 to 1"),
        ({"kind": Kind.PERPETUAL}, "^ETH-1500-C: expires, which its kind does not"),
        ({"kind": Kind.SPOT, "expiry_years": inf}, "^ETH-1500-C: has no price"),
        ({"name": "ETH-PERP"}, "^ETH-PERP: is listed twice"),
        ({"underlying": "DOGE"}, "^ETH-1500-C: is on DOGE, which has no spot price"),
        ({"vol_annual": nan}, r"^vol_annual\[1\]: is nan"),
        ({"expiry_years": nan}, r"^expiry_years\[1\]: is nan"),
    ],
)
def test_what_gives_no_price_is_refused_by_the_name_of_the_instrument(changes: dict[str, Any], message: str) -> None:
    """Nobody searches two thousand instruments for the expired one."""
    with pytest.raises(RiskInputError, match=message):
        market(**changes)


def test_a_kind_or_an_underlying_that_is_not_there_is_refused() -> None:
    """Arrays made elsewhere are checked as a listing is."""
    with pytest.raises(RiskInputError, match=r"^ETH-1500-C: is of no known kind"):
        market().replaced(kind=[1, 9])
    with pytest.raises(RiskInputError, match=r"^ETH-PERP: has no underlying"):
        market().replaced(underlying=[1, 0])
    with pytest.raises(RiskInputError, match=r"^vol_annual: has shape"):
        market().replaced(vol_annual=[1.0])
    with pytest.raises(RiskInputError, match=r"^spot_usd\[0\]"):
        market().replaced(spot_usd=[0.0])


def test_an_instrument_is_found_by_name_and_an_unknown_one_refused() -> None:
    """A position in nothing is no position."""
    assert market().index("ETH-1500-C") == 1
    with pytest.raises(RiskInputError, match=r"^ETH-9000-C: is not an instrument of this market; list it first$"):
        market().index("ETH-9000-C")


def test_a_market_cannot_be_changed_under_a_figure() -> None:
    """Its arrays are copies, and shut."""
    vols = np.array([0.0, 0.8])
    instruments = market().replaced(vol_annual=vols)
    vols[1] = 5.0

    assert instruments.vol_annual[1] == 0.8
    with pytest.raises(ValueError, match="read-only"):
        instruments.vol_annual[1] = 1.0


def test_forwards_and_buckets_are_those_of_the_listing() -> None:
    """What never expires is one bucket of its underlying, and is worth its price."""
    instruments = market(forward_fixed_usd=-0.833279)

    assert instruments.forward_usd.tolist() == [1505.0, 1500.0]
    assert instruments.is_option.tolist() == [False, True]
    assert len(instruments.buckets) == 2
    assert instruments.buckets.of.tolist() == [1, 0]
    assert instruments.buckets.expiry_years.tolist() == [CALL.expiry_years, inf]
    assert instruments.buckets.underlying.tolist() == [0, 0]


def test_a_portfolio_is_rows_over_the_market() -> None:
    """What is held stands in its instrument's column, with its sign."""
    portfolio = Portfolio.of(market(), [({"ETH-1500-C": -1.0}, 50.0), ({}, 0.0), ({"ETH-PERP": 2.0}, -3010.0)])

    assert portfolio.held_in(market()).toarray().tolist() == [[0, -1], [0, 0], [2, 0]]
    assert len(portfolio) == 3


def test_a_portfolio_of_unknown_or_infinite_holdings_is_refused() -> None:
    """A hole in a row is not a zero."""
    with pytest.raises(RiskInputError, match=r"^DOGE: is not an instrument"):
        Portfolio.of(market(), [({"DOGE": 1.0}, 0.0)])
    with pytest.raises(RiskInputError, match=r"^ETH-PERP: is nan"):
        Portfolio.of(market(), [({"ETH-PERP": nan}, 0.0)])
    with pytest.raises(RiskInputError, match=r"^quantities\[0\]: is inf"):
        Portfolio(csr_array(np.array([[inf, 1.0]])), np.zeros(1))
    with pytest.raises(RiskInputError, match=r"^cash_usd: has shape"):
        Portfolio(csr_array((2, 2)), np.zeros(1))
    with pytest.raises(RiskInputError, match=r"^quantities: are over 3 instruments, not 2"):
        Portfolio(csr_array((1, 3)), np.zeros(1)).held_in(market())
