"""Calldata and revert data, by slicing."""

from __future__ import annotations

from keeper.core.ids import Address, to_hex
from keeper.core.units import TokenAmount
from keeper.core.venue import Call, Preview
from keeper.venues.aave_v3.reads import WORD, selector_of

LIQUIDATION_CALL = selector_of("liquidationCall(address,address,address,uint256,bool)")
APPROVE = selector_of("approve(address,uint256)")
ERROR_STRING = selector_of("Error(string)")
PANIC = selector_of("Panic(uint256)")
ADDRESS_PADDING = bytes(12)

ERROR_NAMES = {
    "25": "INVALID_BURN_AMOUNT",
    "27": "RESERVE_INACTIVE",
    "29": "RESERVE_PAUSED",
    "45": "HEALTH_FACTOR_NOT_BELOW_THRESHOLD",
    "46": "COLLATERAL_CANNOT_BE_LIQUIDATED",
    "47": "SPECIFIED_CURRENCY_NOT_BORROWED_BY_USER",
    "59": "PRICE_ORACLE_SENTINEL_CHECK_FAILED",
}
"""Of Errors.sol, whose codes are strings before v3.4."""
CUSTOM_ERRORS = {
    selector_of(f"{name}()"): name
    for name in (
        "CollateralCannotBeLiquidated",
        "HealthFactorNotBelowThreshold",
        "InvalidAmount",
        "InvalidBurnAmount",
        "LiquidationGraceSentinelCheckFailed",
        "MustNotLeaveDust",
        "PriceOracleSentinelCheckFailed",
        "ReserveInactive",
        "ReservePaused",
        "SelfLiquidation",
        "SpecifiedCurrencyNotBorrowedByUser",
    )
}
"""Since v3.4."""


def liquidation_call(pool: Address, account: Address, preview: Preview) -> Call:
    """Return the call that executes a preview, receiving the underlying collateral."""
    arguments = (
        ADDRESS_PADDING + preview.collateral_asset,
        ADDRESS_PADDING + preview.debt_asset,
        ADDRESS_PADDING + account,
        int(preview.cover).to_bytes(WORD, "big"),
        bytes(WORD),
    )
    return Call(pool, LIQUIDATION_CALL + b"".join(arguments))


def approval_call(token: Address, spender: Address, amount: TokenAmount) -> Call:
    """Return the call that lets a spender take an amount of a token."""
    return Call(token, APPROVE + ADDRESS_PADDING + spender + int(amount).to_bytes(WORD, "big"))


def revert_name(data: bytes) -> str:
    """Return the contract's name for revert data.

    An error of Errors.sol by its name, other messages as they stand, ``Panic(0x..)``, else the data in hexadecimal.
    """
    selector, body = data[:4], data[4:]
    if selector == PANIC and len(body) == WORD:
        return f"Panic({int.from_bytes(body, 'big'):#04x})"
    if not body and selector in CUSTOM_ERRORS:
        return CUSTOM_ERRORS[selector]
    message = _message(body) if selector == ERROR_STRING else None
    return to_hex(data) if message is None else ERROR_NAMES.get(message, message)


def _message(body: bytes) -> str | None:
    """Return the string of ``Error(string)``, ``None`` when the bytes are not one."""
    length = int.from_bytes(body[WORD : 2 * WORD], "big")
    raw = body[2 * WORD : 2 * WORD + length]
    if int.from_bytes(body[:WORD], "big") != WORD or len(raw) != length or len(body) < 2 * WORD:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None
