"""The five crashes that the laboratory replays: recorded hourly bars of bitcoin and ether. Sources: ``data/README.md``.

A window is a list of bars with times, not a grid: nothing here assumes that a day has 24 of them.
"""

from __future__ import annotations

import csv
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from keeper.core.errors import RiskInputError
from keeper.risk.inputs import Floats, Integers, history

COINS = ("BTC", "ETH")
"""The coins of every window, in the order of the last axis of its prices."""


class Crash(NamedTuple):
    """One window. Prices in USDT; the last axis is :data:`COINS`."""

    name: str
    """Year and month, as in ``2020-03``."""
    story: str
    """What happened, in a few words."""
    times: Integers
    """(T,) the bars' opening, unix seconds UTC, rising; an exchange's outage leaves a gap."""
    high: Floats
    """(T, 2) the bars' highest prices."""
    low: Floats
    """(T, 2) the bars' lowest prices."""
    close: Floats
    """(T, 2) the bars' last prices."""

    def drawdown(self, coin: str) -> float:
        """Return the fall of a coin from the highest price of the window to its lowest after that, as a negative share.

        Raises:
            RiskInputError: the window has no such coin.
        """
        if coin not in COINS:
            raise RiskInputError("coin", f"is {coin!r}", f"choose of {', '.join(COINS)}")
        column = COINS.index(coin)
        peaks = np.maximum.accumulate(self.high[:, column])
        return float(np.min(self.low[:, column] / peaks) - 1.0)

    def worst(self, coin: str, seconds: int) -> float:
        """Return the worst return between two closes that lie exactly so many seconds apart.

        Raises:
            RiskInputError: the window has no such coin, or no two bars so far apart.
        """
        if coin not in COINS:
            raise RiskInputError("coin", f"is {coin!r}", f"choose of {', '.join(COINS)}")
        closes = self.close[:, COINS.index(coin)]
        before = np.searchsorted(self.times, self.times - seconds)
        paired = self.times[np.minimum(before, len(self.times) - 1)] == self.times - seconds
        if not bool(np.any(paired)):
            raise RiskInputError("seconds", f"is {seconds}", "give a span that two bars of the window lie apart")
        return float(np.min(closes[paired] / closes[before[paired]]) - 1.0)


STORIES = {
    "2020-03": "Black Thursday: the pandemic's sell-off",
    "2021-05": "China's ban on mining and trading",
    "2022-11": "the failure of FTX",
    "2024-08": "the unwinding of the yen's carry trade",
    "2025-10": "the tariff shock, and auto-deleveraging at the exchanges of perpetuals",
}
"""The windows by name, oldest first."""


@cache
def crash(name: str) -> Crash:
    """Return a window.

    Raises:
        RiskInputError: there is none of that name, or a price in its file is not a positive number.
    """
    if name not in STORIES:
        raise RiskInputError("crash", f"is {name!r}", f"choose of {', '.join(STORIES)}")
    text = files("keeper.lab.stress").joinpath(f"data/crash_{name}.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    times = np.array([int(datetime.fromisoformat(row["time"]).timestamp()) for row in rows], dtype=np.int64)
    high, low, close = (_prices(rows, field) for field in ("high", "low", "close"))
    for each in (times, high, low, close):
        each.flags.writeable = False
    return Crash(name, STORIES[name], times, high, low, close)


def _prices(rows: list[dict[str, str]], field: str) -> Floats:
    columns = [
        history(f"{coin}_{field}", [float(row[f"{coin}_{field}"]) for row in rows], shortest=2, above=0)
        for coin in COINS
    ]
    return np.stack(columns, axis=1)
