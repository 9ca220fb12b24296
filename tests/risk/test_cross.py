"""The standard form of cross margin: Derive's own cases, and what any margin keeps to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.errors import RiskInputError
from keeper.risk.cross import (
    DERIVE_PERPETUALS,
    Contingency,
    Depeg,
    MarketRules,
    OptionRatios,
    PerpetualRatios,
    StandardMargin,
    StandardRules,
    standard_margin,
)
from keeper.risk.instruments import Contract, Instruments, Kind, Portfolio, Underlying
from keeper.risk.tiers import CollateralFactor
from tests.risk.markets import derive_option, listing, years

DATA = json.loads((Path(__file__).parent / "data" / "derive_standard.json").read_text())
TEST_MARKET = MarketRules(
    PerpetualRatios(0.05, 0.065),
    OptionRatios(0.15, 0.10, 0.075, 0.075, 0.075, 1.2, 1.1, 1.05),
    CollateralFactor(0.1),
    Contingency(0.4, 0.4, 0.4, 0.4),
)
"""The parameters of Derive's own tests (lyra-finance/v2-core, config-test)."""
LISTING = listing(np.random.default_rng(5), 16)
CONTINGENT = MarketRules(contingency=Contingency(0.9, 0.9, 0.9, 0.5))
LISTING_RULES = StandardRules({"ETH": MarketRules(), "BTC": CONTINGENT}, stable_price_usd=0.97)
BOOKS = st.lists(st.integers(-20, 20), min_size=len(LISTING), max_size=len(LISTING)).map(
    lambda sizes: {
        name: float(abs(size) if kind == Kind.SPOT else size)
        for name, kind, size in zip(LISTING.names, LISTING.kind, sizes, strict=True)
    }
)


def rules(stable: float = 1.0) -> StandardRules:
    """Return the parameters of Derive's tests at a price of the stable coin."""
    return StandardRules({"ETH": TEST_MARKET, "BTC": TEST_MARKET}, Depeg(0.98, 1.2), stable)


def margin_of(market: Instruments, held: dict[str, float], cash: float = 0.0, *, stable: float = 1.0) -> list[float]:
    """Return one account's initial margin, maintenance margin and mark to market."""
    portfolio = Portfolio.of(market, [(held, cash)])
    both = [standard_margin(market, portfolio, rules(stable), initial=initial) for initial in (True, False)]
    return [float(both[0].margin_usd[0]), float(both[1].margin_usd[0]), float(both[0].mark_to_market_usd[0])]


def ether(contracts: list[Contract], confidence: float = 1.0) -> Instruments:
    """Return a market of ether at 1,500."""
    return Instruments.of(contracts, [Underlying(name="ETH", spot_usd=1500.0, confidence=confidence)])


@pytest.mark.parametrize("case", DATA["cases"], ids=lambda case: case["name"])
def test_derive_cases(case: dict[str, Any]) -> None:
    """Each of Derive's small portfolios has the margins that its tests print (v2-core, test-cases.json)."""
    contracts, held = [], {}
    for place, (seconds, strike, is_call, amount, vol) in enumerate(case["options"]):
        held[str(place)] = amount
        contracts.append(
            Contract(
                name=str(place),
                kind=Kind.OPTION,
                underlying="ETH",
                expiry_years=years(seconds=seconds),
                strike_usd=strike,
                is_call=is_call,
                forward_variable_usd=float(case["forward_usd"]),
                vol_annual=vol,
            )
        )
    initial, maintenance, _ = margin_of(ether(contracts), held)
    assert (initial, maintenance) == pytest.approx((float(case["im_usd"]), float(case["mm_usd"])), abs=1e-6)


CALL = ether([derive_option("C", 1500.0, is_call=True)])


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [(-1.0, (-304.371585, -191.871585, -79.371585)), (1.0, (0.0, 0.0, 79.371585))],
)
def test_one_call(quantity: float, expected: tuple[float, ...]) -> None:
    """A call sold at the money needs its value and 15 or 7.5 % of spot, one bought nothing (v2-core, Test1 and 2)."""
    assert margin_of(CALL, {"C": quantity}) == pytest.approx(expected, abs=2e-6)


def test_spread_is_bounded_by_its_largest_loss() -> None:
    """A call spread of 200 needs 200 however it is marked (v2-core, Test5: mark to market -187.0846)."""
    market = ether(
        [
            derive_option("K1100", 1100.0, is_call=True, vol=1.198874027186882048),
            derive_option("K1300", 1300.0, is_call=True, vol=1.08318941550987648),
        ]
    )
    assert margin_of(market, {"K1100": -1.0, "K1300": 1.0}) == pytest.approx((-200.0, -200.0, -187.0846), abs=5e-5)


def test_stable_coin_below_its_peg() -> None:
    """At a stable coin of .30 a short call needs 1,224 more to open and nothing to keep (v2-core, Test16)."""
    found = margin_of(CALL, {"C": -1.0}, stable=0.3)
    assert found == pytest.approx((-1528.3716, -191.8716, -79.3716), abs=5e-5)


PERPETUAL = Contract(name="P", kind=Kind.PERPETUAL, underlying="ETH", mark_price_usd=1505.0)


def test_perpetual_alone() -> None:
    """Entered at 1,535, worth 1,505, with 10 of funding: -117.825, -95.25 and -20 (v2-core, Test17)."""
    assert margin_of(ether([PERPETUAL]), {"P": 1.0}, -1535.0 + 10.0) == pytest.approx(
        (-117.825, -95.25, -20.0), abs=1e-6
    )


@pytest.mark.parametrize("confidence", [0.4, 0.399999])
def test_little_confidence_counts_below_its_threshold(confidence: float) -> None:
    """At the threshold a feed adds nothing, below it (1 - c) times the factor and spot, and only to open."""
    added = 0.0 if confidence == 0.4 else (1 - confidence) * 0.4 * 1500.0
    for quantity in (-2.0, 2.0):
        market = ether([PERPETUAL], confidence)
        initial, maintenance, _ = margin_of(market, {"P": quantity}, -quantity * 1505.0)
        assert initial == pytest.approx(-2 * (1505.0 * 0.065 + added), abs=1e-6)
        assert maintenance == pytest.approx(-2 * 1505.0 * 0.05, abs=1e-6)


def test_low_confidence_of_an_expiry_counts_for_its_short_options() -> None:
    """The least confidence of an expiry's feeds counts for what is sold in it, and for nothing bought."""
    low = derive_option("L", 1400.0, is_call=False)
    market = ether([derive_option("C", 1500.0, is_call=True), msgspec.structs.replace(low, confidence=0.1)])
    assert margin_of(market, {"C": -1.0})[0] == pytest.approx(-304.371585 - 0.9 * 0.4 * 1500.0, abs=2e-6)
    assert margin_of(market, {"C": 1.0})[0] == pytest.approx(0.0, abs=1e-9)


def test_base_asset_with_little_confidence() -> None:
    """One ether secures 150 at a factor of .1, and with a confidence of .15 needs 510 to open (v2-core, Test20)."""
    market = ether([Contract(name="E", kind=Kind.SPOT, underlying="ETH", mark_price_usd=1500.0)], 0.15)
    assert margin_of(market, {"E": 1.0}) == pytest.approx((-360.0, 150.0, 1500.0), abs=1e-6)


def sixty(confidence: float) -> tuple[Instruments, dict[str, float]]:
    """Return the book of sixty options, two perpetuals and two base assets, and its market."""
    contracts, held = [], {}
    for place, (underlying, seconds, strike, is_call, amount, vol) in enumerate(DATA["book"]["options"]):
        held[str(place)] = amount
        contracts.append(
            Contract(
                name=str(place),
                kind=Kind.OPTION,
                underlying=underlying,
                expiry_years=years(seconds=seconds),
                strike_usd=strike,
                is_call=is_call,
                forward_variable_usd=float(DATA["book"]["forwards_usd"][underlying][str(seconds)]),
                vol_annual=vol,
                confidence=confidence if (underlying, seconds) == ("BTC", 1_191_600) else 1.0,
            )
        )
    for name, spot, perpetual, amounts in (
        ("ETH", 1500.0, 1505.0, (23.0, 11.0)),
        ("BTC", 28e3, 27_990.0, (-42.0, 14.0)),
    ):
        held |= {f"{name}-PERP": amounts[0], name: amounts[1]}
        contracts.append(Contract(name=f"{name}-PERP", kind=Kind.PERPETUAL, underlying=name, mark_price_usd=perpetual))
        contracts.append(Contract(name=name, kind=Kind.SPOT, underlying=name, mark_price_usd=spot))
    market = Instruments.of(
        contracts, [Underlying(name="ETH", spot_usd=1500.0), Underlying(name="BTC", spot_usd=28_000.0)]
    )
    return market, held


ENTERED_USD = -23 * 1599.0 + 42 * 28_578.0
FUNDING_USD = 177_553.36


def test_sixty_options() -> None:
    """Sixty options with perpetuals and base assets, a feed at a confidence of .1 (v2-core, Test28)."""
    market, held = sixty(0.1)
    found = margin_of(market, held, ENTERED_USD + FUNDING_USD)
    assert found == pytest.approx((-345_644.0873, -236_807.7661, 1_076_242.6541), abs=1e-4)


def test_sixty_options_while_the_stable_coin_is_off_its_peg() -> None:
    """The same book with cash, a confidence of .12 and a stable coin of .69 (v2-core, Test27: HandIM and HandMM)."""
    market, held = sixty(0.12)
    found = margin_of(market, held, ENTERED_USD + FUNDING_USD + 10_000.0, stable=0.69)
    assert found[:2] == pytest.approx((-1_210_018.087250663, -226_807.766095858666), abs=1e-6)


def book_margin(books: list[dict[str, float]], cash: float, *, initial: bool) -> StandardMargin:
    """Return the margin of made-up accounts."""
    portfolio = Portfolio.of(LISTING, [(book, cash) for book in books])
    return standard_margin(LISTING, portfolio, LISTING_RULES, initial=initial)


@pytest.mark.slow
@given(BOOKS, st.floats(0.1, 10.0))
def test_twice_the_book_has_twice_the_margin(book: dict[str, float], times: float) -> None:
    """Without tiers the margin is homogeneous in the book."""
    scaled = {name: size * times for name, size in book.items()}
    for initial in (True, False):
        small, large = book_margin([book, scaled], 0.0, initial=initial).margin_usd
        assert large == pytest.approx(small * times, rel=1e-9, abs=1e-6)


@pytest.mark.slow
@given(BOOKS, st.floats(-1e6, 1e6))
def test_cash_adds_itself(book: dict[str, float], cash: float) -> None:
    """A dollar more of cash is a dollar more of margin."""
    before, after = (book_margin([book], amount, initial=False).margin_usd[0] for amount in (0.0, cash))
    assert after - before == pytest.approx(cash, abs=1e-6)


@pytest.mark.slow
@given(BOOKS)
def test_opening_asks_at_least_as_much_as_keeping(book: dict[str, float]) -> None:
    """The initial margin of no account is above its maintenance margin."""
    assert (
        book_margin([book], 0.0, initial=True).margin_usd <= book_margin([book], 0.0, initial=False).margin_usd + 1e-6
    )


@pytest.mark.slow
@given(BOOKS, BOOKS)
def test_accounts_do_not_mix(first: dict[str, float], second: dict[str, float]) -> None:
    """Many accounts at once have the margins that each has by itself."""
    together = book_margin([first, second], 3.0, initial=True).margin_usd
    apart = [book_margin([book], 3.0, initial=True).margin_usd[0] for book in (first, second)]
    assert together == pytest.approx(apart, rel=1e-12, abs=1e-6)


@pytest.mark.slow
@given(BOOKS, st.integers(0, len(LISTING) - 1), st.floats(0.01, 5.0))
def test_a_long_option_never_lowers_margin(book: dict[str, float], place: int, bought: float) -> None:
    """Buying an option, before it is paid for, leaves at least as much margin."""
    if LISTING.kind[place] != Kind.OPTION:
        return
    more = book | {LISTING.names[place]: book[LISTING.names[place]] + bought}
    before, after = book_margin([book, more], 0.0, initial=False).margin_usd
    assert after >= before - 1e-6


def test_what_the_form_does_not_know_is_refused() -> None:
    """A future, an inverse contract, a market without rules and a short base asset have no margin here."""
    future = Contract(
        name="F", kind=Kind.FUTURE, underlying="ETH", expiry_years=0.1, mark_price_usd=1.0, forward_variable_usd=1.0
    )
    with pytest.raises(RiskInputError, match="F: is not margined"):
        margin_of(ether([future]), {"F": 1.0})
    other = Instruments.of([], [Underlying(name="DOGE", spot_usd=1.0)])
    with pytest.raises(RiskInputError, match="DOGE: has no margin rules"):
        margin_of(other, {})
    base = ether([Contract(name="E", kind=Kind.SPOT, underlying="ETH", mark_price_usd=1500.0)])
    with pytest.raises(RiskInputError, match="less than nothing"):
        margin_of(base, {"E": -1.0})


def test_perpetual_ratios_of_the_main_network() -> None:
    """Ether and bitcoin keep 6.5 % and open at 10 %, the wildest keep 14.3 % and open at 20 % (Derive, mainnet)."""
    assert DERIVE_PERPETUALS["ETH"] == (0.065, 0.10)
    assert DERIVE_PERPETUALS["PEPE"] == (0.143, 0.20)
