"""The recorded prices are whole."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from keeper.lab.stress.closes import daily_closes


def test_no_day_is_missing() -> None:
    """Every day from the first to the last has a close of both coins."""
    closes = daily_closes()

    first = date(2017, 8, 18)
    assert closes.dates == tuple((first + timedelta(days=day)).isoformat() for day in range(3149))
    assert closes.btc.shape == closes.eth.shape == (3149,)


def test_the_worst_day_of_both_coins_is_the_twelfth_of_march_2020() -> None:
    """Log returns of -0.5026 (BTC) and -0.5905 (ETH) on 2020-03-12 are the least of the file."""
    closes = daily_closes()

    for prices, least in ((closes.btc, -0.5026), (closes.eth, -0.5905)):
        returns = np.diff(np.log(prices))
        assert returns.min() == pytest.approx(least, abs=5e-5)
        assert closes.dates[int(returns.argmin()) + 1] == "2020-03-12"
