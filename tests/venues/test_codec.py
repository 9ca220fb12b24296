"""Decoding by slicing says what eth_abi says, and refuses what an event cannot look like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.core.errors import NodeMalformed
from keeper.core.facts import RawLog
from keeper.core.ids import Hash32
from keeper.lab.localchain.aave_sources import v36_artifacts
from keeper.lab.localchain.artifacts import Artifacts
from keeper.lab.localchain.toolchain import find_node_modules
from keeper.venues.aave_v3 import codec, events
from keeper.venues.abi import topic_of
from tests.venues.event_logs import INDEXED, address, log_of, types_of

TOKEN = address(7)
words = st.integers(min_value=0, max_value=2**256 - 1)
ratios = st.integers(min_value=0, max_value=2**16 - 1)
by_type: dict[str, st.SearchStrategy[object]] = {
    "address": st.binary(min_size=20, max_size=20),
    "bytes32": st.binary(min_size=32, max_size=32),
    "uint256": words,
    "int256": st.integers(min_value=-(2**255), max_value=2**255 - 1),
    "uint40": st.integers(min_value=0, max_value=2**40 - 1),
    "uint8": st.integers(min_value=0, max_value=255),
    "bool": st.booleans(),
    "string": st.text(),
    "bytes": st.binary(),
}
OF_RATIOS = (
    "CollateralConfigurationChanged(address,uint256,uint256,uint256)",
    "EModeCategoryAdded(uint8,uint256,uint256,uint256,address,string)",
    "LiquidationProtocolFeeChanged(address,uint256,uint256)",
)
EXPECTED: dict[str, Callable[..., events.Change]] = {
    "ProxyCreated(bytes32,address,address)": lambda i, proxy, _: events.AddressSet(i, proxy),
    "AddressSet(bytes32,address,address)": lambda i, _, new: events.AddressSet(i, new),
    "PriceOracleUpdated(address,address)": lambda _, new: events.AddressSet(codec.PRICE_ORACLE, new),
    "PriceOracleSentinelUpdated(address,address)": lambda _, new: events.AddressSet(codec.PRICE_ORACLE_SENTINEL, new),
    "Upgraded(address)": events.Upgraded,
    "ReserveInitialized(address,address,address,address,address)": lambda *a: events.ReserveInitialized(*a[:4]),
    "ReserveDropped(address)": events.ReserveDropped,
    "Initialized(address,address,address,address,uint8,string,string,bytes)": lambda *a: events.TokenInitialized(
        a[0], a[1], a[4]
    ),
    "CollateralConfigurationChanged(address,uint256,uint256,uint256)": events.CollateralConfigured,
    "EModeCategoryAdded(uint8,uint256,uint256,uint256,address,string)": lambda *a: events.CategorySet(*a[:5]),
    "EModeAssetCategoryChanged(address,uint8,uint8)": lambda asset, _, new: events.AssetCategorySet(asset, new),
    "AssetCollateralInEModeChanged(address,uint8,bool)": events.CategoryMemberSet,
    "AssetLtvzeroInEModeChanged(address,uint8,bool)": events.CategoryLtvZeroSet,
    "LiquidationGracePeriodChanged(address,uint40)": events.GraceSet,
    "LiquidationGracePeriodDisabled(address)": lambda asset: events.GraceSet(asset, 0),
    "LiquidationProtocolFeeChanged(address,uint256,uint256)": lambda asset, _, new: events.ProtocolFeeSet(asset, new),
    "ReserveActive(address,bool)": events.ActiveSet,
    "ReservePaused(address,bool)": events.PausedSet,
    "ReserveDataUpdated(address,uint256,uint256,uint256,uint256,uint256)": lambda *a: events.RatesUpdated(
        a[0], a[1], a[3], a[4], a[5]
    ),
    "ReserveUsedAsCollateralEnabled(address,address)": lambda asset, user: events.CollateralToggled(
        asset, user, enabled=True
    ),
    "ReserveUsedAsCollateralDisabled(address,address)": lambda asset, user: events.CollateralToggled(
        asset, user, enabled=False
    ),
    "UserEModeSet(address,uint8)": events.ModeSet,
    "LiquidationCall(address,address,address,uint256,uint256,address,bool)": events.Liquidated,
    "Mint(address,address,uint256,uint256,uint256)": lambda *a: events.ScaledMinted(*a[1:]),
    "Burn(address,address,uint256,uint256,uint256)": lambda *a: events.ScaledBurned(a[0], *a[2:]),
    "BalanceTransfer(address,address,uint256,uint256)": lambda *a: events.ScaledTransferred(*a[:3]),
    "Mint(address,address,uint256,uint256,uint256,uint256,uint256,uint256)": lambda *a: events.StableMinted(
        a[1], a[2], a[5]
    ),
    "Burn(address,uint256,uint256,uint256,uint256,uint256)": lambda *a: events.StableBurned(*a[:2]),
    "AssetSourceUpdated(address,address)": events.SourceSet,
    "AnswerUpdated(int256,uint256,uint256)": lambda answer, *_: events.AnswerUpdated(answer),
}
SINCE_3_1 = (
    *("AssetCollateralInEModeChanged(address,uint8,bool)", "AssetLtvzeroInEModeChanged(address,uint8,bool)"),
    *("LiquidationGracePeriodChanged(address,uint40)", "LiquidationGracePeriodDisabled(address)"),
)
PUBLISHED = (
    *("PoolAddressesProvider", "Pool", "PoolConfigurator", "AToken", "StableDebtToken", "VariableDebtToken"),
    *("AaveOracle", "BaseUpgradeabilityProxy", "AggregatorInterface"),
)


def _arguments(signature: str) -> st.SearchStrategy[tuple[object, ...]]:
    kinds = types_of(signature)
    return st.tuples(*(ratios if signature in OF_RATIOS and kind == "uint256" else by_type[kind] for kind in kinds))


@pytest.mark.parametrize("signature", list(codec.EVENTS))
@settings(max_examples=40)
@given(data=st.data())
def test_a_log_encoded_by_eth_abi_is_decoded_to_the_same_values(signature: str, data: st.DataObject) -> None:
    """Every event of every layout is cut at the right places."""
    values = data.draw(_arguments(signature))
    assert codec.decode(log_of(TOKEN, signature, *values)) == EXPECTED[signature](*values)


@pytest.mark.slow
@settings(max_examples=300)
@given(
    first=st.sampled_from(list(codec.DECODERS)),
    topics=st.lists(st.binary(min_size=32, max_size=32) | st.binary(max_size=40), max_size=3),
    data=st.binary(max_size=400) | st.integers(0, 12).map(lambda words: bytes(32 * words)),
)
def test_arbitrary_bytes_give_a_change_or_the_named_error(first: bytes, topics: list[bytes], data: bytes) -> None:
    """No log, however wrong, gives another exception."""
    log = RawLog(TOKEN, (first, *topics), data, 3, Hash32(bytes(32)))
    try:
        change = codec.decode(log)
    except NodeMalformed:
        return
    assert isinstance(change, events.Change)


@pytest.mark.parametrize("signature", list(codec.EVENTS))
def test_a_missing_topic_is_refused(signature: str) -> None:
    """A log that lost a topic is malformed, and the error says where it stood."""
    whole = RawLog(TOKEN, (topic_of(signature), *[bytes(32)] * (INDEXED[signature] - 1)), bytes(288), 41, _HASH)
    with pytest.raises(NodeMalformed, match=r"log 41 of 0x0{38}07 in transaction 0x(22){32}: the event has"):
        codec.decode(whole)


@pytest.mark.parametrize("signature", list(codec.EVENTS))
def test_data_of_another_length_is_refused(signature: str) -> None:
    """Truncated data is malformed."""
    log = RawLog(TOKEN, (topic_of(signature), *[bytes(32)] * INDEXED[signature]), bytes(31), 0, _HASH)
    with pytest.raises(NodeMalformed, match="bytes of data"):
        codec.decode(log)


def test_a_ratio_that_no_contract_allows_is_refused() -> None:
    """Ratios are uint16 in the contract's storage."""
    log = log_of(TOKEN, "LiquidationProtocolFeeChanged(address,uint256,uint256)", TOKEN, 0, 2**16)
    with pytest.raises(NodeMalformed, match="65536 is not below 65536"):
        codec.decode(log)


def test_events_that_are_not_followed_decode_to_nothing() -> None:
    """An unknown first topic, or none, is no error."""
    assert codec.decode(RawLog(TOKEN, (bytes(32),), b"", 0, _HASH)) is None
    assert codec.decode(RawLog(TOKEN, (), b"", 0, _HASH)) is None


def test_every_event_is_one_of_the_published_contracts() -> None:
    """Signatures and indexed arguments are those of the npm package's ABIs."""
    artifacts = Artifacts(find_node_modules())
    published = {
        (_signature(entry), sum(bool(each["indexed"]) for each in _inputs(entry)))
        for name in PUBLISHED
        for entry in artifacts.load(name).abi
        if entry["type"] == "event"
    }
    mine = {(signature, INDEXED[signature]) for signature in codec.EVENTS}
    assert {signature for signature, _ in mine - published} == set(SINCE_3_1)


@pytest.mark.slow
def test_every_later_event_is_one_that_version_3_6_declares() -> None:
    """Signatures and indexed arguments are those of the published sources, compiled."""
    configurator = v36_artifacts(find_node_modules())["PoolConfiguratorInstance"]
    declared = {
        (_signature(entry), sum(bool(each["indexed"]) for each in _inputs(entry)))
        for entry in configurator.abi
        if entry["type"] == "event"
    }
    assert {(signature, INDEXED[signature]) for signature in SINCE_3_1} <= declared


def _signature(entry: dict[str, object]) -> str:
    return f"{entry['name']}({','.join(each['type'] for each in _inputs(entry))})"


def _inputs(entry: dict[str, Any]) -> list[dict[str, Any]]:
    inputs: list[dict[str, Any]] = entry["inputs"]
    return inputs


_HASH = Hash32(b"\x22" * 32)
