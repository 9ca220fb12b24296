"""Daily closes of bitcoin and ether, 2017 to 2026; ``data/README.md`` names their sources."""

from __future__ import annotations

import csv
from importlib.resources import files
from typing import NamedTuple

from keeper.risk.inputs import Floats, history

_FILE = "data/BTC_ETH_daily_close.csv"


class DailyCloses(NamedTuple):
    """One row a day, oldest first, no day missing; prices in USDT."""

    dates: tuple[str, ...]
    """ISO dates, UTC."""
    btc: Floats
    """(T,) the last price of bitcoin on that day."""
    eth: Floats
    """(T,) the last price of ether on that day."""


def daily_closes() -> DailyCloses:
    """Return the recorded daily closes, 3,149 of them.

    Raises:
        RiskInputError: a price in the file is not a positive number.
    """
    text = files("keeper.lab.stress").joinpath(_FILE).read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    btc, eth = (history(coin, [float(row[coin]) for row in rows], shortest=1, above=0) for coin in ("BTC", "ETH"))
    return DailyCloses(tuple(row["date"] for row in rows), btc, eth)
