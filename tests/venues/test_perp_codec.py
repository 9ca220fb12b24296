"""Logs of Perpetual Protocol v2 decode to what eth_abi says, and others to the named error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.core.errors import NodeMalformed
from keeper.core.facts import RawLog
from keeper.core.ids import Address, Hash32
from keeper.lab.localchain.artifacts import Artifacts
from keeper.lab.localchain.perp import CURIE, UNISWAP
from keeper.lab.localchain.toolchain import find_node_modules
from keeper.venues.abi import topic_of
from keeper.venues.perp_v2 import codec, events
from keeper.venues.perp_v2.math import TICK_MAX
from tests.venues.event_logs import address, types_of

SOURCE, TRADER, BASE, THIRD = (address(number) for number in (7, 1, 2, 3))
_HASH = Hash32(b"\x22" * 32)
INDEXED = {
    "PoolAdded(address,uint24,address)": 3,
    "StatusUpdated(uint8)": 1,
    "Swap(address,address,int256,int256,uint160,uint128,int24)": 2,
    "FundingUpdated(address,uint256,uint256)": 1,
    "FundingPaymentSettled(address,address,int256)": 2,
    "PositionChanged(address,address,int256,int256,uint256,int256,int256,uint256)": 2,
    "PositionClosed(address,address,int256,int256,int256,int256,uint256)": 2,
    "LiquidityChanged(address,address,address,int24,int24,int256,int256,int128,uint256)": 3,
    "PositionLiquidated(address,address,uint256,uint256,uint256,address)": 2,
    "PnlRealized(address,int256)": 1,
    "Deposited(address,address,uint256)": 2,
    "Withdrawn(address,address,uint256)": 2,
    "CollateralLiquidated(address,address,address,uint256,uint256,uint256,uint24)": 3,
    "BadDebtSettled(address,uint256)": 1,
    "CollateralAdded(address,address,uint24,uint24,uint256)": 1,
    "CollateralRatioChanged(address,uint24)": 1,
    "DiscountRatioChanged(address,uint24)": 1,
    "PriceFeedChanged(address,address)": 1,
    "MmRatioBufferChanged(uint24)": 0,
    "DebtNonSettlementTokenValueRatioChanged(uint24)": 0,
    "LiquidationRatioChanged(uint24)": 0,
    "CLInsuranceFundFeeRatioChanged(uint24)": 0,
    "DebtThresholdChanged(uint256)": 0,
    "CollateralValueDustChanged(uint256)": 0,
    "WhitelistedDebtThresholdChanged(address,uint256)": 0,
    "Paused(address)": 0,
    "Unpaused(address)": 0,
    "LiquidationPenaltyRatioChanged(uint24)": 0,
    "MaxFundingRateChanged(uint24)": 0,
    "TwapIntervalChanged(uint256)": 0,
    "MarkPriceMarketTwapIntervalChanged(uint32)": 0,
    "MarkPricePremiumIntervalChanged(uint32)": 0,
}
"""How many of an event's arguments, always the first ones, are topics."""

CASES: list[tuple[str, tuple[object, ...], events.Change]] = [
    ("PoolAdded(address,uint24,address)", (BASE, 10_000, THIRD), events.PoolAdded(BASE, THIRD)),
    ("StatusUpdated(uint8)", (2,), events.StatusUpdated(2)),
    (
        "Swap(address,address,int256,int256,uint160,uint128,int24)",
        (TRADER, THIRD, -5, 6, 2**100, 7, -TICK_MAX),
        events.Swapped(2**100, -TICK_MAX),
    ),
    ("FundingUpdated(address,uint256,uint256)", (BASE, 4, 5), events.FundingUpdated(BASE, 5)),
    ("FundingPaymentSettled(address,address,int256)", (TRADER, BASE, -9), events.FundingSettled(TRADER, BASE)),
    (
        "PositionChanged(address,address,int256,int256,uint256,int256,int256,uint256)",
        (TRADER, BASE, -1, 2, 3, -4, 5, 6),
        events.PositionChanged(TRADER, BASE, -1, -4),
    ),
    (
        "PositionClosed(address,address,int256,int256,int256,int256,uint256)",
        (TRADER, BASE, -1, 2, -3, 4, 5),
        events.PositionClosed(TRADER, BASE),
    ),
    (
        "LiquidityChanged(address,address,address,int24,int24,int256,int256,int128,uint256)",
        (TRADER, BASE, THIRD, -200, 200, -1, -2, -3, 4),
        events.LiquidityChanged(TRADER, BASE, -3),
    ),
    (
        "PositionLiquidated(address,address,uint256,uint256,uint256,address)",
        (TRADER, BASE, 10, 20, 30, THIRD),
        events.PositionLiquidated(TRADER, BASE, 10, 20, 30, THIRD),
    ),
    ("PnlRealized(address,int256)", (TRADER, -(2**200)), events.PnlRealized(TRADER, -(2**200))),
    ("Deposited(address,address,uint256)", (BASE, TRADER, 8), events.Deposited(BASE, TRADER, 8)),
    ("Withdrawn(address,address,uint256)", (BASE, TRADER, 8), events.Withdrawn(BASE, TRADER, 8)),
    (
        "CollateralLiquidated(address,address,address,uint256,uint256,uint256,uint24)",
        (TRADER, BASE, THIRD, 1, 2, 3, 4),
        events.CollateralLiquidated(TRADER, BASE, THIRD, 1, 2, 3),
    ),
    ("BadDebtSettled(address,uint256)", (TRADER, 8), events.BadDebtSettled(TRADER, 8)),
    (
        "CollateralAdded(address,address,uint24,uint24,uint256)",
        (BASE, THIRD, 700_000, 100_000, 9),
        events.CollateralAdded(BASE, 700_000, 100_000),
    ),
    ("CollateralRatioChanged(address,uint24)", (BASE, 5), events.CollateralRatioChanged(BASE, 5)),
    ("DiscountRatioChanged(address,uint24)", (BASE, 7), events.DiscountRatioChanged(BASE, 7)),
    ("PriceFeedChanged(address,address)", (BASE, THIRD), events.CollateralFeedChanged(BASE)),
    ("MmRatioBufferChanged(uint24)", (2_000,), events.TermsChanged("buffer", 2_000)),
    ("DebtNonSettlementTokenValueRatioChanged(uint24)", (750_000,), events.TermsChanged("debt_ratio", 750_000)),
    ("LiquidationRatioChanged(uint24)", (500_000,), events.TermsChanged("sold", 500_000)),
    ("CLInsuranceFundFeeRatioChanged(uint24)", (30_000,), events.TermsChanged("fee", 30_000)),
    ("DebtThresholdChanged(uint256)", (2**200,), events.TermsChanged("threshold", 2**200)),
    ("CollateralValueDustChanged(uint256)", (5,), events.TermsChanged("dust", 5)),
    ("WhitelistedDebtThresholdChanged(address,uint256)", (TRADER, 9), events.DebtThresholdGiven(TRADER, 9)),
    ("Paused(address)", (TRADER,), events.PauseChanged(paused=True)),
    ("Unpaused(address)", (TRADER,), events.PauseChanged(paused=False)),
    ("LiquidationPenaltyRatioChanged(uint24)", (25_000,), events.ConfigChanged("penalty", 25_000)),
    ("MaxFundingRateChanged(uint24)", (1,), events.ConfigChanged("funding_max", 1)),
    ("TwapIntervalChanged(uint256)", (900,), events.ConfigChanged("twap", 900)),
    ("MarkPriceMarketTwapIntervalChanged(uint32)", (1_800,), events.ConfigChanged("mark_twap", 1_800)),
    ("MarkPricePremiumIntervalChanged(uint32)", (900,), events.ConfigChanged("premium", 900)),
]


def _log(signature: str, values: tuple[Any, ...]) -> RawLog:
    types, indexed = types_of(signature), INDEXED[signature]
    topics = [encode([kind], [value]) for kind, value in zip(types[:indexed], values, strict=False)]
    data = encode(types[indexed:], values[indexed:])
    return RawLog(SOURCE, (topic_of(signature), *topics), data, 41, _HASH)


@pytest.mark.parametrize(("signature", "values", "expected"), CASES, ids=[case[0] for case in CASES])
def test_a_log_encoded_by_eth_abi_is_decoded_to_the_same_values(
    signature: str, values: tuple[object, ...], expected: events.Change
) -> None:
    """Every event of every layout is cut at the right places, signs included."""
    assert codec.decode(_log(signature, values)) == expected


def test_every_followed_event_has_a_case() -> None:
    """No layout is left untested."""
    assert {case[0] for case in CASES} == set(codec.EVENTS) == set(INDEXED)


@settings(max_examples=150)
@given(
    first=st.sampled_from(list(codec.DECODERS)),
    topics=st.lists(st.binary(min_size=32, max_size=32) | st.binary(max_size=40), max_size=3),
    data=st.binary(max_size=300) | st.integers(0, 7).map(lambda words: bytes(32 * words)),
)
def test_arbitrary_bytes_give_a_change_or_the_named_error(first: bytes, topics: list[bytes], data: bytes) -> None:
    """No log, however wrong, gives another exception."""
    try:
        change = codec.decode(RawLog(SOURCE, (first, *topics), data, 3, _HASH))
    except NodeMalformed:
        return
    assert isinstance(change, events.Change)


@pytest.mark.parametrize("signature", list(codec.EVENTS))
def test_a_log_of_another_shape_is_refused(signature: str) -> None:
    """A log with a topic or a word too many is malformed, and the error says where it stood."""
    topics = (topic_of(signature), *[bytes(32)] * INDEXED[signature])
    words = len(types_of(signature)) - INDEXED[signature]
    for log in (
        RawLog(SOURCE, (*topics, bytes(32)), bytes(32 * words), 41, _HASH),
        RawLog(SOURCE, topics, bytes(32 * words + 1), 41, _HASH),
    ):
        with pytest.raises(NodeMalformed, match=r"log 41 of 0x0{38}07 in transaction 0x(22){32}: the event has"):
            codec.decode(log)


def test_a_tick_that_no_pool_has_is_refused() -> None:
    """A price outside what Uniswap computes with would be nonsense in every average after it."""
    signature = "Swap(address,address,int256,int256,uint160,uint128,int24)"
    with pytest.raises(NodeMalformed, match="no pool has a tick of 887273"):
        codec.decode(_log(signature, (TRADER, THIRD, 0, 0, 1, 1, TICK_MAX + 1)))


@pytest.mark.chain
def test_every_event_is_one_of_the_published_contracts() -> None:
    """Signatures and indexed arguments are those of the npm packages' ABIs."""
    named: dict[Path, tuple[str, ...]] = {
        CURIE: (
            *("ClearingHouse", "AccountBalance", "Exchange", "Vault", "CollateralManager", "ClearingHouseConfig"),
            *("MarketRegistry", "BaseToken"),
        ),
        UNISWAP: ("UniswapV3Pool",),
    }
    published = {
        (f"{entry['name']}({','.join(each['type'] for each in inputs)})", sum(each["indexed"] for each in inputs))
        for package, names in named.items()
        for name in names
        for entry in Artifacts(find_node_modules(), package).load(name).abi
        if entry["type"] == "event" and isinstance(inputs := entry["inputs"], list)
    }
    assert set(INDEXED.items()) <= published


def test_events_that_are_not_followed_decode_to_nothing() -> None:
    """An unknown first topic, or none, is no error."""
    assert codec.decode(RawLog(Address(SOURCE), (bytes(32),), b"", 0, _HASH)) is None
    assert codec.decode(RawLog(Address(SOURCE), (), b"", 0, _HASH)) is None
