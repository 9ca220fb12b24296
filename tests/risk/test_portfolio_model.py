"""A portfolio margin explains itself as any other margin does, to the last unit."""

from __future__ import annotations

import numpy as np
import pytest

from keeper.core.errors import RiskInputError
from keeper.core.margin import MarginKind, MarginModel
from keeper.risk.instruments import Contract, Instruments, Kind, Portfolio, Underlying
from keeper.risk.portfolio_model import SCALE, PortfolioMarginModel
from keeper.risk.scenarios import DERIVE_MAINNET, DERIVE_TEST
from tests.risk.markets import book, derive_option, listing

SHORT_CALL = Instruments.of([derive_option("CALL", 1500.0, is_call=True)], [Underlying(name="ETH", spot_usd=1500.0)])


def test_the_least_bucket_is_the_maintenance_margin() -> None:
    """For every account, rounded down to a unit of 1e-8 USD."""
    chance = np.random.default_rng(41)
    instruments = listing(chance, 24)
    model: PortfolioMarginModel = PortfolioMarginModel(
        instruments, book(chance, instruments, 40, 8), DERIVE_MAINNET, stable_price_usd=0.97
    )

    for account, margin in enumerate(model.margins.maintenance_usd.tolist()):
        buckets = model.breakdown(account).buckets
        least = min(bucket.surplus for bucket in buckets)
        assert margin * SCALE - 3 <= least <= margin * SCALE + 1
        assert all(bucket.unit == "USD" and bucket.scale == SCALE for bucket in buckets)
        assert len({bucket.name for bucket in buckets}) == len(buckets)


def test_a_bucket_explains_its_figures() -> None:
    """Derive's first margin test: what the short call is worth, what the scenario takes, the static contingency."""
    model: MarginModel[int] = PortfolioMarginModel(
        SHORT_CALL, Portfolio.of(SHORT_CALL, [({"CALL": -1.0}, 500.0)]), DERIVE_TEST
    )
    breakdown = model.breakdown(0)

    assert model.margin_kind is breakdown.kind is MarginKind.PORTFOLIO
    assert len(breakdown.buckets) == len(DERIVE_TEST.scenarios) + 1
    binding = breakdown.binding
    assert binding is not None
    assert binding.name == "ETH spot +15 % vol up"
    lines = {line.item: (line.equity - line.requirement) / SCALE for line in binding.lines}
    assert lines.pop("rounded to whole units") == pytest.approx(0.0, abs=2 / SCALE)
    assert lines == pytest.approx(
        {
            "positions at market": -79.371585189,
            "cash": 500.0,
            "static contingency": -15.0,
            "loss in the scenario": -207.396949671,
        },
        abs=1e-6,
    )
    assert binding.surplus / SCALE == pytest.approx(500.0 - 301.768534860, abs=1e-6)


def test_a_gain_secures_and_a_loss_is_to_be_secured() -> None:
    """No requirement is negative."""
    model = PortfolioMarginModel(SHORT_CALL, Portfolio.of(SHORT_CALL, [({"CALL": -1.0}, 500.0)]), DERIVE_TEST)
    buckets = {bucket.name: bucket for bucket in model.breakdown(0).buckets}

    assert all(bucket.requirement >= 0 for bucket in buckets.values())
    assert "gain in the scenario" in {line.item for line in buckets["ETH spot -15 % vol down"].lines}


def test_other_underlyings_count_at_their_worst() -> None:
    """One underlying's scenario is looked at with the other's worst one."""
    contracts = [
        Contract(name=name, kind=Kind.PERPETUAL, underlying=name, mark_price_usd=price)
        for name, price in (("A", 100.0), ("B", 10.0))
    ]
    instruments = Instruments.of(contracts, [Underlying(name="A", spot_usd=100.0), Underlying(name="B", spot_usd=10.0)])
    held = Portfolio.of(instruments, [({"A": 1.0, "B": -1.0}, -90.0 + 50.0)])
    bucket = next(
        each
        for each in PortfolioMarginModel(instruments, held, DERIVE_TEST).breakdown(0).buckets
        if each.name == "A spot -15 % vol none"
    )

    lines = {line.item: int(line.requirement) / SCALE for line in bucket.lines}
    assert lines["other underlyings at their worst"] == pytest.approx(1.5 + 0.2)
    assert bucket.surplus / SCALE == pytest.approx(50.0 - 15.0 - 2.0 - 1.7)


def test_who_holds_nothing_has_one_bucket_and_who_is_not_there_none() -> None:
    """Cash secures, and nothing is to be secured."""
    model = PortfolioMarginModel(SHORT_CALL, Portfolio.of(SHORT_CALL, [({}, 0.1)]), DERIVE_TEST)

    (bucket,) = model.breakdown(0).buckets
    assert (bucket.equity, bucket.requirement) == (10_000_000, 0)
    with pytest.raises(RiskInputError, match="account 1: is not a row of the portfolio"):
        model.breakdown(1)
