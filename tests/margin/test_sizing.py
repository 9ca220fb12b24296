"""Sizing: the closed forms of the literature, and an exact search."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.units import BaseAmount, Bps, Wad
from keeper.margin.sizing import (
    PEAK_BITS,
    Slippage,
    largest_cover,
    leaves_bad_debt,
    most_profitable_cover,
    most_profitable_cover_base,
    profit_base,
    smallest_cover,
    target_cover_base,
    two_slices,
)

UNIT = 10**8


@pytest.mark.parametrize(
    ("debt", "health_percent", "target_percent", "bonus", "threshold", "expected"),
    [
        (10_000 * UNIT, 80, 125, 15_000, 5000, 9000 * UNIT),
        (10_000 * UNIT, 80, 100, 15_000, 5000, 8000 * UNIT),
        (10_000 * UNIT, 80, 100, 12_000, 5000, 5000 * UNIT),
    ],
)
def test_aave_v4_vectors(
    debt: int, health_percent: int, target_percent: int, bonus: int, threshold: int, expected: int
) -> None:
    """The closed form gives the figures of Aave v4's own tests for its target health factor."""
    health, target = Wad(health_percent * 10**16), Wad(target_percent * 10**16)
    assert target_cover_base(BaseAmount(debt), health, target, Bps(bonus), Bps(threshold)) == BaseAmount(expected)


def test_first_step_of_qin() -> None:
    """At target one the closed form is the first step of Qin et al.: 7,500 of 110,000."""
    debt = BaseAmount(110_000 * UNIT)
    health = Wad(136_000 * 8 * 10**17 // 110_000)
    cover = target_cover_base(debt, health, Wad(Wad.ONE), Bps(10_500), Bps(8000))
    assert cover is not None
    assert abs(int(cover) - 7500 * UNIT) <= 1


def test_target_out_of_reach() -> None:
    """Where each unit repaid takes at least the target in weighted collateral, no cover reaches the target."""
    assert target_cover_base(BaseAmount(UNIT), Wad(9 * 10**17), Wad(Wad.ONE), Bps(12_500), Bps(8000)) is None


def steps(threshold: int, plateau: int) -> list[int]:
    """Return a health that rises in plateaus."""
    return [cover // plateau * plateau - threshold for cover in range(401)]


@given(
    st.integers(0, 400),
    st.integers(1, 50),
    st.integers(0, 400),
    st.integers(-10, 1000),
    st.integers(-400, 400),
)
def test_brute_force(threshold: int, plateau: int, cover_max: int, guess: int, target: int) -> None:
    """The search finds what trying every cover finds, wherever it begins."""
    health = steps(threshold, plateau)
    expected = next((cover for cover in range(1, cover_max + 1) if health[cover] >= target), None)
    assert smallest_cover(health[: cover_max + 1].__getitem__, cover_max, target, guess) == expected


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=60), st.integers(0, 60))
def test_rounding_steps(noise: list[int], guess: int) -> None:
    """Where health is not monotone the answer still reaches the target and the next smaller cover does not."""
    health = [5 * cover + step for cover, step in enumerate(noise)]
    target = max(health) // 2
    cover = smallest_cover(health.__getitem__, len(health) - 1, target, guess)
    expected = None if health[-1] < target else True
    assert (
        None if cover is None else health[cover] >= target and (cover == 1 or health[cover - 1] < target)
    ) == expected


def test_no_debt_left_is_enough() -> None:
    """A cover that leaves no debt reaches every target."""
    assert smallest_cover(lambda cover: None if cover >= 7 else 0, 10, 10**30, 3) == 7


def test_good_guess_is_cheap() -> None:
    """With the closed form's precision the search of a 256-bit amount takes few evaluations."""
    calls: list[int] = []
    answer = 123_456_789 * 10**18

    def health_after(cover: int) -> int:
        calls.append(cover)
        return cover - answer

    found = smallest_cover(health_after, 10**30, 0, answer + answer // 10**9)
    assert (found, len(calls) < 120) == (answer, True)


def test_huge_amounts() -> None:
    """A useless guess still ends, in twice the number of bits."""
    assert smallest_cover(lambda cover: cover, 2**256, 2**255 + 1, 1) == 2**255 + 1


def test_never_beyond_the_limit() -> None:
    """The search asks for no cover above the largest allowed, however close the answer is to it."""
    health = list(range(101))
    assert smallest_cover(health.__getitem__, 100, 99, 50) == 99


def test_two_slices_of_qin() -> None:
    """Qin et al.: 7,500 and then 51,250 earn 2,937.5 where one slice earns 2,750, which is 6.8182 % more."""
    debt, half = BaseAmount(110_000 * UNIT), BaseAmount(55_000 * UNIT)
    bonus, free = Bps(10_500), Slippage(Bps(0))
    found = two_slices(debt, Wad(136_000 * 8 * 10**17 // 110_000), bonus, Bps(8000), debt, half)
    assert found is not None
    both = sum(int(profit_base(each, bonus, free, BaseAmount(0))) for each in found)
    once = int(profit_base(half, bonus, free, BaseAmount(0)))
    assert [abs(int(found[0]) - 7500 * UNIT) <= 2, abs(int(found[1]) - 51_250 * UNIT) <= 2] == [True, True]
    assert (once, abs(both - 293_750_000_000) <= 2) == (2750 * UNIT, True)
    assert round(10**6 * (both - once) / once) == 68_182


def test_one_slice_where_the_close_factor_lets_all() -> None:
    """Where one call may cover everything, or no cover makes the account safe, there is no first of two slices."""
    debt = BaseAmount(110_000 * UNIT)
    assert two_slices(debt, Wad(98 * 10**16), Bps(10_500), Bps(8000), debt, debt) is None
    assert two_slices(debt, Wad(98 * 10**16), Bps(12_500), Bps(8000), debt, BaseAmount(UNIT)) is None


@pytest.mark.parametrize(("debt", "expected"), [(95_238, False), (95_239, True)])
def test_frontier_of_toxic_spirals(debt: int, expected: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """At a bonus of 5 % debt is left behind above 0.952381 of the collateral."""
    assert leaves_bad_debt(BaseAmount(100_000), BaseAmount(debt), Bps(10_500)) is expected


def test_peak_by_formula() -> None:
    """With 100 bps more for each million, half a percent at once and a bonus of 5 %, 2.0295 million earn most."""
    found = most_profitable_cover_base(Bps(10_500), Slippage(Bps(50), Bps(100)))
    assert found == BaseAmount(202_947_845_804_988)


def test_peak_by_formula_at_the_ends() -> None:
    """Without an impact there is no peak, and where selling costs more than the bonus brings it is at nothing."""
    assert most_profitable_cover_base(Bps(10_500), Slippage(Bps(50))) is None
    assert most_profitable_cover_base(Bps(10_500), Slippage(Bps(500), Bps(1))) == BaseAmount(0)


@given(st.lists(st.none() | st.integers(-9, 9), min_size=1, max_size=60))
def test_peak_of_few(profits: list[int | None]) -> None:
    """Where covers are few the answer is the best of all, the smallest of equals, whatever the profits are."""
    accepted = [each for each in profits if each is not None]
    expected = profits.index(max(accepted)) + 1 if accepted else None
    assert most_profitable_cover(lambda cover: profits[cover - 1], len(profits)) == expected


@given(st.integers(100, 10**30), st.integers(0, 10**30))
def test_peak_of_many(cover_max: int, peak: int) -> None:
    """The peak of a profit that rises and falls is found to the stated share of the largest cover."""
    found = most_profitable_cover(lambda cover: -abs(cover - peak), cover_max)
    assert found is not None
    assert abs(found - max(1, min(peak, cover_max))) <= max(1, cover_max >> PEAK_BITS)


@given(st.integers(100, 3000), st.integers(0, 3000), st.integers(0, 10**4), st.randoms(use_true_random=False))
def test_peak_under_rounding(cover_max: int, peak: int, error: int, chance: Random) -> None:
    """Where rounding moves a profit by an error either way, nothing earns more than ten errors above the answer."""
    profits = [chance.randint(-error, error) - (cover - peak) ** 2 for cover in range(cover_max + 1)]
    found = most_profitable_cover(profits.__getitem__, cover_max)
    assert found is not None
    assert profits[found] >= max(profits[1:]) - 10 * error


@given(st.integers(1, 10**30), st.integers(1, 10**30))
def test_largest_cover(cover_max: int, end: int) -> None:
    """Where the contract refuses all from some cover on, the one before it is found."""
    expected = min(cover_max, end - 1) or None
    assert largest_cover(lambda cover: cover < end, cover_max) == expected
