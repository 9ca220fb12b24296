"""What reckoned-with moves of prices cost an account: integers in, integers out, losses rounded up.

``e`` is an account's exposure to an asset (how much of what is left moves with its price), ``m`` the move of that asset
over the horizon. The worst of each, added up, is what no correlation can exceed::

    L = sum |e_i| m_i

and the joint loss, with ``m`` as a multiple of each asset's volatility and ``rho`` their correlation, is that multiple
of the portfolio's volatility (Markowitz 1952; the parametric VaR of RiskMetrics 1996, section 1.2)::

    L = sqrt( sum_ij e_i m_i rho_ij e_j m_j ),        L_i = e_i m_i sum_j rho_ij e_j m_j / L

whose parts ``L_i`` add up to it (Euler). A correlation that is not known is taken to hurt: the two moves add up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import numpy as np
from scipy.special import ndtr

from keeper.core.errors import RiskInputError
from keeper.risk.inputs import Floats, array, integer, number

PPM = 10**6
ROUNDING = 1e-9
"""How far beyond one a correlation may be rounded."""
Asset = TypeVar("Asset", bound=Hashable)


def worst_losses(exposures: Mapping[Asset, int], moves_ppm: Mapping[Asset, int]) -> dict[Asset, int]:
    """Return what each asset costs if its price moves against the account; each rounded up.

    Args:
        exposures: By asset, signed, in any unit.
        moves_ppm: By asset, 1e-6 of the price.

    Raises:
        RiskInputError: an asset has no move, a move is negative, or a figure is not an integer.
    """
    _check(exposures, moves_ppm)
    return {asset: -(-abs(held) * moves_ppm[asset] // PPM) for asset, held in exposures.items()}


def joint_losses(
    exposures: Mapping[Asset, int],
    moves_ppm: Mapping[Asset, int],
    correlation: Callable[[Asset, Asset], float | None],
) -> dict[Asset, int]:
    """Return what each asset contributes to the joint loss; negative for one that hedges the others.

    The sum is the joint loss, rounded up, and never above that of :func:`worst_losses`.

    Args:
        exposures: By asset, signed, in any unit.
        moves_ppm: By asset, 1e-6 of the price.
        correlation: Of two different assets' moves, between -1 and 1; ``None`` when it is not known.

    Raises:
        RiskInputError: an asset has no move, a move is negative, a figure is not an integer, or a correlation is none.
    """
    _check(exposures, moves_ppm)
    hurts = {asset: held * moves_ppm[asset] / PPM for asset, held in exposures.items() if held and moves_ppm[asset]}
    products = {one: sum(_with(hurts, one, other, correlation) for other in hurts) for one in hurts}
    total = math.sqrt(max(math.fsum(hurts[asset] * product for asset, product in products.items()), 0.0))
    if not total:
        return dict.fromkeys(exposures, 0)
    shares = {asset: math.floor(hurts[asset] * product / total) for asset, product in products.items()}
    worst = sum(worst_losses(exposures, moves_ppm).values())
    largest = max(shares, key=lambda asset: abs(hurts[asset]))
    shares[largest] += min(math.ceil(total), worst) - sum(shares.values())
    return {asset: shares.get(asset, 0) for asset in exposures}


def _check(exposures: Mapping[Asset, int], moves_ppm: Mapping[Asset, int]) -> None:
    for asset, held in exposures.items():
        integer(f"exposure to {asset}", held)
        if asset not in moves_ppm:
            raise RiskInputError(str(asset), "has an exposure and no move", "give the move of its price")
        integer(f"move of {asset}", moves_ppm[asset], least=0)


def _with(
    hurts: Mapping[Asset, float], one: Asset, other: Asset, correlation: Callable[[Asset, Asset], float | None]
) -> float:
    if one == other:
        return hurts[one]
    known = correlation(one, other)
    if known is None:
        return abs(hurts[other]) if hurts[one] > 0 else -abs(hurts[other])
    number("correlation", known, least=-1 - ROUNDING, most=1 + ROUNDING)
    return min(max(known, -1.0), 1.0) * hurts[other]


def loss_beyond_collateral(collateral: Floats, debt: Floats, vol: Floats) -> Floats:
    """Return what is expected to be owed beyond the collateral at the horizon's end, if nobody acts.

    ``E[max(D - C e^(sx - s^2/2), 0)] = D N(-d2) - C N(-d1)``, with ``d1 = ln(C/D)/s + s/2`` and ``d2 = d1 - s``: the
    debt holders' put of Merton (1974), undiscounted, with ``s`` the volatility over the horizon.

    Args:
        collateral: (n,) what secures, not negative.
        debt: (n,) what is owed, not negative, in the same unit.
        vol: (n,) volatility of the collateral's worth in units of the debt, over the horizon; at 0 it is
            ``max(D - C, 0)``.

    Raises:
        RiskInputError: a value is negative or not finite, or the lengths differ.
    """
    held, owed = array("collateral", collateral, ndim=1, least=0), array("debt", debt, ndim=1, least=0)
    spread = array("vol", vol, ndim=1, length=len(held), least=0)
    array("debt", owed, length=len(held))
    moves = (held > 0) & (owed > 0) & (spread > 0)
    safe = np.where(moves, spread, 1.0)
    ratio = np.log(np.where(moves, held, 1.0) / np.where(moves, owed, 1.0))
    d1 = ratio / safe + safe / 2
    put = owed * ndtr(safe - d1) - held * ndtr(-d1)
    return np.maximum(np.where(moves, put, owed - held), 0.0)
