"""The slices of one pair of debt and collateral, each as the contract itself would take it, and what each earns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol, Self

from keeper.core.ids import Address, to_hex
from keeper.core.units import UINT256_MAX, BaseAmount, Bps, Rounding, TokenAmount, Wad, mul_div
from keeper.core.venue import AccountMargin, Pair, Preview, StrategyView, VenueView
from keeper.margin.sizing import (
    GRID_POINTS,
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

REFUSED = -(2**255)
"""The health, and the profit, of a slice that the contract would refuse: below every other."""


class SellingTerms(Protocol):
    """What the operator assumes that selling a token costs: by token, else the default, and more by the million."""

    @property
    def slippage_bps(self) -> Mapping[str, Bps]:
        """By collateral token, ``0x`` and lower-case digits."""

    @property
    def slippage_bps_default(self) -> Bps:
        """Of every other token."""

    @property
    def slippage_bps_per_million(self) -> Mapping[str, Bps]:
        """What each million USD sold at once adds."""


class Costs(NamedTuple):
    """What a slice costs beside what it repays."""

    gas_base: BaseAmount
    slippage: Slippage

    @classmethod
    def of(cls, gas_base: BaseAmount, token: Address, terms: SellingTerms) -> Self:
        """Return the costs of a slice that seizes a token."""
        name = to_hex(token)
        bps = terms.slippage_bps.get(name, terms.slippage_bps_default)
        return cls(gas_base, Slippage(bps, terms.slippage_bps_per_million.get(name, Bps(0))))


def gas_of(view: StrategyView, venue: str) -> tuple[BaseAmount, str]:
    """Return what a call of a venue costs in gas, and what a proposal has to say of it where it cannot be valued."""
    cost = view.gas_cost_base(view.venue(venue).liquidation_gas)
    return (BaseAmount(0), "; gas cannot be valued and counts as nothing") if cost is None else (cost, "")


class Slice(NamedTuple):
    """A slice that the contract would accept, and what it earns (USD 1e-8)."""

    pair: Pair
    preview: Preview
    slippage_base: BaseAmount
    profit_base: BaseAmount

    @property
    def health(self) -> int:
        """The health it leaves; no debt left is the best."""
        return UINT256_MAX if self.preview.health_after is None else int(self.preview.health_after)


class Split(NamedTuple):
    """The same pair in two slices: the first of them, and what both earn together, the second by formula."""

    first: Slice
    profit_base: BaseAmount


class PairSlices:
    """One pair of one account.

    Args:
        venue: Whose contract it is.
        margin: The account, at the head.
        pair: What may be repaid against what.
        limit: The most that may be covered: the close factor's or the liquidator's, whichever is less; positive.
        costs: What a slice costs.
    """

    def __init__(self, venue: VenueView, margin: AccountMargin, pair: Pair, limit: TokenAmount, costs: Costs) -> None:
        self._venue = venue
        self._margin = margin
        self._pair = pair
        self._limit = int(limit)
        self._costs = costs
        self._previews: dict[int, Preview] = {}

    @property
    def refusal(self) -> str | None:
        """Why the contract would refuse the limit."""
        return self._preview(self._limit).revert

    def largest(self) -> Slice | None:
        """Return the largest slice that the contract would accept."""
        cover = largest_cover(lambda each: self._preview(each).revert is None, self._limit)
        return None if cover is None else self._slice(cover)

    def most_profitable(self, largest: Slice) -> Slice:
        """Return the slice that earns most."""
        return self._peak(1, largest)

    def restoring(self, largest: Slice, target: Wad, minimum_base: BaseAmount, dust_base: BaseAmount) -> Slice:
        """Return the smallest slice that reaches the target and earns the minimum.

        When none does both, the largest that earns the minimum, which raises health as far as may be; when none earns
        it, the one that earns most. A slice that would leave dust gives way to the largest, if that earns the minimum.
        """
        limit, least = int(largest.preview.cover), int(minimum_base)
        reaching = smallest_cover(self._health, limit, int(target), self._guess(target, limit))
        if reaching is None:
            return self._largest_earning(largest, least)
        found = self._slice(reaching)
        if int(found.profit_base) < least:
            peak = self._peak(reaching, largest)
            earning = smallest_cover(
                lambda cover: self._profit(cover) if self._reaches(cover, target, reaching) else REFUSED,
                int(peak.preview.cover),
                least,
                reaching,
            )
            if earning is None:
                smaller = self._largest_earning(found, least)
                return smaller if int(smaller.profit_base) >= least else max(smaller, peak, key=_profit)
            found = self._slice(earning)
        left_base = found.pair.debt_base - found.preview.repaid_base
        dusty = BaseAmount(0) < left_base < dust_base
        return largest if dusty and int(largest.profit_base) >= least else found

    def realises_bad_debt(self, found: Slice) -> bool:
        """Tell whether a slice takes all that the contract lets be taken at once where debt will be left anyway."""
        preview = found.preview
        all_taken = preview.cover == self._pair.cover_max or preview.repaid < preview.cover
        return all_taken and leaves_bad_debt(self._margin.collateral_base, self._margin.debt_base, self._pair.bonus)

    def split(self) -> Split | None:
        """Return what two slices would earn where the close factor binds, ``None`` where two are not possible."""
        whole_base = self._value(self._pair.cover_max)
        if self._margin.health_wad is None or self._limit < int(self._pair.cover_max) or not whole_base:
            return None
        two = two_slices(
            self._margin.debt_base,
            self._margin.health_wad,
            self._pair.bonus,
            self._pair.liquidation_threshold,
            self._pair.debt_base,
            BaseAmount(whole_base),
        )
        if two is None:
            return None
        first = mul_div(self._pair.cover_max, two.first_base, whole_base, Rounding.FLOOR)
        if not 0 < first <= self._limit or self._preview(first).revert is not None:
            return None
        taken = self._slice(first)
        rest_base = self._pair.collateral_base - taken.preview.seized_base
        most_base = BaseAmount(mul_div(max(0, int(rest_base)), Bps.ONE, int(self._pair.bonus), Rounding.FLOOR))
        second_base = min(two.second_base, most_base)
        then = profit_base(second_base, self._pair.bonus, self._costs.slippage, self._costs.gas_base)
        return Split(taken, taken.profit_base + then)

    def _largest_earning(self, largest: Slice, least: int) -> Slice:
        """Return the largest slice up to this one that earns the minimum, or the one that earns most."""
        if int(largest.profit_base) >= least:
            return largest
        peak = self._peak(1, largest)
        high, cover = int(largest.preview.cover), int(peak.preview.cover)
        if int(peak.profit_base) < least or cover >= high:
            return peak
        taken_off = smallest_cover(lambda less: self._profit(high - less), high - cover, least, 1)
        return peak if taken_off is None else self._slice(high - taken_off)

    def _peak(self, low: int, largest: Slice) -> Slice:
        """Return the slice that earns most, from cover ``low`` on.

        Without an impact on the price each unit earns as much as the next, so that either the largest earns most or
        none earns anything; only where the units are few does rounding count.
        """
        slippage, high = self._costs.slippage, int(largest.preview.cover)
        if not int(slippage.bps_per_million) and high > GRID_POINTS:
            return largest
        best_base = most_profitable_cover_base(self._pair.bonus, slippage)
        guesses = [] if best_base is None else [self._cover_of(best_base)]
        cover = most_profitable_cover(self._profit_or_none, high, guesses, low)
        return largest if cover is None else self._slice(cover)

    def _guess(self, target: Wad, limit: int) -> int:
        """Return the closed form's cover in tokens, or the limit where it has no answer."""
        health = self._margin.health_wad or Wad(0)
        pair = self._pair
        cover_base = target_cover_base(self._margin.debt_base, health, target, pair.bonus, pair.liquidation_threshold)
        return limit if cover_base is None else self._cover_of(cover_base)

    def _cover_of(self, cover_base: BaseAmount) -> int:
        limit_base = self._value(TokenAmount(self._limit))
        return mul_div(self._limit, cover_base, limit_base, Rounding.CEIL) if limit_base else self._limit

    def _value(self, amount: TokenAmount) -> int:
        return int(self._venue.value_base(self._pair.debt_asset, amount) or 0)

    def _reaches(self, cover: int, target: Wad, at_least: int) -> bool:
        health = self._health(cover)
        return cover >= at_least and (health is None or health >= int(target))

    def _health(self, cover: int) -> int | None:
        preview = self._preview(cover)
        if preview.revert is not None:
            return REFUSED
        return None if preview.health_after is None else int(preview.health_after)

    def _profit(self, cover: int) -> int:
        return REFUSED if self._preview(cover).revert is not None else int(self._slice(cover).profit_base)

    def _profit_or_none(self, cover: int) -> int | None:
        preview = self._preview(cover)
        return None if preview.revert is not None else self._earned(preview, self._slippage_base(preview))

    def _slice(self, cover: int) -> Slice:
        preview = self._preview(cover)
        slippage_base = self._slippage_base(preview)
        return Slice(self._pair, preview, slippage_base, BaseAmount(self._earned(preview, slippage_base)))

    def _slippage_base(self, preview: Preview) -> BaseAmount:
        return self._costs.slippage.cost_base(preview.seized_base)

    def _earned(self, preview: Preview, slippage_base: BaseAmount) -> int:
        return int(preview.seized_base) - int(preview.repaid_base) - int(self._costs.gas_base) - int(slippage_base)

    def _preview(self, cover: int) -> Preview:
        found = self._previews.get(cover)
        if found is None:
            debt, collateral = self._pair.debt_asset, self._pair.collateral_asset
            found = self._venue.preview(self._margin.account, debt, collateral, TokenAmount(cover))
            self._previews[cover] = found
        return found


def _profit(found: Slice) -> int:
    return int(found.profit_base)
