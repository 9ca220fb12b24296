"""Calldata and revert data, by slicing."""

from __future__ import annotations

from keeper.core.ids import Address, to_hex
from keeper.core.protection import ProtectionAction
from keeper.core.venue import Call, Preview
from keeper.venues.abi import address_word, revert_reason, selector_of, word

VARIABLE_RATE = 2
"""The interest-rate mode of all debt that is repaid for an own account."""
REPAY = selector_of("repay(address,uint256,uint256,address)")
REPAY_WITH_A_TOKENS = selector_of("repayWithATokens(address,uint256,uint256)")
SUPPLY = selector_of("supply(address,uint256,address,uint16)")
LIQUIDATION_CALL = selector_of("liquidationCall(address,address,address,uint256,bool)")

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
        "HealthFactorLowerThanLiquidationThreshold",
        "HealthFactorNotBelowThreshold",
        "InvalidAmount",
        "InvalidBurnAmount",
        "LiquidationGraceSentinelCheckFailed",
        "MustNotLeaveDust",
        "PriceOracleSentinelCheckFailed",
        "ReserveFrozen",
        "ReserveInactive",
        "ReservePaused",
        "SelfLiquidation",
        "SpecifiedCurrencyNotBorrowedByUser",
        "SupplyCapExceeded",
    )
}
"""Since v3.4."""


def liquidation_call(pool: Address, account: Address, preview: Preview) -> Call:
    """Return the call that executes a preview, receiving the underlying collateral."""
    arguments = (
        address_word(preview.collateral_asset),
        address_word(preview.debt_asset),
        address_word(account),
        word(int(preview.cover)),
        word(0),
    )
    return Call(pool, LIQUIDATION_CALL + b"".join(arguments))


def protection_call(pool: Address, account: Address, action: ProtectionAction, asset: Address, amount: int) -> Call:
    """Return the call that repays for an account, supplies to it, or pays the sender's debt with its own aTokens."""
    what = address_word(asset) + word(amount)
    if action == "repay":
        return Call(pool, REPAY + what + word(VARIABLE_RATE) + address_word(account))
    if action == "top-up":
        return Call(pool, SUPPLY + what + address_word(account) + word(0))
    return Call(pool, REPAY_WITH_A_TOKENS + what + word(VARIABLE_RATE))


def revert_name(data: bytes) -> str:
    """Return the contract's name for revert data.

    An error of Errors.sol by its name, other messages as they stand, ``Panic(0x..)``, else the data in hexadecimal.
    """
    if data in CUSTOM_ERRORS:
        return CUSTOM_ERRORS[data]
    message = revert_reason(data)
    return to_hex(data) if message is None else ERROR_NAMES.get(message, message)
