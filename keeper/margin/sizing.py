"""How much to close: closed forms for the first guess, exact searches for the answer.

*To a target health.* An account has debt ``D``, and collateral whose value weighted by liquidation thresholds is
``C'``; its health is ``H = C'/D``. Covering ``r`` of the debt against a collateral of threshold ``t`` at bonus factor
``b`` seizes ``r·b`` and leaves::

    H(r) = (C' - r·b·t) / (D - r)

Setting ``H(r) = T`` gives the cover that restores a target::

    r = D·(T - H) / (T - b·t)

which is the formula of Aave v4's target health factor, and, at ``T = 1``, the first step of Qin et al. (2021). When
``b·t >= T`` no cover reaches the target; when ``b·t > H`` every cover lowers the health (the position is *toxic*).

*To the largest profit.* Selling what was seized, of value ``v``, costs a share ``s`` of it and, in a market of finite
depth, a share that grows with it: ``s·v + k·v²``. A cover earns ``r·(b - 1) - s·v - k·v²``, and the most where the
next unit earns nothing::

    r = (b - 1 - s·b) / (2·k·b²)

*In one slice or in two.* A close factor ``F`` binds each call. Qin, Zhou, Gamito, Jovanovic and Gervais (2021), *An
Empirical Study of DeFi Liquidations*, cover first what leaves the account only just liquidatable, and then ``F`` of
what is left, which is more than ``F`` of the whole.

*Toxic accounts.* Warmuz, Chaudhary and Pinna (2022), *Toxic Liquidation Spirals*: where debt is more than ``1/b`` of
the collateral, covering makes the rest worse, and some debt will be left whatever is done.

The contract rounds at every step and stops at the collateral's end, so the formulas are only where the searches begin:
the answers are the contract's own arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from keeper.core.units import BaseAmount, Bps, Rounding, Wad, mul_div

FIRST_STEP_BITS = 36
"""The first gallop step is the guess shifted by this: about the relative error of figures with 8 to 11 digits."""
GRID_POINTS = 64
"""Covers tried for a profit before the search narrows; where there are no more than that, every one is."""
PEAK_BITS = 24
"""The peak of a profit is known to the largest cover shifted by this. It is flat there: what the rest would earn is
that share squared."""
MILLION_BASE = 10**6 * BaseAmount.ONE
_IMPACT_DIVISOR = int(Bps.ONE * MILLION_BASE)


class Slippage(NamedTuple):
    """What selling a seized collateral costs: a share, and a share that grows with each million USD sold at once."""

    bps: Bps
    bps_per_million: Bps = Bps(0)

    def cost_base(self, seized_base: BaseAmount) -> BaseAmount:
        """Return the cost of selling that value, each part rounded up; convex in the value."""
        value = int(seized_base)  # a search for the most profitable cover comes here a hundred times
        impact = -(-value * value * int(self.bps_per_million) // _IMPACT_DIVISOR)
        return BaseAmount(impact - (-value * int(self.bps) // Bps.ONE))


class TwoSlices(NamedTuple):
    """A cover that leaves an account only just liquidatable, and what the close factor then allows."""

    first_base: BaseAmount
    second_base: BaseAmount


def target_cover_base(
    debt_base: BaseAmount, health: Wad, target: Wad, bonus: Bps, liquidation_threshold: Bps
) -> BaseAmount | None:
    """Return the value to cover so that health becomes ``target``, ignoring the contract's rounding and limits.

    Args:
        debt_base: The account's whole debt, USD 1e-8.
        health: The account's health now.
        target: The health wanted, above ``health``.
        bonus: What is seized per value covered (10500 for a bonus of 5 %).
        liquidation_threshold: Of the collateral that is seized.

    Returns:
        The value, rounded up, USD 1e-8; ``None`` when no cover reaches the target.
    """
    seized_weight = mul_div(int(bonus) * int(liquidation_threshold), Wad.ONE, Bps.ONE**2, Rounding.CEIL)
    divisor = int(target) - seized_weight
    if divisor <= 0:
        return None
    return BaseAmount(mul_div(int(debt_base), int(target) - int(health), divisor, Rounding.CEIL))


def most_profitable_cover_base(bonus: Bps, slippage: Slippage) -> BaseAmount | None:
    """Return the value whose cover earns most, ignoring the contract's rounding and limits.

    Args:
        bonus: What is seized per value covered.
        slippage: What selling it costs.

    Returns:
        The value, zero when no cover earns anything; ``None`` when each further unit earns as much as the first.
    """
    factor, share = int(bonus), int(slippage.bps)
    earned = (factor - Bps.ONE) * Bps.ONE - share * factor
    if earned <= 0:
        return BaseAmount(0)
    if not slippage.bps_per_million:
        return None
    divisor = 2 * int(slippage.bps_per_million) * factor**2
    return BaseAmount(mul_div(earned, Bps.ONE * MILLION_BASE, divisor, Rounding.FLOOR))


def profit_base(covered_base: BaseAmount, bonus: Bps, slippage: Slippage, gas_base: BaseAmount) -> BaseAmount:
    """Return what a cover earns, ignoring the contract's rounding and limits; rounded down."""
    seized_base = BaseAmount(mul_div(covered_base, bonus, Bps.ONE, Rounding.FLOOR))
    return seized_base - covered_base - slippage.cost_base(seized_base) - gas_base


def two_slices(
    debt_base: BaseAmount,
    health: Wad,
    bonus: Bps,
    liquidation_threshold: Bps,
    owed_base: BaseAmount,
    allowed_base: BaseAmount,
) -> TwoSlices | None:
    """Return the two covers that take most where a close factor binds (Qin et al. 2021).

    Args:
        debt_base: The account's debt, USD 1e-8.
        health: Its health, below one.
        bonus: What is seized per value covered.
        liquidation_threshold: Of the collateral that is seized.
        owed_base: The part of the debt that is covered.
        allowed_base: The part of that which the close factor lets one call cover.

    Returns:
        The covers, the first rounded so that the account stays liquidatable; ``None`` when nothing is to be gained:
        the close factor does not bind, or the account is so far gone that no cover can make it safe.
    """
    safe_base = target_cover_base(debt_base, health, Wad(Wad.ONE), bonus, liquidation_threshold)
    if safe_base is None or allowed_base >= owed_base:
        return None
    first_base = int(safe_base) - 1
    if not 0 < first_base <= int(allowed_base):
        return None
    second_base = mul_div(int(owed_base) - first_base, allowed_base, int(owed_base), Rounding.FLOOR)
    return TwoSlices(BaseAmount(first_base), BaseAmount(second_base))


def leaves_bad_debt(collateral_base: BaseAmount, debt_base: BaseAmount, bonus: Bps) -> bool:
    """Tell whether debt will be left when all collateral is gone: it is above ``1/b`` of it (Warmuz et al. 2022)."""
    return int(debt_base) * int(bonus) > int(collateral_base) * Bps.ONE


def smallest_cover(health_after: Callable[[int], int | None], cover_max: int, target: int, guess: int) -> int | None:
    """Return the smallest cover that brings health to ``target``, or ``None`` when ``cover_max`` does not.

    Gallops from ``guess`` in doubling steps until the answer is enclosed, then bisects: the number of calls grows with
    the logarithm of the guess's error.

    Args:
        health_after: The health after covering that much, ``None`` when no debt is left (which is enough). It must not
            fall as the cover grows; where it does by a rounding step, the answer reaches the target and the next
            smaller cover does not.
        cover_max: The largest cover allowed, in the same units as the answer.
        target: The health wanted.
        guess: Where to begin; any integer.
    """
    if cover_max < 1 or not _reaches(health_after(cover_max), target):
        return None
    low, high = _enclose(health_after, cover_max, target, min(max(guess, 1), cover_max))
    while high - low > 1:
        middle = (low + high) // 2
        if _reaches(health_after(middle), target):
            high = middle
        else:
            low = middle
    return high


def _enclose(health_after: Callable[[int], int | None], cover_max: int, target: int, guess: int) -> tuple[int, int]:
    """Return a cover that is too small (zero counts as such) and a larger one that is enough."""
    step = max(1, guess >> FIRST_STEP_BITS)
    if _reaches(health_after(guess), target):
        low, high = guess - step, guess
        while low > 0 and _reaches(health_after(low), target):
            step *= 2
            low, high = low - step, low
        return max(low, 0), high
    low, high = guess, guess + step
    while high < cover_max and not _reaches(health_after(high), target):
        step *= 2
        low, high = high, high + step
    return low, min(high, cover_max)


def _reaches(health: int | None, target: int) -> bool:
    return health is None or health >= target


def most_profitable_cover(
    profit: Callable[[int], int | None], cover_max: int, guesses: Iterable[int] = (), cover_min: int = 1
) -> int | None:
    """Return the cover that earns most, the smaller of equals; ``None`` when the contract refuses all that are tried.

    Tries a grid with the guesses in it and halves the wider side of the best until the peak is known as closely as
    :data:`PEAK_BITS` say; at most some hundred calls. Where profit rises, then falls, and rounding moves it by at
    most ``e`` either way, no cover earns more than the answer by more than ten ``e``.

    Args:
        profit: What a cover earns, ``None`` when the contract refuses it.
        cover_max: The largest cover allowed.
        guesses: Where the peak may be; any integers.
        cover_min: The smallest cover allowed.
    """
    steps = range(GRID_POINTS)
    spread = {cover_max - (cover_max - cover_min) * step // (GRID_POINTS - 1) for step in steps}
    tried = sorted(cover for cover in spread | set(guesses) if cover_min <= cover <= cover_max)
    ranked = {cover: _rank(profit(cover), cover) for cover in tried}
    best = max(tried, key=ranked.__getitem__, default=None)
    if best is None or not ranked[best][0]:
        return None
    place = tried.index(best)
    low = tried[place - 1] if place else cover_min - 1
    high = tried[place + 1] if place + 1 < len(tried) else cover_max + 1
    return _peak(profit, low, best, high, max(1, cover_max >> PEAK_BITS))


def _peak(profit: Callable[[int], int | None], low: int, best: int, high: int, precision: int) -> int:
    """Narrow what lies between two covers that are not the best, around one that is better."""
    rank = _rank(profit(best), best)
    while max(best - low, high - best) > precision:
        upper = high - best >= best - low
        middle = (best + high) // 2 if upper else (low + best + 1) // 2
        found = _rank(profit(middle), middle)
        if found > rank:
            low, high = (best, high) if upper else (low, best)
            best, rank = middle, found
        elif upper:
            high = middle
        else:
            low = middle
    return best


def _rank(earned: int | None, cover: int) -> tuple[bool, int, int]:
    return (False, 0, -cover) if earned is None else (True, earned, -cover)


def largest_cover(accepts: Callable[[int], bool], cover_max: int) -> int | None:
    """Return a cover that the contract accepts and no single unit more, as near to the largest as is found.

    A rule about what may be left (nothing, or no dust) refuses a band below the largest cover, and a pool whose tokens
    are lent out refuses all above what it has; below such a band the first accepted cover is where it ends.

    Args:
        accepts: Whether the contract accepts a cover.
        cover_max: The largest cover allowed.
    """
    refused = cover_max + 1
    for cover in _downwards(cover_max):
        if accepts(cover):
            return _last_accepted(accepts, cover, refused)
        refused = cover
    return None


def _downwards(cover_max: int) -> Iterator[int]:
    """Yield covers from the largest on: in doubling steps, then by halves; all of them where they are few."""
    if cover_max <= GRID_POINTS:
        yield from range(cover_max, 0, -1)
        return
    yield cover_max
    step = cover_max // 1024 + 1
    while step < cover_max // 2:
        yield cover_max - step
        step *= 2
    cover = cover_max // 2
    while cover:
        yield cover
        cover //= 2


def _last_accepted(accepts: Callable[[int], bool], accepted: int, refused: int) -> int:
    while refused - accepted > 1:
        middle = (accepted + refused) // 2
        if accepts(middle):
            accepted = middle
        else:
            refused = middle
    return accepted
