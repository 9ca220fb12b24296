"""The daily log returns of bitcoin and ether, as the tests of several models want them."""

from __future__ import annotations

import numpy as np

from keeper.lab.stress.closes import daily_closes
from keeper.risk.inputs import Floats


def log_returns(asset: str) -> Floats:
    """Return those of ``btc`` or ``eth``, oldest first, 3,148 of them."""
    returns: Floats = np.diff(np.log(getattr(daily_closes(), asset)))
    return returns
