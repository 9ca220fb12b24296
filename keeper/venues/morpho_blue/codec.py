"""Logs to changes, by slicing at known offsets, as :mod:`keeper.venues.aave_v3.codec` does it and for its reasons.

Every event but ``SetFeeRecipient`` carries the market's id as its first indexed argument, so logs of the contract's
other markets (a thousand of them) are told from ours by one comparison, before anything is decoded.
"""

from __future__ import annotations

from collections.abc import Callable

from keeper.core.errors import NodeMalformed
from keeper.core.facts import RawLog
from keeper.core.ids import Address, Hash32, to_hex
from keeper.venues.abi import WORD, topic_of
from keeper.venues.morpho_blue.events import (
    Authorized,
    Borrowed,
    Change,
    CollateralSupplied,
    CollateralWithdrawn,
    FeeRecipientSet,
    FeeSet,
    InterestAccrued,
    Liquidated,
    MarketCreated,
    PreLiquidated,
    Repaid,
    Supplied,
    Withdrawn,
)

Decoder = Callable[[RawLog], Change]
_number = int.from_bytes


def decode(log: RawLog, market: Hash32) -> Change | None:
    """Return the change that a log states of a market, ``None`` for another market's or an event not followed.

    Raises:
        NodeMalformed: the log's shape is not that of its event.
    """
    decoder = DECODERS.get(log.topics[0]) if log.topics else None
    if decoder is None or (decoder is not _fee_recipient_set and log.topics[1:2] != (market,)):
        return None
    return decoder(log)


def _expect(log: RawLog, topics: int, words: int) -> bytes:
    """Return the data of a log that has exactly this shape."""
    data = log.data
    if len(log.topics) != topics or len(data) != WORD * words or any(len(topic) != WORD for topic in log.topics):
        place = f"log {log.log_index} of {to_hex(log.address)} in transaction {to_hex(log.tx_hash)}"
        lengths = [len(topic) for topic in log.topics]
        found = f"{len(lengths)} topics of {lengths} bytes and {len(data)} bytes of data"
        reason = f"the event has {topics} topics and {WORD * words} bytes of data, not {found}"
        raise NodeMalformed(place, reason, "the provider's answer was not used; compare it with another provider's")
    return data


def _words(data: bytes, first: int = 0) -> list[int]:
    return [_number(data[at : at + WORD], "big") for at in range(WORD * first, len(data), WORD)]


def _market_created(log: RawLog) -> MarketCreated:
    data = _expect(log, 2, 5)
    loan, collateral, oracle, irm = (Address(data[at + 12 : at + WORD]) for at in range(0, 4 * WORD, WORD))
    return MarketCreated(loan, collateral, oracle, irm, _number(data[4 * WORD :], "big"))


def _fee_set(log: RawLog) -> FeeSet:
    return FeeSet(_number(_expect(log, 2, 1), "big"))


def _fee_recipient_set(log: RawLog) -> FeeRecipientSet:
    _expect(log, 2, 0)
    return FeeRecipientSet(Address(log.topics[1][12:]))


def _interest_accrued(log: RawLog) -> InterestAccrued:
    return InterestAccrued(*_words(_expect(log, 2, 3)))


def _supplied(log: RawLog) -> Supplied:
    data = _expect(log, 4, 2)
    return Supplied(Address(log.topics[3][12:]), *_words(data))


def _repaid(log: RawLog) -> Repaid:
    data = _expect(log, 4, 2)
    return Repaid(Address(log.topics[3][12:]), *_words(data))


def _withdrawn(log: RawLog) -> Withdrawn:
    data = _expect(log, 4, 3)
    return Withdrawn(Address(log.topics[2][12:]), *_words(data, 1))


def _borrowed(log: RawLog) -> Borrowed:
    data = _expect(log, 4, 3)
    return Borrowed(Address(log.topics[2][12:]), *_words(data, 1))


def _collateral_supplied(log: RawLog) -> CollateralSupplied:
    data = _expect(log, 4, 1)
    return CollateralSupplied(Address(log.topics[3][12:]), _number(data, "big"))


def _collateral_withdrawn(log: RawLog) -> CollateralWithdrawn:
    data = _expect(log, 4, 2)
    return CollateralWithdrawn(Address(log.topics[2][12:]), _number(data[WORD:], "big"))


def _liquidated(log: RawLog) -> Liquidated:
    data = _expect(log, 4, 5)
    _, _, liquidator, account = log.topics
    return Liquidated(Address(liquidator[12:]), Address(account[12:]), *_words(data))


EVENTS: dict[str, Decoder] = {
    "CreateMarket(bytes32,(address,address,address,address,uint256))": _market_created,
    "SetFee(bytes32,uint256)": _fee_set,
    "SetFeeRecipient(address)": _fee_recipient_set,
    "AccrueInterest(bytes32,uint256,uint256,uint256)": _interest_accrued,
    "Supply(bytes32,address,address,uint256,uint256)": _supplied,
    "Withdraw(bytes32,address,address,address,uint256,uint256)": _withdrawn,
    "Borrow(bytes32,address,address,address,uint256,uint256)": _borrowed,
    "Repay(bytes32,address,address,uint256,uint256)": _repaid,
    "SupplyCollateral(bytes32,address,address,uint256)": _collateral_supplied,
    "WithdrawCollateral(bytes32,address,address,address,uint256)": _collateral_withdrawn,
    "Liquidate(bytes32,address,address,uint256,uint256,uint256,uint256,uint256)": _liquidated,
}
DECODERS: dict[bytes, Decoder] = {topic_of(signature): decoder for signature, decoder in EVENTS.items()}

SET_AUTHORIZATION = topic_of("SetAuthorization(address,address,address,bool)")
PRE_LIQUIDATE = topic_of("PreLiquidate(bytes32,address,address,uint256,uint256,uint256)")


def decode_authorization(log: RawLog, contract: Address) -> Authorized | None:
    """Return what a log of Morpho says of a pre-liquidation contract's authority, ``None`` for any other log.

    Raises:
        NodeMalformed: the log's shape is not that of its event.
    """
    if log.topics[:1] != (SET_AUTHORIZATION,):
        return None
    allowed = _number(_expect(log, 4, 1), "big")
    _, _, account, authorized = log.topics
    return Authorized(Address(account[12:]), bool(allowed)) if authorized[12:] == contract else None


def decode_pre_liquidation(log: RawLog, market: Hash32) -> PreLiquidated | None:
    """Return the pre-liquidation that a log of the contract states, ``None`` for any other log.

    Raises:
        NodeMalformed: the log's shape is not that of its event.
    """
    if log.topics[:2] != (PRE_LIQUIDATE, market):
        return None
    data = _expect(log, 4, 3)
    _, _, liquidator, account = log.topics
    return PreLiquidated(Address(liquidator[12:]), Address(account[12:]), *_words(data))
