"""Calldata and revert data."""

from __future__ import annotations

from keeper.core.ids import Address, to_hex
from keeper.core.venue import Call
from keeper.venues.abi import WORD, address_word, revert_reason, selector_of, word
from keeper.venues.morpho_blue.liquidation import Form
from keeper.venues.morpho_blue.reads import params_words
from keeper.venues.morpho_blue.state import Params

LIQUIDATE = selector_of("liquidate((address,address,address,address,uint256),address,uint256,uint256,bytes)")
WORDS_BEFORE_DATA = 9


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


def revert_name(data: bytes) -> str:
    """Return the contract's message, which is its name for an error; ``Panic(0x..)``, else the data in hexadecimal."""
    return revert_reason(data) or to_hex(data)
