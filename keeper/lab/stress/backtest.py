"""Which models of value at risk would have held for bitcoin and ether: all of them over the recorded daily closes."""

from __future__ import annotations

import msgspec
import numpy as np

from keeper.lab.stress.closes import daily_closes
from keeper.risk.backtest import Backtest, Model, backtest

WINDOW_DAYS = 500
"""Of the models that draw from history."""
START_DAYS = 250
"""What the EWMA models leave out, so that their variance has forgotten its start."""
HOLDS = "holds"


class BacktestRow(msgspec.Struct, frozen=True, kw_only=True):
    """One model over one asset; ``lr_*`` are the likelihood ratios of coverage, independence and both."""

    asset: str
    model: str
    level: float
    exceptions: int
    n: int
    lr_uc: float
    lr_ind: float
    lr_joint: float
    verdict: str
    """``holds``, or ``rejected:`` and the tests that reject it at five per cent."""


def backtests(level: float = 0.99, window: int = WINDOW_DAYS) -> tuple[BacktestRow, ...]:
    """Return every model over every asset, on daily log returns.

    Args:
        level: The confidence of the VaR.
        window: Days that the historical models draw from; the EWMA models start after 250.

    Raises:
        RiskInputError: the level or the window is out of range.
    """
    closes = daily_closes()
    return tuple(
        _row(asset, backtest(np.diff(np.log(prices)), model, level, _window(model, window)))
        for asset, prices in (("BTC", closes.btc), ("ETH", closes.eth))
        for model in Model
    )


def _window(model: Model, window: int) -> int:
    return window if model in (Model.HISTORICAL, Model.FHS) else START_DAYS


def _row(asset: str, tested: Backtest) -> BacktestRow:
    return BacktestRow(
        asset=asset,
        model=tested.model.value,
        level=tested.level,
        exceptions=tested.exceptions,
        n=tested.n,
        lr_uc=tested.coverage.statistic,
        lr_ind=tested.independence.statistic,
        lr_joint=tested.joint.statistic,
        verdict=f"rejected: {', '.join(tested.rejecting)}" if tested.rejecting else HOLDS,
    )
