"""Logs as a node returns them, encoded by eth_abi from signature and values."""

from __future__ import annotations

from eth_abi.abi import encode
from eth_abi.grammar import TupleType, parse

from keeper.core.facts import BlockHeader, RawLog
from keeper.core.ids import Address, Hash32
from keeper.venues.abi import topic_of

INDEXED = {
    "ProxyCreated(bytes32,address,address)": 3,
    "AddressSet(bytes32,address,address)": 3,
    "PriceOracleUpdated(address,address)": 2,
    "PriceOracleSentinelUpdated(address,address)": 2,
    "Upgraded(address)": 1,
    "ReserveInitialized(address,address,address,address,address)": 2,
    "ReserveDropped(address)": 1,
    "Initialized(address,address,address,address,uint8,string,string,bytes)": 2,
    "CollateralConfigurationChanged(address,uint256,uint256,uint256)": 1,
    "EModeCategoryAdded(uint8,uint256,uint256,uint256,address,string)": 1,
    "EModeAssetCategoryChanged(address,uint8,uint8)": 1,
    "AssetCollateralInEModeChanged(address,uint8,bool)": 1,
    "AssetLtvzeroInEModeChanged(address,uint8,bool)": 1,
    "LiquidationGracePeriodChanged(address,uint40)": 1,
    "LiquidationGracePeriodDisabled(address)": 1,
    "LiquidationProtocolFeeChanged(address,uint256,uint256)": 1,
    "ReserveActive(address,bool)": 1,
    "ReservePaused(address,bool)": 1,
    "ReserveDataUpdated(address,uint256,uint256,uint256,uint256,uint256)": 1,
    "ReserveUsedAsCollateralEnabled(address,address)": 2,
    "ReserveUsedAsCollateralDisabled(address,address)": 2,
    "UserEModeSet(address,uint8)": 1,
    "LiquidationCall(address,address,address,uint256,uint256,address,bool)": 3,
    "Mint(address,address,uint256,uint256,uint256)": 2,
    "Burn(address,address,uint256,uint256,uint256)": 2,
    "BalanceTransfer(address,address,uint256,uint256)": 2,
    "Mint(address,address,uint256,uint256,uint256,uint256,uint256,uint256)": 2,
    "Burn(address,uint256,uint256,uint256,uint256,uint256)": 1,
    "AssetSourceUpdated(address,address)": 2,
    "AnswerUpdated(int256,uint256,uint256)": 2,
}
"""How many of an event's arguments, always the first ones, are topics."""


def types_of(signature: str) -> tuple[str, ...]:
    """Return the argument types of a signature."""
    parsed = parse(signature[signature.index("(") :])
    assert isinstance(parsed, TupleType)
    return tuple(component.to_type_str() for component in parsed.components)


def log_of(address: Address, signature: str, *values: object, log_index: int = 0) -> RawLog:
    """Return the log of an event."""
    types, indexed = types_of(signature), INDEXED[signature]
    topics = [encode([kind], [value]) for kind, value in zip(types[:indexed], values, strict=False)]
    data = encode(types[indexed:], values[indexed:])
    return RawLog(address, (topic_of(signature), *topics), data, log_index, Hash32(bytes([log_index % 256]) * 32))


def address(number: int) -> Address:
    """Return a distinct address."""
    return Address(number.to_bytes(20, "big"))


def header(number: int, timestamp: int = 0) -> BlockHeader:
    """Return a block header."""
    return BlockHeader(number, Hash32(number.to_bytes(32, "big")), Hash32(bytes(32)), timestamp, 0, b"")
