"""Margins that grow with size smoothly: Synthetix's skew scale and Drift's size premium.

*Synthetix v3* (Synthetixio/synthetix-v3 23585f7, perps market ``PerpsMarketConfiguration``). The larger a position is
against the market's skew scale, the more is asked of each unit::

    initial ratio     = |q| / skewScale · imf + minimum
    maintenance ratio = initial ratio · scalar
    margin            = |q| · price · ratio, and a fixed sum for each position

*Drift* (drift-labs/protocol-v2 0ae3e3b, ``math/margin.rs``). The weight of a large liability rises, and that of a large
asset falls, with the square root of its size::

    w_liability = max(w, 0.8·w + imf·sqrt(size))
    w_asset     = min(w, 1.1 / (1 + imf·sqrt(size)))
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from keeper.risk.inputs import Floats, aligned, array, number

DRIFT_LIABILITY_BASE = 0.8
"""The share of a liability's weight that the premium is added to."""
DRIFT_ASSET_BASE = 1.1
"""What the discount of an asset starts from: small sizes are not discounted."""


class SkewScale(NamedTuple):
    """A market's margin parameters in Synthetix v3.

    Attributes:
        skew_scale: The skew at which the ratio grows by ``initial_fraction``, in units of the asset.
        initial_fraction: How much the ratio grows for a position of the skew scale.
        minimum_ratio: The ratio of a position of no size.
        maintenance_scalar: The share of the initial ratio that is to be maintained.
        minimum_margin_usd: What each position needs beside.
    """

    skew_scale: float
    initial_fraction: float
    minimum_ratio: float
    maintenance_scalar: float
    minimum_margin_usd: float = 0.0

    def initial_ratio(self, sizes: ArrayLike) -> Floats:
        """Return the initial ratio of positions of these sizes, of any shape, long or short.

        Raises:
            RiskInputError: the skew scale is not positive, a parameter negative, or a size not finite.
        """
        scale = number("skew_scale", self.skew_scale, above=0)
        growth = number("initial_fraction", self.initial_fraction, least=0)
        least = number("minimum_ratio", self.minimum_ratio, least=0)
        ratio: Floats = np.abs(array("sizes", sizes)) / scale * growth + least
        return ratio

    def margin_usd(self, sizes: ArrayLike, prices_usd: ArrayLike, *, initial: bool) -> Floats:
        """Return the margin of positions; shapes broadcast. No position needs nothing.

        Raises:
            RiskInputError: as :meth:`initial_ratio`, a price is negative, or the shapes do not go together.
        """
        amounts, prices = aligned("sizes and prices", array("sizes", sizes), array("prices_usd", prices_usd, least=0))
        share = 1.0 if initial else number("maintenance_scalar", self.maintenance_scalar, least=0, most=1)
        margin: Floats = np.abs(amounts) * prices * self.initial_ratio(amounts) * share
        return margin + np.where(amounts == 0, 0.0, number("minimum_margin_usd", self.minimum_margin_usd, least=0))


def drift_liability_weight(weight: ArrayLike, imf: float, sizes: ArrayLike) -> Floats:
    """Return the weight of liabilities of these sizes.

    Args:
        weight: The market's own margin ratio or liability weight.
        imf: The size premium.
        sizes: In units of the asset; shapes broadcast.

    Raises:
        RiskInputError: an argument is negative, or the shapes do not go together.
    """
    base, premium = _weighed(weight, imf, sizes)
    return np.asarray(np.maximum(base, DRIFT_LIABILITY_BASE * base + premium))


def drift_asset_weight(weight: ArrayLike, imf: float, sizes: ArrayLike) -> Floats:
    """Return the weight of assets of these sizes; the arguments are those of :func:`drift_liability_weight`.

    Raises:
        RiskInputError: an argument is negative, or the shapes do not go together.
    """
    base, premium = _weighed(weight, imf, sizes)
    return np.asarray(np.minimum(base, DRIFT_ASSET_BASE / (1.0 + premium)))


def _weighed(weight: ArrayLike, imf: float, sizes: ArrayLike) -> tuple[Floats, Floats]:
    """Return weights and what their sizes add, in one shape."""
    base, size = aligned("weights and sizes", array("weight", weight, least=0), array("sizes", sizes, least=0))
    return base, number("imf", imf, least=0) * np.sqrt(size)
