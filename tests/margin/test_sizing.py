"""Sizing: the closed forms of the literature, and an exact search."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.units import BaseAmount, Bps, Wad
from keeper.margin.sizing import smallest_cover, target_cover_base

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
