"""Forms of a market's accounts: who can be liquidated, by a linear bound that changes with the account alone.

With ``p`` the oracle's price, ``l`` the market's loan to value, ``A`` and ``S`` what is owed and the shares of it, the
virtual ones included:

    collateral factor  ``p · l``      coefficient  ``collateral``
    debt factor        ``A / S``      coefficient  ``-shares``
    cash               ``1``          coefficient  ``-(terms + 1)``

All in smallest units of the loan token. The contract rounds a debt up by less than one, floors the value of collateral
(one, times ``l``, which is at most one) and what may be owed for it (one): three together, the cash of two terms. So a
positive sum proves that an account may not be liquidated; one without collateral, with less cash, has no positive sum.

An account whose products do not fit the contract's integers is unknown. They fit for everybody when they fit for all
collateral and all shares together; when not, or when a figure is missing, everyone is a suspect.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import numpy as np

from keeper.core.ids import Address
from keeper.core.units import UINT256_MAX
from keeper.margin.forms import Form
from keeper.venues.morpho_blue.market import Market
from keeper.venues.morpho_blue.math import ORACLE_PRICE_SCALE, VIRTUAL_ASSETS, VIRTUAL_SHARES, WAD
from keeper.venues.morpho_blue.state import State
from keeper.venues.screen import GREATEST_PRICE, LEAST_PRICE, Line, Screen, form_of, rows_of

EVERYONE = b""


class Factor(Enum):
    """What moves as one."""

    COLLATERAL = "collateral"
    DEBT = "debt"


class Suspects:
    """Finds the accounts of a market that are not proven healthy; compiles those again whose rows were written to."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._screen: Screen[Factor] = Screen()
        self._pledged = state.collateral.tally(lambda _, assets: (EVERYONE, assets))
        self._owed = state.borrow_shares.tally(lambda _, shares: (EVERYONE, shares))

    def at(self, market: Market) -> tuple[Address, ...]:
        """Return them at a market, sorted."""
        return self._found(market, Line.VENUE, 0.0)

    def near(self, market: Market, move: float) -> tuple[Address, ...]:
        """Return those that would not be proven healthy if the collateral fell by that share, sorted."""
        return self._found(market, Line.STRESS, move)

    def owed_within(self, market: Market, bounds: Sequence[float]) -> list[float]:
        """Return what accounts owe that are no further from the line than each bound, in loan tokens' base units."""
        prices = self._prices(market)
        return [0.0] * len(bounds) if prices is None else self._screen.owed_within(bounds, prices.get)

    def _found(self, market: Market, line: Line, move: float) -> tuple[Address, ...]:
        owing = self._state.borrow_shares.rows
        prices = self._prices(market)
        if prices is None:
            return tuple(sorted(map(Address, owing)))
        moved = {**prices, Factor.COLLATERAL: max(prices[Factor.COLLATERAL] * (1.0 - move), LEAST_PRICE)}
        shares, collateral = self._state.borrow_shares.touched(), self._state.collateral.touched()
        touched = None if shares is None or collateral is None else shares | collateral
        if touched is None or not self._screen.takes(len(touched), line):
            self._build(prices)
        else:
            self._screen.update({Address(each): self._form(each) for each in touched}, prices.get)
        return tuple(sorted(each for each in self._screen.found(line, moved.get) if each in owing))

    def _prices(self, market: Market) -> dict[Factor, float] | None:
        """Return the factors' prices, ``None`` where nobody can be screened."""
        params, totals = market.params, market.totals
        if market.doubt is not None or params is None:
            return None
        assets, shares = totals.borrow_assets + VIRTUAL_ASSETS, totals.borrow_shares + VIRTUAL_SHARES
        pledged = self._pledged.of(EVERYONE) * market.price
        owed = self._owed.of(EVERYONE) * assets + shares
        if max(pledged, pledged // ORACLE_PRICE_SCALE * params.lltv, owed) > UINT256_MAX:
            return None
        lent = market.price * min(params.lltv, WAD) / (ORACLE_PRICE_SCALE * WAD)
        prices = {Factor.COLLATERAL: max(lent, LEAST_PRICE), Factor.DEBT: assets / shares}
        return prices if max(prices.values()) <= GREATEST_PRICE else None

    def _form(self, account: bytes) -> Form | None:
        """Return the form of an account, ``None`` without debt."""
        shares, collateral = self._state.borrow_shares.get(account), self._state.collateral.get(account)
        if not shares:
            return None
        terms = [(self._screen.number(Factor.DEBT), -float(shares))]
        if collateral:
            terms.append((self._screen.number(Factor.COLLATERAL), float(collateral)))
        return form_of(terms)

    def _build(self, prices: dict[Factor, float]) -> None:
        """Compile everybody, a column at a time."""
        owing, pledged = self._state.borrow_shares.rows, self._state.collateral.rows
        count = len(owing)
        shares = np.fromiter(map(float, owing.values()), np.float64, count)
        collateral = np.fromiter((float(pledged.get(account, 0)) for account in owing), np.float64, count)
        secured = np.flatnonzero(collateral)
        table = rows_of(
            holders=np.concatenate([secured, np.arange(count)]),
            factors=np.concatenate([np.ones(len(secured), np.int64), np.full(count, 2)]),
            coefficients=np.concatenate([collateral[secured], -shares]),
            accounts=count,
        )
        self._screen.build([*map(Address, owing)], table, (Factor.COLLATERAL, Factor.DEBT), prices.get)
