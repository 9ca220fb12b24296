"""The published oracles' rules, at their own boundaries."""

from __future__ import annotations

import pytest

from keeper.core.errors import RiskInputError
from keeper.core.units import BigInt
from keeper.risk.oracle_rules import (
    DERIVE_HEARTBEATS_SECONDS,
    DERIVE_PERP_DIFF_MAX_PPM,
    SignedPrice,
    liquity_deviates,
    liquity_frozen,
    liquity_similar,
    median_signed,
)

SIGNERS = ("s0", "s1", "s2", "s3", "s4")


def signed(*prices: int, at_seconds: int = 11) -> list[SignedPrice]:
    """Return one price of each signer in turn."""
    return [
        SignedPrice(signer=signer, price=BigInt(price), signed_at_seconds=at_seconds)
        for signer, price in zip(SIGNERS, prices, strict=False)
    ]


@pytest.mark.parametrize(("prices", "median"), [((7,), 7), ((1, 5, 9), 5), ((1, 1, 2, 9, 9), 2)])
def test_the_median_of_signed_prices_is_the_one_in_the_middle(prices: tuple[int, ...], median: int) -> None:
    """Maker's ``Median.poke`` takes ``v[n >> 1]``; equal prices are in order."""
    assert median_signed(signed(*prices), bar=len(prices), last_age_seconds=10, signers=SIGNERS) == median


@pytest.mark.parametrize(
    ("prices", "bar", "message"),
    [
        (signed(1, 5), 3, "prices: are 2; give exactly 3"),
        (signed(1, 5, 9, 10, 11), 3, "prices: are 5; give exactly 3"),
        (signed(1, 9, 5), 3, "prices: are out of order at s2"),
        (signed(1, 5, 9, at_seconds=10), 3, "give one later than 10"),
        ([*signed(1, 5), *signed(9)], 3, "signer: s0 has signed already"),
        ([*signed(1, 5), SignedPrice(signer="x", price=BigInt(9), signed_at_seconds=11)], 3, "x is no oracle"),
        (signed(1, 5), 2, "give an odd number"),
    ],
)
def test_what_makes_the_median_revert_is_refused(prices: list[SignedPrice], bar: int, message: str) -> None:
    """Maker's ``Median`` asks for exactly ``bar`` ascending prices of different oracles, newer than its last."""
    with pytest.raises(RiskInputError, match=message):
        median_signed(prices, bar=bar, last_age_seconds=10, signers=SIGNERS)


def test_liquity_freezes_after_four_hours() -> None:
    """Liquity v1's ``TIMEOUT`` is 14,400 s: an answer exactly that old still counts."""
    assert not liquity_frozen(0, 14_400)
    assert liquity_frozen(0, 14_401)


@pytest.mark.parametrize(("price", "deviates"), [(200, False), (201, True), (50, False), (49.9, True), (100, False)])
def test_liquity_accepts_a_change_of_half_of_the_larger_price(price: float, deviates: bool) -> None:  # noqa: FBT001 - a row's outcome
    """From 100, Liquity v1 accepts 200 (50 %) and rejects 201 (50.25 %) and 49.9: the denominator is the larger."""
    assert liquity_deviates(round(price * 10**18), 100 * 10**18) is deviates


def test_liquity_takes_two_oracles_within_five_per_cent_as_similar() -> None:
    """Liquity v1: 100 and 105 are similar, 100 and 105.01 are not, whichever comes first."""
    assert liquity_similar(10_000, 10_500)
    assert liquity_similar(10_500, 10_000)
    assert not liquity_similar(10_000, 10_501)


def test_liquity_needs_prices_that_are_positive() -> None:
    """A price of zero deviates from nothing by any share."""
    with pytest.raises(RiskInputError, match="price"):
        liquity_deviates(0, 1)
    with pytest.raises(RiskInputError, match="price"):
        liquity_similar(1, -1)


def test_derive_has_a_heartbeat_for_each_feed() -> None:
    """Derive v2: spot 3 minutes, perpetual 15, volatility and impact 20, forward and stable 60; 6 % for a perpetual."""
    minutes = {feed: seconds / 60 for feed, seconds in DERIVE_HEARTBEATS_SECONDS.items()}

    assert minutes == {"spot": 3, "perp": 15, "vol": 20, "impact": 20, "forward": 60, "stable": 60}
    assert DERIVE_PERP_DIFF_MAX_PPM == 60_000
