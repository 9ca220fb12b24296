"""Logs to changes, by slicing at known offsets: an event's layout is fixed, so decoding it is cutting bytes.

A general ABI decoder interprets the type at run time and costs a hundred times as much; the layouts here are checked
against eth_abi in a property test. Shapes are strict: a log whose topics or data are not what its first topic promises
is :class:`~keeper.core.errors.NodeMalformed`, never a guess. Reading ``int.from_bytes`` and the slices out in each
decoder, rather than through helpers, is what makes it fast.
"""

from __future__ import annotations

from collections.abc import Callable

from keeper.core.errors import NodeMalformed
from keeper.core.facts import RawLog
from keeper.core.ids import Address, to_hex
from keeper.venues.aave_v3.events import (
    ActiveSet,
    AddressSet,
    AnswerUpdated,
    AssetCategorySet,
    CategoryLtvZeroSet,
    CategoryMemberSet,
    CategorySet,
    Change,
    CollateralConfigured,
    CollateralToggled,
    GraceSet,
    Liquidated,
    ModeSet,
    PausedSet,
    ProtocolFeeSet,
    RatesUpdated,
    ReserveDropped,
    ReserveInitialized,
    ScaledBurned,
    ScaledMinted,
    ScaledTransferred,
    SourceSet,
    StableBurned,
    StableMinted,
    TokenInitialized,
    Upgraded,
)
from keeper.venues.abi import WORD, topic_of

BYTE_LIMIT = 1 << 8
RATIO_LIMIT = 1 << 16
TIME_LIMIT = 1 << 40
POOL = b"POOL".ljust(WORD, b"\0")
POOL_CONFIGURATOR = b"POOL_CONFIGURATOR".ljust(WORD, b"\0")
PRICE_ORACLE = b"PRICE_ORACLE".ljust(WORD, b"\0")
PRICE_ORACLE_SENTINEL = b"PRICE_ORACLE_SENTINEL".ljust(WORD, b"\0")

Decoder = Callable[[RawLog], Change]
_TOPIC_LENGTHS = tuple([WORD] * count for count in range(5))
_number = int.from_bytes


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


def _expect(log: RawLog, topics: int, words: int) -> bytes:
    """Return the data of a log that has exactly this shape."""
    data = log.data
    if [len(topic) for topic in log.topics] != _TOPIC_LENGTHS[topics] or len(data) != WORD * words:
        raise _wrong_shape(log, topics, f"{WORD * words}")
    return data


def _expect_dynamic(log: RawLog, topics: int, words: int) -> bytes:
    """Return the data of a log with strings in it: at least this many words, and whole ones."""
    data = log.data
    if [len(topic) for topic in log.topics] != _TOPIC_LENGTHS[topics] or len(data) < WORD * words or len(data) % WORD:
        raise _wrong_shape(log, topics, f"at least {WORD * words}")
    return data


def _wrong_shape(log: RawLog, topics: int, size: str) -> NodeMalformed:
    found = (
        f"{len(log.topics)} topics of {[len(topic) for topic in log.topics]} bytes and {len(log.data)} bytes of data"
    )
    return _malformed(log, f"the event has {topics} topics and {size} bytes of data, not {found}")


def _small(log: RawLog, word: bytes, limit: int) -> int:
    """Return a word that the contract keeps below a limit: a bool, a uint8, a ratio (uint16), a time (uint40)."""
    value = _number(word, "big")
    if value >= limit:
        raise _malformed(log, f"{value} is not below {limit}")
    return value


def _address_named(identifier: bytes) -> Decoder:
    """Return the decoder of ``...Updated(old, new)`` events, which name one identifier."""

    def decode_named(log: RawLog) -> AddressSet:
        _expect(log, 3, 0)
        return AddressSet(identifier, Address(log.topics[2][12:]))

    return decode_named


def _proxy_created(log: RawLog) -> AddressSet:
    _expect(log, 4, 0)
    return AddressSet(log.topics[1], Address(log.topics[2][12:]))


def _address_set(log: RawLog) -> AddressSet:
    _expect(log, 4, 0)
    return AddressSet(log.topics[1], Address(log.topics[3][12:]))


def _upgraded(log: RawLog) -> Upgraded:
    _expect(log, 2, 0)
    return Upgraded(Address(log.topics[1][12:]))


def _reserve_initialized(log: RawLog) -> ReserveInitialized:
    data = _expect(log, 3, 3)
    asset, a_token = Address(log.topics[1][12:]), Address(log.topics[2][12:])
    return ReserveInitialized(asset, a_token, Address(data[12:32]), Address(data[44:64]))


def _reserve_dropped(log: RawLog) -> ReserveDropped:
    _expect(log, 2, 0)
    return ReserveDropped(Address(log.topics[1][12:]))


def _token_initialized(log: RawLog) -> TokenInitialized:
    data = _expect_dynamic(log, 3, 9)
    return TokenInitialized(
        Address(log.topics[1][12:]), Address(log.topics[2][12:]), _small(log, data[64:96], BYTE_LIMIT)
    )


def _collateral_configured(log: RawLog) -> CollateralConfigured:
    data = _expect(log, 2, 3)
    ltv, threshold, bonus = (_small(log, data[at : at + WORD], RATIO_LIMIT) for at in (0, 32, 64))
    return CollateralConfigured(Address(log.topics[1][12:]), ltv, threshold, bonus)


def _category_set(log: RawLog) -> CategorySet:
    data = _expect_dynamic(log, 2, 6)
    ltv, threshold, bonus = (_small(log, data[at : at + WORD], RATIO_LIMIT) for at in (0, 32, 64))
    category = _small(log, log.topics[1], BYTE_LIMIT)
    return CategorySet(category, ltv, threshold, bonus, Address(data[108:128]))


def _asset_category_set(log: RawLog) -> AssetCategorySet:
    data = _expect(log, 2, 2)
    return AssetCategorySet(Address(log.topics[1][12:]), _small(log, data[32:], BYTE_LIMIT))


def _category_member_set(log: RawLog) -> CategoryMemberSet:
    data = _expect(log, 2, 2)
    category, member = _small(log, data[:32], BYTE_LIMIT), bool(_small(log, data[32:], 2))
    return CategoryMemberSet(Address(log.topics[1][12:]), category, member)


def _category_ltv_zero_set(log: RawLog) -> CategoryLtvZeroSet:
    data = _expect(log, 2, 2)
    category, zero = _small(log, data[:32], BYTE_LIMIT), bool(_small(log, data[32:], 2))
    return CategoryLtvZeroSet(Address(log.topics[1][12:]), category, zero)


def _grace_set(log: RawLog) -> GraceSet:
    data = _expect(log, 2, 1)
    return GraceSet(Address(log.topics[1][12:]), _small(log, data, TIME_LIMIT))


def _grace_ended(log: RawLog) -> GraceSet:
    _expect(log, 2, 0)
    return GraceSet(Address(log.topics[1][12:]), 0)


def _protocol_fee_set(log: RawLog) -> ProtocolFeeSet:
    data = _expect(log, 2, 2)
    return ProtocolFeeSet(Address(log.topics[1][12:]), _small(log, data[32:], RATIO_LIMIT))


def _active_set(log: RawLog) -> ActiveSet:
    data = _expect(log, 2, 1)
    return ActiveSet(Address(log.topics[1][12:]), bool(_small(log, data, 2)))


def _paused_set(log: RawLog) -> PausedSet:
    data = _expect(log, 2, 1)
    return PausedSet(Address(log.topics[1][12:]), bool(_small(log, data, 2)))


def _rates_updated(log: RawLog) -> RatesUpdated:
    data = _expect(log, 2, 5)
    return RatesUpdated(
        Address(log.topics[1][12:]),
        _number(data[:32], "big"),
        _number(data[64:96], "big"),
        _number(data[96:128], "big"),
        _number(data[128:], "big"),
    )


def _collateral_enabled(log: RawLog) -> CollateralToggled:
    _expect(log, 3, 0)
    return CollateralToggled(Address(log.topics[1][12:]), Address(log.topics[2][12:]), enabled=True)


def _collateral_disabled(log: RawLog) -> CollateralToggled:
    _expect(log, 3, 0)
    return CollateralToggled(Address(log.topics[1][12:]), Address(log.topics[2][12:]), enabled=False)


def _mode_set(log: RawLog) -> ModeSet:
    data = _expect(log, 2, 1)
    return ModeSet(Address(log.topics[1][12:]), _small(log, data, BYTE_LIMIT))


def _liquidated(log: RawLog) -> Liquidated:
    data = _expect(log, 4, 4)
    _, collateral, debt, user = log.topics
    return Liquidated(
        Address(collateral[12:]),
        Address(debt[12:]),
        Address(user[12:]),
        _number(data[:32], "big"),
        _number(data[32:64], "big"),
        Address(data[76:96]),
        bool(_small(log, data[96:], 2)),
    )


def _scaled_minted(log: RawLog) -> ScaledMinted:
    data = _expect(log, 3, 3)
    user = Address(log.topics[2][12:])
    return ScaledMinted(user, _number(data[:32], "big"), _number(data[32:64], "big"), _number(data[64:], "big"))


def _scaled_burned(log: RawLog) -> ScaledBurned:
    data = _expect(log, 3, 3)
    user = Address(log.topics[1][12:])
    return ScaledBurned(user, _number(data[:32], "big"), _number(data[32:64], "big"), _number(data[64:], "big"))


def _scaled_transferred(log: RawLog) -> ScaledTransferred:
    data = _expect(log, 3, 2)
    return ScaledTransferred(Address(log.topics[1][12:]), Address(log.topics[2][12:]), _number(data[:32], "big"))


def _stable_minted(log: RawLog) -> StableMinted:
    data = _expect(log, 3, 6)
    return StableMinted(Address(log.topics[2][12:]), _number(data[:32], "big"), _number(data[96:128], "big"))


def _stable_burned(log: RawLog) -> StableBurned:
    data = _expect(log, 2, 5)
    return StableBurned(Address(log.topics[1][12:]), _number(data[:32], "big"))


def _source_set(log: RawLog) -> SourceSet:
    _expect(log, 3, 0)
    return SourceSet(Address(log.topics[1][12:]), Address(log.topics[2][12:]))


def _answer_updated(log: RawLog) -> AnswerUpdated:
    _expect(log, 3, 1)
    return AnswerUpdated(_number(log.topics[1], "big", signed=True))


EVENTS: dict[str, Decoder] = {
    "ProxyCreated(bytes32,address,address)": _proxy_created,
    "AddressSet(bytes32,address,address)": _address_set,
    "PriceOracleUpdated(address,address)": _address_named(PRICE_ORACLE),
    "PriceOracleSentinelUpdated(address,address)": _address_named(PRICE_ORACLE_SENTINEL),
    "Upgraded(address)": _upgraded,
    "ReserveInitialized(address,address,address,address,address)": _reserve_initialized,
    "ReserveDropped(address)": _reserve_dropped,
    "Initialized(address,address,address,address,uint8,string,string,bytes)": _token_initialized,
    "CollateralConfigurationChanged(address,uint256,uint256,uint256)": _collateral_configured,
    "EModeCategoryAdded(uint8,uint256,uint256,uint256,address,string)": _category_set,
    "EModeAssetCategoryChanged(address,uint8,uint8)": _asset_category_set,
    "AssetCollateralInEModeChanged(address,uint8,bool)": _category_member_set,
    "AssetLtvzeroInEModeChanged(address,uint8,bool)": _category_ltv_zero_set,
    "LiquidationGracePeriodChanged(address,uint40)": _grace_set,
    "LiquidationGracePeriodDisabled(address)": _grace_ended,
    "LiquidationProtocolFeeChanged(address,uint256,uint256)": _protocol_fee_set,
    "ReserveActive(address,bool)": _active_set,
    "ReservePaused(address,bool)": _paused_set,
    "ReserveDataUpdated(address,uint256,uint256,uint256,uint256,uint256)": _rates_updated,
    "ReserveUsedAsCollateralEnabled(address,address)": _collateral_enabled,
    "ReserveUsedAsCollateralDisabled(address,address)": _collateral_disabled,
    "UserEModeSet(address,uint8)": _mode_set,
    "LiquidationCall(address,address,address,uint256,uint256,address,bool)": _liquidated,
    "Mint(address,address,uint256,uint256,uint256)": _scaled_minted,
    "Burn(address,address,uint256,uint256,uint256)": _scaled_burned,
    "BalanceTransfer(address,address,uint256,uint256)": _scaled_transferred,
    "Mint(address,address,uint256,uint256,uint256,uint256,uint256,uint256)": _stable_minted,
    "Burn(address,uint256,uint256,uint256,uint256,uint256)": _stable_burned,
    "AssetSourceUpdated(address,address)": _source_set,
    "AnswerUpdated(int256,uint256,uint256)": _answer_updated,
}
DECODERS: dict[bytes, Decoder] = {topic_of(signature): decoder for signature, decoder in EVENTS.items()}
FEED_TOPICS = frozenset(map(topic_of, ("AssetSourceUpdated(address,address)", "AnswerUpdated(int256,uint256,uint256)")))
