"""The pool's own view of an account, for audits: ``getUserAccountData(address)`` and its six words."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from keeper.core.facts import ContractRead
from keeper.core.ids import ADDRESS_LENGTH, Address
from keeper.core.venue import AuditFinding
from keeper.venues.aave_v3.margin import UserAccountData
from keeper.venues.aave_v3.market import Unknown
from keeper.venues.abi import WORD, address_word, selector_of

USER_ACCOUNT_DATA = selector_of("getUserAccountData(address)")
FIELDS = UserAccountData.__struct_fields__


def call_data(account: Address) -> bytes:
    """Return the calldata that asks for an account."""
    return USER_ACCOUNT_DATA + address_word(account)


def finding(read: ContractRead, ours_of: Callable[[Address], UserAccountData | Unknown]) -> AuditFinding | None:
    """Compare an answer with our figures; ``None`` when either side has none, or it is another call."""
    calldata, output = read.calldata, read.output
    if not calldata.startswith(USER_ACCOUNT_DATA) or output is None or len(output) != WORD * len(FIELDS):
        return None
    account = Address(calldata[-ADDRESS_LENGTH:])
    ours = ours_of(account)
    if isinstance(ours, Unknown):
        return None
    theirs = [int.from_bytes(output[at : at + WORD], "big") for at in range(0, len(output), WORD)]
    return AuditFinding(account, _text(msgspec.structs.astuple(ours)), _text(theirs))


def _text(figures: list[int] | tuple[int, ...]) -> str:
    return " ".join(f"{name}={figure}" for name, figure in zip(FIELDS, figures, strict=True))
