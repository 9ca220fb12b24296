"""Calldata and revert data."""

from __future__ import annotations

from keeper.core.ids import Address, to_hex
from keeper.core.venue import Call
from keeper.venues.abi import WORD, address_word, revert_reason, selector_of, word
from keeper.venues.morpho_blue import pre_liquidation
from keeper.venues.morpho_blue.liquidation import Form
from keeper.venues.morpho_blue.reads import params_words
from keeper.venues.morpho_blue.state import Params

LIQUIDATE = selector_of("liquidate((address,address,address,address,uint256),address,uint256,uint256,bytes)")
PRE_LIQUIDATE = selector_of("preLiquidate(address,uint256,uint256,bytes)")
REPAY = selector_of("repay((address,address,address,address,uint256),uint256,uint256,address,bytes)")
SUPPLY_COLLATERAL = selector_of("supplyCollateral((address,address,address,address,uint256),uint256,address,bytes)")
WORDS_BEFORE_DATA = 9
WORDS_BEFORE_REPAY_DATA = 9
WORDS_BEFORE_COLLATERAL_DATA = 8
WORDS_BEFORE_PRE_DATA = 4
TOO_LARGE = selector_of(f"{pre_liquidation.TOO_LARGE}(uint256,uint256)")
PLAIN_ERRORS = {
    selector_of(f"{name}()"): name
    for name in (
        pre_liquidation.INCONSISTENT,
        pre_liquidation.LIQUIDATABLE_POSITION,
        pre_liquidation.NOT_PRE_LIQUIDATABLE,
    )
}


def liquidation_call(morpho: Address, params: Params, account: Address, form: Form) -> Call:
    """Return the call that liquidates an account, without a callback."""
    arguments = (
        params_words(params),
        address_word(account),
        word(form.seized),
        word(form.repaid_shares),
        word(WORDS_BEFORE_DATA * WORD),
        word(0),
    )
    return Call(morpho, LIQUIDATE + b"".join(arguments))


def repay_call(morpho: Address, params: Params, account: Address, shares: int) -> Call:
    """Return the call that repays so many shares of an account's debt, without a callback."""
    amounts = word(0) + word(shares) + address_word(account)
    return Call(morpho, REPAY + params_words(params) + amounts + word(WORDS_BEFORE_REPAY_DATA * WORD) + word(0))


def collateral_call(morpho: Address, params: Params, account: Address, assets: int) -> Call:
    """Return the call that adds to an account's collateral, without a callback."""
    given = word(assets) + address_word(account) + word(WORDS_BEFORE_COLLATERAL_DATA * WORD) + word(0)
    return Call(morpho, SUPPLY_COLLATERAL + params_words(params) + given)


def pre_liquidation_call(contract: Address, account: Address, form: Form) -> Call:
    """Return the call that pre-liquidates an account, without a callback."""
    amounts = (word(form.seized), word(form.repaid_shares))
    return Call(
        contract,
        PRE_LIQUIDATE + address_word(account) + b"".join(amounts) + word(WORDS_BEFORE_PRE_DATA * WORD) + word(0),
    )


def revert_name(data: bytes) -> str:
    """Return the error: Morpho's message, which is its name; ``Panic(0x..)``; a pre-liquidation contract's by its name.

    Any other data is returned in hexadecimal.
    """
    if data[:4] == TOO_LARGE and len(data) == 4 + 2 * WORD:
        repaid, repayable = (int.from_bytes(each, "big") for each in (data[4 : 4 + WORD], data[4 + WORD :]))
        return f"{pre_liquidation.TOO_LARGE}({repaid}, {repayable})"
    return PLAIN_ERRORS.get(data) or revert_reason(data) or to_hex(data)
