"""Calldata equals eth_abi's, and revert data gets the contract's own name."""

from __future__ import annotations

from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.ids import Address
from keeper.core.units import BaseAmount, TokenAmount
from keeper.core.venue import Preview
from keeper.lab.localchain.artifacts import Artifacts
from keeper.lab.localchain.toolchain import find_node_modules
from keeper.venues import abi
from keeper.venues.aave_v3 import calls, reads
from tests.venues.event_logs import address

POOL = address(1)
addresses = st.binary(min_size=20, max_size=20).map(Address)
covers = st.integers(min_value=0, max_value=2**256 - 1)
NOTHING = TokenAmount(0)
WORTHLESS = BaseAmount(0)


@given(addresses, addresses, addresses, covers)
def test_liquidation_calldata_equals_eth_abi(debt: Address, collateral: Address, account: Address, cover: int) -> None:
    """Collateral first, then debt, account, cover, and the underlying is received."""
    preview = Preview(
        debt, collateral, TokenAmount(cover), NOTHING, NOTHING, NOTHING, WORTHLESS, WORTHLESS, WORTHLESS, None, None
    )
    call = calls.liquidation_call(POOL, account, preview)
    types = ["address", "address", "address", "uint256", "bool"]
    assert call.to == POOL
    assert call.data[4:] == encode(types, [collateral, debt, account, cover, False])


@given(addresses, addresses, covers)
def test_approval_calldata_equals_eth_abi(token: Address, spender: Address, amount: int) -> None:
    """The token is called; spender and amount are its arguments."""
    call = abi.approval_call(token, spender, TokenAmount(amount))
    assert (call.to, call.data[4:]) == (token, encode(["address", "uint256"], [spender, amount]))


def test_selectors_are_those_of_the_published_contracts() -> None:
    """Every function that is called exists under that signature."""
    artifacts = Artifacts(find_node_modules())
    names = ("Pool", "AaveOracle", "PriceOracleSentinel", "MintableERC20")
    published = {
        _selector(entry) for name in names for entry in artifacts.load(name).abi if entry["type"] == "function"
    }
    used = {
        calls.LIQUIDATION_CALL,
        abi.APPROVE,
        reads.POOL_REVISION,
        reads.ASSET_PRICE,
        reads.ASSET_SOURCE,
        reads.LIQUIDATION_ALLOWED,
        reads.BALANCE_OF,
    }
    assert used <= published


def _selector(entry: dict[str, object]) -> bytes:
    inputs: list[dict[str, str]] = entry["inputs"]  # type: ignore[assignment]  # the ABI is JSON
    return bytes(keccak(text=f"{entry['name']}({','.join(each['type'] for each in inputs)})")[:4])


def test_error_names_are_those_of_the_published_source() -> None:
    """Each code of the table is declared under that name in Errors.sol."""
    source = find_node_modules() / "@aave" / "core-v3" / "contracts/protocol/libraries/helpers/Errors.sol"
    text = source.read_text()
    for code, name in calls.ERROR_NAMES.items():
        assert f"string public constant {name} = '{code}';" in text


def _error(message: str) -> bytes:
    return abi.ERROR_STRING + encode(["string"], [message])


def test_revert_data_is_named() -> None:
    """Codes by name, messages as they stand, panics by number, and hexadecimal for what is unknown."""
    assert calls.revert_name(_error("45")) == "HEALTH_FACTOR_NOT_BELOW_THRESHOLD"
    assert (
        calls.revert_name(_error("ERC20: transfer amount exceeds balance")) == "ERC20: transfer amount exceeds balance"
    )
    assert calls.revert_name(abi.PANIC + encode(["uint256"], [0x11])) == "Panic(0x11)"
    assert calls.revert_name(bytes.fromhex("b629b0e4")) == "MustNotLeaveDust"
    assert calls.revert_name(bytes.fromhex("b629b0e5")) == "0xb629b0e5"
    assert calls.revert_name(b"") == "0x"


@given(st.sampled_from([abi.ERROR_STRING, abi.PANIC, b""]), st.binary(max_size=120))
def test_any_revert_data_has_a_name(selector: bytes, body: bytes) -> None:
    """Whatever a contract returns, it is named and never an exception."""
    assert calls.revert_name(selector + body)
