"""Forms of Aave's accounts: who can be below a health of one, by a linear bound that changes with the account alone.

A form is made of the account's own rows (scaled balances, bits, efficiency mode) and of nothing else. Prices, interest
and governance are in the effective prices of its factors, one for each reserve, side and mode. With ``p`` the price
that counts in the mode, ``u`` the token's unit, ``I`` the index and ``t`` the threshold that counts there, over 10000:

    collateral factor  ``p · I / u · t``        coefficient  ``scaled - 1``
    debt factor        ``p · I / u``            coefficient  ``-(scaled + 1)``
    cash               ``1``                    coefficient  ``-(terms + 1)``

The sum is never above what the contract compares, collateral by threshold less debt, so a positive one proves health:

* A balance is ``scaled · I`` rounded, to either side by less than one smallest unit; as ``I >= 1``, one scaled unit
  more or less is worth at least that.
* A base value is floored, or a debt's in v3.6 rounded up: each less than one base unit, and a threshold is at most one.
  That is ``terms`` of cash. The one more is for the rounding of collateral by threshold in v3.0, at most a half.
* v3.0 floors the average threshold to a whole basis point. It loses less than one of the whole collateral, which is one
  of each: so there ``t`` is one basis point less. Its average counts what has a threshold only; what a mode gives none,
  where the reserve has one, is not screened. v3.6 sums by threshold and floors no average.
* A threshold of nothing is :data:`keeper.venues.screen.LEAST_PRICE`: with any balance that fits the contract's words
  far below the half that cash has to spare.
* float64 errs by less than :data:`keeper.margin.forms.FLOAT_BAND`, which is taken off the coefficients of collateral.

Not screened, but always suspects: who owes at a rate of their own, and who holds a reserve, or is in a mode, of which a
figure is missing, as the contract's view of them is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec
import numpy as np

from keeper.core.ids import ADDRESS_LENGTH, Address
from keeper.core.risk import MoveOf
from keeper.margin.forms import Form
from keeper.venues.aave_v3.market import NO_CATEGORY, CategoryNow, Market, ReserveNow, Unknown
from keeper.venues.aave_v3.math import PERCENT, RAY
from keeper.venues.aave_v3.state import BORROWING_BITS, State
from keeper.venues.screen import GREATEST_PRICE, LEAST_PRICE, Line, Screen, form_of, rows_of

DEBT, COLLATERAL = 0, 1
_BITMAP_BYTES = 32


class Factor(msgspec.Struct, frozen=True):
    """What moves as one: a reserve (by its place), as debt or collateral, for accounts in a mode."""

    mode: int
    index: int
    side: int


def _threshold_of(market: Market, factor: Factor) -> int | None:
    """Return the threshold that a collateral factor counts with."""
    reserve = market.reserves[factor.index]
    mode = market.categories.get(factor.mode, NO_CATEGORY) if factor.mode else NO_CATEGORY
    return _threshold(market, reserve, mode, member=bool(mode.members >> reserve.index & 1))


def effective_price(market: Market, factor: Factor) -> float | None:
    """Return the price of a factor, ``None`` where it cannot be screened by."""
    reserve = market.reserves.get(factor.index)
    if reserve is None or reserve.doubt is not None:
        return None
    mode = market.categories.get(factor.mode, NO_CATEGORY) if factor.mode else NO_CATEGORY
    member = bool(mode.members >> reserve.index & 1)
    price = mode.price if member and not market.rules.member_lists and mode.price else reserve.price
    index = reserve.income if factor.side == COLLATERAL else reserve.debt_index
    threshold = _threshold(market, reserve, mode, member=member) if factor.side == COLLATERAL else PERCENT
    if isinstance(price, Unknown) or index < RAY or threshold is None:
        return None
    value = price * index * threshold
    weight = RAY * PERCENT * reserve.unit
    if value > int(GREATEST_PRICE) * weight:
        return None
    return max(value / weight, LEAST_PRICE)


def _threshold(market: Market, reserve: ReserveNow, mode: CategoryNow, *, member: bool) -> int | None:
    """Return the threshold that counts, at most one; ``None`` where it lowers the average of what else there is."""
    threshold = min((mode if member else reserve).threshold, PERCENT)
    if market.rules.member_lists:
        return threshold
    if not reserve.threshold:
        return 0
    return threshold - 1 if threshold else None


class Suspects:
    """Finds the accounts of a market that are not proven healthy.

    It is told by the tables which rows changed, and compiles those accounts again when it is asked; everything when it
    is asked first, after a load, when reserves were listed or dropped, and when many changed at once.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._screen: Screen[Factor] = Screen()
        self._places: dict[bytes, int] = {}

    def at(self, market: Market) -> tuple[Address, ...]:
        """Return them at a market, sorted."""
        return self._found(market, Line.VENUE, lambda factor: effective_price(market, factor))

    def near(self, market: Market, move_of: MoveOf) -> tuple[Address, ...]:
        """Return those that would not be proven healthy if every price moved to their hurt, sorted.

        Collateral falls by its asset's move and debts rise by theirs, factor by factor: where an account has an asset
        on both sides that is more than can happen. What collateral loses is reckoned by the whole threshold, also where
        a basis point of it was taken off.
        """
        taken_off = 0 if market.rules.member_lists else 1

        def price_of(factor: Factor) -> float | None:
            price, reserve = effective_price(market, factor), market.reserves.get(factor.index)
            if price is None or reserve is None:
                return None
            move = move_of(reserve.asset)
            if factor.side == DEBT:
                return price * (1.0 + move)
            counted = _threshold_of(market, factor) or 1
            return max(price * (1.0 - move * (counted + taken_off) / counted), LEAST_PRICE)

        return self._found(market, Line.STRESS, price_of)

    def owed_within(self, market: Market, bounds: Sequence[float]) -> list[float]:
        """Return what accounts owe that are no further from the line than each bound, base units."""
        return self._screen.owed_within(bounds, lambda factor: effective_price(market, factor))

    def _found(self, market: Market, line: Line, price_of: Callable[[Factor], float | None]) -> tuple[Address, ...]:
        owing = self._state.bitmaps.rows
        if market.doubt is not None:
            return tuple(sorted(Address(each) for each, bits in owing.items() if bits & BORROWING_BITS))
        places = _places(market)
        touched = self._touched()
        if touched is None or places != self._places or not self._screen.takes(len(touched), line):
            self._places = places
            self._build(market)
        elif touched:
            forms = {Address(each): self._form(each, market) for each in touched}
            self._screen.update(forms, lambda factor: effective_price(market, factor))
        found = {*self._screen.found(line, price_of), *self._unscreened(market)}
        return tuple(sorted(each for each in found if owing.get(each, 0) & BORROWING_BITS))

    def _touched(self) -> set[bytes] | None:
        """Return the accounts whose rows changed since this was last asked, ``None`` for all."""
        state = self._state
        bits, modes, scaled = state.bitmaps.touched(), state.modes.touched(), state.scaled.touched()
        if bits is None or modes is None or scaled is None:
            return None
        return bits | modes | {key[ADDRESS_LENGTH:] for key in scaled}

    def _unscreened(self, market: Market) -> Iterator[Address]:
        """Yield who is not to be screened; goes through all accounts while a figure is missing, and not otherwise."""
        if market.rules.stable_debt:
            for key in self._state.stable.rows:
                yield Address(key[ADDRESS_LENGTH:])
        mask = sum(3 << 2 * index for index, reserve in market.reserves.items() if _is_unclear(market, reserve))
        modes = {number for number, mode in market.categories.items() if isinstance(mode.price, Unknown)}
        if mask or modes:
            mode_of = self._state.modes.rows
            for account, bits in self._state.bitmaps.rows.items():
                if bits & mask or (modes and mode_of.get(account, 0) in modes):
                    yield Address(account)

    def _form(self, account: bytes, market: Market) -> Form | None:
        """Return the form of an account, ``None`` without debt."""
        state = self._state
        bits, mode = state.bitmaps.get(account) or 0, state.modes.get(account) or 0
        if not bits & BORROWING_BITS:
            return None
        scaled = state.scaled.rows
        terms: list[tuple[int, float]] = []
        for index, reserve in market.reserves.items():
            if bits >> 2 * index & 1 and (owed := scaled.get(reserve.variable_token + account, 0)):
                terms.append((self._screen.number(Factor(mode, index, DEBT)), -float(owed + 1)))
            if bits >> 2 * index & 2 and (held := scaled.get(reserve.a_token + account, 0)) > 1:
                terms.append((self._screen.number(Factor(mode, index, COLLATERAL)), float(held - 1)))
        return form_of(terms)

    def _build(self, market: Market) -> None:
        """Compile everybody, a column at a time."""
        state, places = self._state, self._places
        rows = [(account, bits) for account, bits in state.bitmaps.rows.items() if bits & BORROWING_BITS]
        accounts = [Address(account) for account, _ in rows]
        ids: dict[bytes, int] = {account: number for number, account in enumerate(accounts)}
        bitmaps = np.frombuffer(b"".join(bits.to_bytes(_BITMAP_BYTES, "little") for _, bits in rows), np.uint8)
        modes = np.array([state.modes.rows.get(account, 0) for account in accounts], np.int64)
        keys, count = state.scaled.rows, len(state.scaled.rows)
        holders = np.fromiter((ids.get(key[ADDRESS_LENGTH:], -1) for key in keys), np.int64, count)
        sides = np.fromiter((places.get(key[:ADDRESS_LENGTH], -1) for key in keys), np.int64, count)
        balances = np.fromiter(map(float, keys.values()), np.float64, count)
        kept = np.flatnonzero((holders >= 0) & (sides >= 0) & ((sides & 1 == DEBT) | (balances > 1)))
        holders, sides, balances = holders[kept], sides[kept], balances[kept]
        marked = bitmaps.reshape(-1, _BITMAP_BYTES)[holders, sides >> 3] >> (sides & 7) & 1 == 1
        holders, sides, balances = holders[marked], sides[marked], balances[marked]
        coefficients = np.where(sides & 1 == DEBT, -(balances + 1), balances - 1)
        packed, numbers = np.unique(modes[holders] << 8 | sides, return_inverse=True)
        factors = [Factor(each >> 8, (each & 255) >> 1, each & 1) for each in packed.tolist()]
        table = rows_of(holders, numbers + 1, coefficients, len(accounts))
        self._screen.build(accounts, table, factors, lambda factor: effective_price(market, factor))


def _places(market: Market) -> dict[bytes, int]:
    """Return the bit of an account's configuration that says that a token of a reserve counts."""
    places: dict[bytes, int] = {}
    for index, reserve in market.reserves.items():
        places[reserve.variable_token] = 2 * index + DEBT
        places[reserve.a_token] = 2 * index + COLLATERAL
    return places


def _is_unclear(market: Market, reserve: ReserveNow) -> bool:
    """Tell whether a figure of a reserve is missing, or no price to screen by can be made of them in some mode."""
    if reserve.doubt is not None or isinstance(reserve.price, Unknown):
        return True
    modes = [0, *(number for number, mode in market.categories.items() if mode.members >> reserve.index & 1)]
    factors = [Factor(mode, reserve.index, side) for mode in modes for side in (DEBT, COLLATERAL)]
    return any(effective_price(market, each) is None and not _awaits(market, each) for each in factors)


def _awaits(market: Market, factor: Factor) -> bool:
    """Tell whether a factor has no price because its mode has none: who is in the mode is not screened at all."""
    mode = market.categories.get(factor.mode, NO_CATEGORY) if factor.mode else NO_CATEGORY
    return isinstance(mode.price, Unknown)
