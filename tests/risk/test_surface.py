"""A surface gives back what was quoted, is as others interpolate it between, and refuses what it cannot know."""

from __future__ import annotations

import math

import numpy as np
import pytest
import QuantLib
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.errors import RiskInputError
from keeper.risk.surface import VolSurface

EXPIRIES = [30 / 365, 90 / 365, 1.0]
FORWARDS = [100.0, 102.0, 110.0]
STRIKES = [[80.0, 100.0, 120.0], [70.0, 102.0, 150.0], [60.0, 110.0, 200.0]]
VOLS = [[0.9, 0.8, 0.85], [0.85, 0.75, 0.8], [0.8, 0.7, 0.75]]


def surface(**changed: object) -> VolSurface:
    """Return the surface of the quotes above, some of them changed."""
    quotes = {"expiries_years": EXPIRIES, "forwards": FORWARDS, "strikes": STRIKES, "vols": VOLS} | changed
    return VolSurface(**quotes)  # type: ignore[arg-type] # each is of its own type


@pytest.mark.slow
@given(st.lists(st.floats(0.3, 1.5), min_size=6, max_size=6), st.floats(0.5, 2))
def test_nodes_are_given_back(vols: list[float], scale: float) -> None:
    """Whatever was quoted is answered, to rounding."""
    near, far = np.array(vols[:3]), np.array(vols[3:])
    strikes = [np.array([80.0, 100.0, 120.0]) * scale] * 2
    made = VolSurface([0.01, 1.0], [100 * scale] * 2, strikes, [near, far])

    assert made.vol(0.01, strikes[0]) == pytest.approx(near, rel=1e-9)
    assert made.vol(1.0, strikes[1]) == pytest.approx(far, rel=1e-9)
    assert made.vol([[0.01], [1.0]], strikes[0]) == pytest.approx(np.array([near, far]), rel=1e-9)


def test_every_quote_of_an_uneven_surface_is_given_back() -> None:
    """Each expiry has strikes and a forward of its own."""
    for expiry, forward, strikes, vols in zip(EXPIRIES, FORWARDS, STRIKES, VOLS, strict=True):
        assert surface().vol(expiry, strikes) == pytest.approx(vols, rel=1e-9)
        assert surface().forward(expiry) == pytest.approx(forward, rel=1e-9)


def test_variance_is_linear_in_log_moneyness() -> None:
    """Half way between two quotes in log-moneyness the variance is their mean."""
    middle = math.sqrt(80 * 100)

    assert surface().vol(EXPIRIES[0], middle) == pytest.approx(math.sqrt((0.81 + 0.64) / 2), rel=1e-9)


def test_total_variance_is_linear_in_time_as_quantlib_has_it() -> None:
    """At the money, between expiries, volatility is that of QuantLib's Black variance curve."""
    today = QuantLib.Date(1, 1, 2026)
    curve = QuantLib.BlackVarianceCurve(
        today, [today + 30, today + 90, today + 365], [0.8, 0.75, 0.7], QuantLib.Actual365Fixed()
    )

    for days in (30, 31, 60, 90, 200, 364, 365):
        assert surface().atm_vol(days * 86_400) == pytest.approx(curve.blackVol(days / 365, 1.0), rel=1e-9)


def test_between_expiries_the_same_log_moneyness_is_asked_of_both() -> None:
    """The forward is log-linear in time, and a strike is taken relative to it."""
    expiry = (EXPIRIES[0] + EXPIRIES[1]) / 2
    forward = math.sqrt(100 * 102)
    strike = forward * 0.9
    near = np.interp(math.log(0.9), [math.log(0.8), 0, math.log(1.2)], [0.81, 0.64, 0.7225])
    far = np.interp(math.log(0.9), [math.log(70 / 102), 0, math.log(150 / 102)], [0.7225, 0.5625, 0.64])
    total = (near * EXPIRIES[0] + far * EXPIRIES[1]) / 2

    assert surface().forward(expiry) == pytest.approx(forward, rel=1e-9)
    assert surface().vol(expiry, strike) == pytest.approx(math.sqrt(total / expiry), rel=1e-9)


def test_it_is_flat_up_to_its_margins_and_silent_beyond() -> None:
    """A tenth beyond the quotes in log-moneyness, and seven days beyond the expiries, are answered; more is not."""
    made = surface()

    assert made.vol(EXPIRIES[0], 80 * math.exp(-0.0999)) == pytest.approx(0.9)
    assert made.vol(1 + 6.9 / 365, 110) == pytest.approx(0.7)
    assert made.atm_vol([23.1 * 86_400]) == pytest.approx([0.8])
    with pytest.raises(RiskInputError, match=r"log_moneyness: is -0\.32"):
        made.vol(EXPIRIES[0], 80 * math.exp(-0.101))
    with pytest.raises(RiskInputError, match="expiry_years"):
        made.vol(1 + 7.1 / 365, 110)
    with pytest.raises(RiskInputError, match="expiry_years"):
        made.atm_vol(22 * 86_400)
    assert surface(expiry_margin_years=1.0).atm_vol(3600) == pytest.approx(0.8)


def test_a_smile_of_which_only_the_far_expiry_quotes_a_strike_is_not_stretched() -> None:
    """Between expiries both have to answer."""
    with pytest.raises(RiskInputError, match="log_moneyness"):
        surface().vol(0.15, 70)


@pytest.mark.slow
@given(st.floats(30 / 365, 1), st.floats(30 / 365, 1), st.floats(-0.2, 0.2))
def test_total_variance_never_falls_with_time(one: float, other: float, moneyness: float) -> None:
    """No calendar spread is free anywhere on a surface that was accepted."""
    made = surface()
    times = np.array(sorted((one, other)))
    totals = made.vol(times, made.forward(times) * math.exp(moneyness)) ** 2 * times

    assert totals[0] <= totals[1] * (1 + 1e-9)


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"vols": [[0.9, math.nan, 0.85], *VOLS[1:]]}, r"vols\[0\]\[1\]: is nan"),
        ({"vols": [VOLS[0], [0.85, -0.75, 0.8], VOLS[2]]}, r"vols\[1\]\[1\]: is -0.75"),
        ({"vols": [[0.9, 0.8], *VOLS[1:]]}, r"vols\[0\]: has shape"),
        ({"vols": VOLS[:2]}, "3 rows of strikes and 2 of vols"),
        ({"strikes": [[80.0, math.nan, 120.0], *STRIKES[1:]]}, r"strikes\[0\]\[1\]: is nan"),
        ({"strikes": [[80.0, 80.0, 120.0], *STRIKES[1:]]}, r"strikes\[0\]\[1\]: is 80, not above"),
        ({"strikes": [[80.0], *STRIKES[1:]], "vols": [[0.9], *VOLS[1:]]}, r"strikes\[0\]: has 1 values"),
        ({"expiries_years": [0.1, 0.1, 1.0]}, r"expiries_years\[1\]"),
        ({"expiries_years": [0.0, 0.1, 1.0]}, r"expiries_years\[0\]: is 0"),
        ({"forwards": [100.0, 0.0, 110.0]}, r"forwards\[1\]: is 0"),
        ({"vols": [[0.9, 1.5, 0.85], *VOLS[1:]]}, r"vols\[1\]: let total variance fall .* at log-moneyness 0;"),
    ],
)
def test_a_surface_with_a_hole_or_free_money_is_refused(changed: dict[str, object], complaint: str) -> None:
    """Missing, negative and disordered quotes, and total variance that falls with time, are named."""
    with pytest.raises(RiskInputError, match=complaint):
        surface(**changed)


def test_total_variance_may_fall_by_what_rounding_of_quotes_explains() -> None:
    """A fall by a few thousandths is a matter of quotes' decimals; one per cent is not, nor is any without slack."""

    def two(far: float, **slack: float) -> VolSurface:
        return VolSurface([0.1, 0.2], [100, 100], [[90, 110]] * 2, [[0.8, 0.8], [far, far]], **slack)

    level = 0.8 * math.sqrt(0.5)

    assert two(level * 0.998).atm_vol(0.15 * 31_536_000) == pytest.approx(0.8 * math.sqrt(2 / 3), rel=2e-3)
    assert two(level, calendar_slack=0).vol(0.2, 100) == pytest.approx(level, rel=1e-9)
    with pytest.raises(RiskInputError, match=r"vols\[1\]: let total variance fall"):
        two(level * 0.995)
    with pytest.raises(RiskInputError, match="total variance fall"):
        two(level * 0.9999, calendar_slack=0)


def test_what_is_asked_is_checked() -> None:
    """No volatility belongs to a strike of nothing, to no time, or to shapes that do not fit."""
    with pytest.raises(RiskInputError, match="strike"):
        surface().vol(0.5, -1)
    with pytest.raises(RiskInputError, match="expiry_years"):
        surface().vol(0, 100)
    with pytest.raises(RiskInputError, match="strike: has shape"):
        surface().vol([0.5, 0.6], [100.0, 101.0, 102.0])
