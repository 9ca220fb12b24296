"""How much to cover: a closed form for the first guess, an exact search for the answer.

An account has debt ``D``, and collateral whose value weighted by liquidation thresholds is ``C'``; its health is
``H = C'/D``. Covering ``r`` of the debt against a collateral of threshold ``t`` at bonus factor ``b`` seizes ``r·b``
and leaves::

    H(r) = (C' - r·b·t) / (D - r)

Setting ``H(r) = T`` gives the cover that restores a target::

    r = D·(T - H) / (T - b·t)

which is the formula of Aave v4's target health factor, and, at ``T = 1``, the first step of Qin et al. (2021). When
``b·t >= T`` no cover reaches the target; when ``b·t > H`` every cover lowers the health (the position is *toxic*).

The contract rounds at every step and stops at the collateral's end, so the formula is only where the search begins: the
answer is the smallest integer for which the contract's own arithmetic reaches the target.
"""

from __future__ import annotations

from collections.abc import Callable

from keeper.core.units import BaseAmount, Bps, Rounding, Wad, mul_div

FIRST_STEP_BITS = 36
"""The first gallop step is the guess shifted by this: about the relative error of figures with 8 to 11 digits."""


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
