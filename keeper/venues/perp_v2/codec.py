"""Logs to changes, by slicing at known offsets, as :mod:`keeper.venues.aave_v3.codec` does it.

Shapes are strict: a log whose topics or data are not what its first topic promises is
:class:`~keeper.core.errors.NodeMalformed`, never a guess.
"""

from __future__ import annotations

from collections.abc import Callable

from keeper.core.errors import NodeMalformed
from keeper.core.facts import RawLog
from keeper.core.ids import Address, to_hex
from keeper.venues.abi import WORD, topic_of
from keeper.venues.perp_v2.events import (
    BadDebtSettled,
    Change,
    CollateralAdded,
    CollateralFeedChanged,
    CollateralLiquidated,
    CollateralRatioChanged,
    ConfigChanged,
    DebtThresholdGiven,
    Deposited,
    DiscountRatioChanged,
    FundingSettled,
    FundingUpdated,
    LiquidityChanged,
    PauseChanged,
    PnlRealized,
    PoolAdded,
    PositionChanged,
    PositionClosed,
    PositionLiquidated,
    StatusUpdated,
    Swapped,
    TermsChanged,
    Withdrawn,
)
from keeper.venues.perp_v2.math import RATIO, TICK_MAX

RATIO_LIMIT = 1 << 24
SHARE_LIMIT = RATIO + 1
AMOUNT_LIMIT = 1 << 256
SECONDS_LIMIT = 1 << 32
STATUS_LIMIT = 3

Decoder = Callable[[RawLog], Change]


def decode(log: RawLog) -> Change | None:
    """Return the change that a log states, ``None`` for an event that is not followed.

    Raises:
        NodeMalformed: the log's shape is not that of its event.
    """
    decoder = DECODERS.get(log.topics[0]) if log.topics else None
    return None if decoder is None else decoder(log)


def _malformed(log: RawLog, reason: str) -> NodeMalformed:
    place = f"log {log.log_index} of {to_hex(log.address)} in transaction {to_hex(log.tx_hash)}"
    return NodeMalformed(place, reason, "the provider's answer was not used; compare it with another provider's")


def _words(log: RawLog, topics: int, words: int) -> list[bytes]:
    """Return the data of a log that has exactly this shape, word by word."""
    data = log.data
    if [len(topic) for topic in log.topics] != [WORD] * topics or len(data) != WORD * words:
        sizes = [len(topic) for topic in log.topics]
        raise _malformed(
            log, f"the event has {topics} topics and {WORD * words} bytes, not topics of {sizes} and {len(data)} bytes"
        )
    return [data[at : at + WORD] for at in range(0, len(data), WORD)]


def _unsigned(word: bytes) -> int:
    return int.from_bytes(word, "big")


def _signed(word: bytes) -> int:
    return int.from_bytes(word, "big", signed=True)


def _small(log: RawLog, word: bytes, limit: int) -> int:
    """Return a word that the contract keeps below a limit."""
    value = _unsigned(word)
    if value >= limit:
        raise _malformed(log, f"{value} is not below {limit}")
    return value


def _topic(log: RawLog, place: int) -> Address:
    return Address(log.topics[place][12:])


def _pool_added(log: RawLog) -> PoolAdded:
    _words(log, 4, 0)
    return PoolAdded(_topic(log, 1), _topic(log, 3))


def _status_updated(log: RawLog) -> StatusUpdated:
    _words(log, 2, 0)
    return StatusUpdated(_small(log, log.topics[1], STATUS_LIMIT))


def _swapped(log: RawLog) -> Swapped:
    words = _words(log, 3, 5)
    tick = _signed(words[4])
    if abs(tick) > TICK_MAX:
        raise _malformed(log, f"no pool has a tick of {tick}")
    return Swapped(_small(log, words[2], 1 << 160), tick)


def _funding_updated(log: RawLog) -> FundingUpdated:
    words = _words(log, 2, 2)
    return FundingUpdated(_topic(log, 1), _unsigned(words[1]))


def _funding_settled(log: RawLog) -> FundingSettled:
    _words(log, 3, 1)
    return FundingSettled(_topic(log, 1), _topic(log, 2))


def _position_changed(log: RawLog) -> PositionChanged:
    words = _words(log, 3, 6)
    return PositionChanged(_topic(log, 1), _topic(log, 2), _signed(words[0]), _signed(words[3]))


def _position_closed(log: RawLog) -> PositionClosed:
    _words(log, 3, 5)
    return PositionClosed(_topic(log, 1), _topic(log, 2))


def _liquidity_changed(log: RawLog) -> LiquidityChanged:
    words = _words(log, 4, 6)
    return LiquidityChanged(_topic(log, 1), _topic(log, 2), _signed(words[4]))


def _position_liquidated(log: RawLog) -> PositionLiquidated:
    notional, size, penalty, liquidator = _words(log, 3, 4)
    trader, base, by = _topic(log, 1), _topic(log, 2), Address(liquidator[12:])
    return PositionLiquidated(trader, base, _unsigned(notional), _unsigned(size), _unsigned(penalty), by)


def _pnl_realized(log: RawLog) -> PnlRealized:
    (amount,) = _words(log, 2, 1)
    return PnlRealized(_topic(log, 1), _signed(amount))


def _deposited(log: RawLog) -> Deposited:
    (amount,) = _words(log, 3, 1)
    return Deposited(_topic(log, 1), _topic(log, 2), _unsigned(amount))


def _withdrawn(log: RawLog) -> Withdrawn:
    (amount,) = _words(log, 3, 1)
    return Withdrawn(_topic(log, 1), _topic(log, 2), _unsigned(amount))


def _collateral_liquidated(log: RawLog) -> CollateralLiquidated:
    collateral, repaid, fee, _ = (_unsigned(word) for word in _words(log, 4, 4))
    return CollateralLiquidated(_topic(log, 1), _topic(log, 2), _topic(log, 3), collateral, repaid, fee)


def _bad_debt_settled(log: RawLog) -> BadDebtSettled:
    (amount,) = _words(log, 2, 1)
    return BadDebtSettled(_topic(log, 1), _unsigned(amount))


def _collateral_added(log: RawLog) -> CollateralAdded:
    words = _words(log, 2, 4)
    ratio, discount = (_small(log, each, SHARE_LIMIT) for each in words[1:3])
    return CollateralAdded(_topic(log, 1), ratio, discount)


def _collateral_ratio_changed(log: RawLog) -> CollateralRatioChanged:
    (ratio,) = _words(log, 2, 1)
    return CollateralRatioChanged(_topic(log, 1), _small(log, ratio, RATIO_LIMIT))


def _discount_ratio_changed(log: RawLog) -> DiscountRatioChanged:
    (discount,) = _words(log, 2, 1)
    return DiscountRatioChanged(_topic(log, 1), _small(log, discount, SHARE_LIMIT))


def _collateral_feed_changed(log: RawLog) -> CollateralFeedChanged:
    _words(log, 2, 1)
    return CollateralFeedChanged(_topic(log, 1))


def _debt_threshold_given(log: RawLog) -> DebtThresholdGiven:
    trader, amount = _words(log, 1, 2)
    return DebtThresholdGiven(Address(trader[12:]), _unsigned(amount))


def _pause_changed(*, paused: bool) -> Decoder:
    def decode_pause(log: RawLog) -> PauseChanged:
        _words(log, 1, 1)
        return PauseChanged(paused)

    return decode_pause


def _agreed(name: str, limit: int) -> Decoder:
    """Return the decoder of an event that states one figure of the terms of a sale."""

    def decode_figure(log: RawLog) -> TermsChanged:
        (value,) = _words(log, 1, 1)
        return TermsChanged(name, _small(log, value, limit))

    return decode_figure


def _configured(name: str, limit: int) -> Decoder:
    """Return the decoder of an event that states one figure of the configuration."""

    def decode_figure(log: RawLog) -> ConfigChanged:
        (value,) = _words(log, 1, 1)
        return ConfigChanged(name, _small(log, value, limit))

    return decode_figure


EVENTS: dict[str, Decoder] = {
    "PoolAdded(address,uint24,address)": _pool_added,
    "StatusUpdated(uint8)": _status_updated,
    "Swap(address,address,int256,int256,uint160,uint128,int24)": _swapped,
    "FundingUpdated(address,uint256,uint256)": _funding_updated,
    "FundingPaymentSettled(address,address,int256)": _funding_settled,
    "PositionChanged(address,address,int256,int256,uint256,int256,int256,uint256)": _position_changed,
    "PositionClosed(address,address,int256,int256,int256,int256,uint256)": _position_closed,
    "LiquidityChanged(address,address,address,int24,int24,int256,int256,int128,uint256)": _liquidity_changed,
    "PositionLiquidated(address,address,uint256,uint256,uint256,address)": _position_liquidated,
    "PnlRealized(address,int256)": _pnl_realized,
    "Deposited(address,address,uint256)": _deposited,
    "Withdrawn(address,address,uint256)": _withdrawn,
    "CollateralLiquidated(address,address,address,uint256,uint256,uint256,uint24)": _collateral_liquidated,
    "BadDebtSettled(address,uint256)": _bad_debt_settled,
    "CollateralAdded(address,address,uint24,uint24,uint256)": _collateral_added,
    "CollateralRatioChanged(address,uint24)": _collateral_ratio_changed,
    "DiscountRatioChanged(address,uint24)": _discount_ratio_changed,
    "PriceFeedChanged(address,address)": _collateral_feed_changed,
    "MmRatioBufferChanged(uint24)": _agreed("buffer", RATIO_LIMIT),
    "DebtNonSettlementTokenValueRatioChanged(uint24)": _agreed("debt_ratio", SHARE_LIMIT),
    "LiquidationRatioChanged(uint24)": _agreed("sold", SHARE_LIMIT),
    "CLInsuranceFundFeeRatioChanged(uint24)": _agreed("fee", SHARE_LIMIT),
    "DebtThresholdChanged(uint256)": _agreed("threshold", AMOUNT_LIMIT),
    "CollateralValueDustChanged(uint256)": _agreed("dust", AMOUNT_LIMIT),
    "WhitelistedDebtThresholdChanged(address,uint256)": _debt_threshold_given,
    "Paused(address)": _pause_changed(paused=True),
    "Unpaused(address)": _pause_changed(paused=False),
    "LiquidationPenaltyRatioChanged(uint24)": _configured("penalty", RATIO_LIMIT),
    "MaxFundingRateChanged(uint24)": _configured("funding_max", RATIO_LIMIT),
    "TwapIntervalChanged(uint256)": _configured("twap", SECONDS_LIMIT),
    "MarkPriceMarketTwapIntervalChanged(uint32)": _configured("mark_twap", SECONDS_LIMIT),
    "MarkPricePremiumIntervalChanged(uint32)": _configured("premium", SECONDS_LIMIT),
}
DECODERS: dict[bytes, Decoder] = {topic_of(signature): decoder for signature, decoder in EVENTS.items()}
