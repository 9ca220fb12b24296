"""Why a call reverted, out of a node's error object.

Nodes agree that a revert carries the contract's own data, and differ in where they put it:

* geth, reth, anvil: code 3, ``data`` the hexadecimal bytes (geth ``internal/ethapi/errors.go`` ``revertError``).
* OpenEthereum and its heirs: code -32015, ``VM execution error.``, ``data`` with a word before it: ``Reverted 0x...``.
* Some proxies nest the object in another one (the client hands that on as text), or keep only the message,
  ``execution reverted``.

Anything else is the node's trouble (an unknown block, no funds for the gas), not the contract's answer, and must not
be taken for one: an intent is given up for a revert only.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from keeper.core.errors import NodeRefused
from keeper.core.facts import RevertReason

NO_REASON = "no reason given"
_HEX = re.compile(r"\b0x((?:[0-9a-fA-F]{2})*)\b")


def decode_revert(refusal: NodeRefused, revert_name: Callable[[bytes], str]) -> RevertReason | None:
    """Return why a simulated call reverted; ``None`` when the refusal is not a revert.

    Args:
        refusal: The error object of ``eth_call`` or ``eth_estimateGas``.
        revert_name: The venue's own words for revert data (``Ledger.revert_name``).
    """
    if not refusal.reverted:
        return None
    data = revert_data(refusal)
    return RevertReason(revert_name(data) if data else NO_REASON, data)


def revert_data(refusal: NodeRefused) -> bytes:
    """Return the contract's revert data, empty when the node gave none."""
    found = _HEX.findall(refusal.data or "")
    return bytes.fromhex(found[-1]) if found else b""
