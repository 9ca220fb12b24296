"""The screen stays in order while a venue grows an account at a time."""

from __future__ import annotations

from itertools import pairwise

from keeper.core.ids import Address
from keeper.margin.forms import compiled
from keeper.venues.screen import ANEW_MIN, Line, Screen, form_of

ACCOUNTS = 1_000
PRICES = {"collateral": 2.0, "debt": 1.0}


def _price(factor: str) -> float:
    return PRICES[factor]


def _account(number: int) -> Address:
    return Address(number.to_bytes(20, "big"))


def _form(number: int) -> tuple[float, float]:
    """Return collateral and debt; every third account is below its line."""
    return 1e6, 3e6 if number % 3 == 0 else 1e6


def test_a_venue_that_grows_one_by_one_is_put_in_order_again() -> None:
    """It is built anew whenever it has doubled, so a few times in all, and always finds who is below the line."""
    screen: Screen[str] = Screen()
    builds = []
    for number in range(ACCOUNTS):
        if screen.takes(1, Line.VENUE):
            secured, owed = _form(number)
            terms = ((screen.number("collateral"), secured), (screen.number("debt"), -owed))
            screen.update({_account(number): form_of(terms)}, _price)
        else:
            builds.append(number)
            everyone = range(number + 1)
            forms = [(each, form_of(((1, _form(each)[0]), (2, -_form(each)[1])))) for each in everyone]
            screen.build([*map(_account, everyone)], compiled(forms), ("collateral", "debt"), _price)

    assert builds[:2] == [0, ANEW_MIN + 1]
    assert all(later >= 2 * earlier for earlier, later in pairwise(builds))
    assert len(builds) == 5
    expected = {_account(number) for number in range(0, ACCOUNTS, 3)}
    assert set(screen.found(Line.VENUE, _price)) == expected
