"""A portfolio margin's rows say of every account what its margin says."""

from __future__ import annotations

import numpy as np
import pytest

from keeper.margin.distance import DistanceIndex
from keeper.margin.forms import compiled
from keeper.risk.grouping import GroupedBook
from keeper.risk.inputs import Floats
from keeper.risk.instruments import Instruments, Portfolio
from keeper.risk.portfolio import derive_margins
from keeper.risk.scenario_forms import ScenarioForms, scenario_forms, scenario_prices
from keeper.risk.scenarios import DERIVE_MAINNET
from tests.risk.markets import book, listing, moved


def near_the_line(seed: int, accounts: int = 60) -> tuple[Instruments, Portfolio, Floats]:
    """Return a market, and accounts with cash of which half are a little below maintenance and half above."""
    chance = np.random.default_rng(seed)
    instruments = listing(chance, 30)
    portfolio = book(chance, instruments, accounts, 7)
    short = derive_margins(instruments, GroupedBook.of(instruments, portfolio), DERIVE_MAINNET).maintenance_usd
    side = np.where(np.arange(accounts) % 2, 1.0, -1.0)
    placed = Portfolio(
        portfolio.quantities, portfolio.cash_usd - short + side * 10.0 ** chance.uniform(-3, 4, accounts)
    )
    margins = derive_margins(instruments, GroupedBook.of(instruments, placed), DERIVE_MAINNET).maintenance_usd
    return instruments, placed, margins


def least(forms: ScenarioForms, prices: Floats, accounts: int) -> Floats:
    """Return each account's least row."""
    rows = compiled(forms.rows)
    found = np.full(accounts, np.inf)
    np.minimum.at(found, [forms.account(each) for each in rows.ids.tolist()], rows.margins(prices))
    return found


def test_an_accounts_least_row_is_its_margin() -> None:
    """At the prices the rows were made at, to the band of float64."""
    instruments, portfolio, margins = near_the_line(31)
    forms = scenario_forms(instruments, GroupedBook.of(instruments, portfolio), DERIVE_MAINNET)

    found = least(forms, scenario_prices(instruments, DERIVE_MAINNET), len(portfolio))

    assert found == pytest.approx(margins, abs=1e-5)


def test_the_distance_index_finds_exactly_those_below_maintenance() -> None:
    """Who is safe in every row is safe in the margin, and who is below it has a row that says so."""
    instruments, portfolio, margins = near_the_line(37)
    forms = scenario_forms(instruments, GroupedBook.of(instruments, portfolio), DERIVE_MAINNET)
    prices = scenario_prices(instruments, DERIVE_MAINNET)

    found = DistanceIndex(compiled(forms.rows), prices).tick(prices)

    assert {forms.account(row) for row in found.tolist()} == set(np.flatnonzero(margins <= 0).tolist())
    assert 0 < len(np.flatnonzero(margins <= 0)) < len(portfolio)


def test_rows_stay_exact_while_no_total_changes_its_sign() -> None:
    """Short options and a perpetual on one underlying, after a move of 3 %: the least row is the new margin."""
    instruments = listing(np.random.default_rng(43), 30)
    shorts = {name: -1.0 for name in instruments.names if name.startswith("ETH-") and name != "ETH-PERP"}
    portfolio = Portfolio.of(instruments, [({**shorts, "ETH-PERP": 3.0}, 20_000.0)])
    held = GroupedBook.of(instruments, portfolio)
    forms = scenario_forms(instruments, held, DERIVE_MAINNET)
    later = moved(instruments, np.array([0.0, 0.03]), 0.01, 0.0)

    found = least(forms, scenario_prices(later, DERIVE_MAINNET), 1)

    assert found == pytest.approx(derive_margins(later, held, DERIVE_MAINNET).maintenance_usd, rel=1e-9)


def test_rows_of_one_account_have_ids_of_their_own() -> None:
    """Each id names a row, and an account is found by it; who holds nothing has none."""
    instruments = listing(np.random.default_rng(47), 8)
    portfolio = Portfolio.of(instruments, [({}, 5.0), ({"BTC-PERP": 1.0, "ETH": 2.0}, 0.0), ({"ETH": 1.0}, 1.0)])
    forms = scenario_forms(instruments, GroupedBook.of(instruments, portfolio), DERIVE_MAINNET)

    ids = [row_id for row_id, _ in forms.rows]
    assert len(set(ids)) == len(ids) == 3 * (len(DERIVE_MAINNET.scenarios) + 1)
    assert sorted({forms.account(row_id) for row_id in ids}) == [1, 2]
