"""A node's answers, read strictly: what is not of the promised form is an error, never a zero or an empty list."""

from __future__ import annotations

import re
from collections.abc import Sequence

from keeper.core.codec import COUNT_LIMIT
from keeper.core.errors import NodeMalformed, NodeRefused
from keeper.core.ids import Hash32, to_hex

Request = tuple[str, Sequence[object]]
"""A method and its parameters, as :meth:`keeper.core.ports.Node.batch` takes them."""

_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}")
_DATA = re.compile(r"0x(?:[0-9a-fA-F]{2})*")


def given(answer: object) -> object:
    """Return an answer of a batch.

    Raises:
        NodeRefused: it is a refusal.
    """
    if isinstance(answer, NodeRefused):
        raise answer
    return answer


def quantity(answer: object, method: str) -> int:
    """Read a hexadecimal quantity of at most 256 bits.

    Raises:
        NodeRefused: it is a refusal.
        NodeMalformed: it is not a quantity.
    """
    value = given(answer)
    if not isinstance(value, str) or _QUANTITY.fullmatch(value) is None:
        raise NodeMalformed(method, f"answered {value!r:.80}, not a quantity", "check the node")
    return int(value, 16)


def count(answer: object, method: str) -> int:
    """Read a quantity that counts something (a nonce, gas, a height): one that fits into a record.

    Raises:
        NodeRefused: it is a refusal.
        NodeMalformed: it is not a quantity, or more than any of these can be.
    """
    value = quantity(answer, method)
    if value >= COUNT_LIMIT:
        raise NodeMalformed(method, f"answered {answer!r:.80}, not a count", "check the node")
    return value


def data(answer: object, method: str) -> bytes:
    """Read hexadecimal bytes.

    Raises:
        NodeRefused: it is a refusal.
        NodeMalformed: it is not bytes.
    """
    value = given(answer)
    if not isinstance(value, str) or _DATA.fullmatch(value) is None:
        raise NodeMalformed(method, f"answered {value!r:.80}, not bytes", "check the node")
    return bytes.fromhex(value[2:])


def at_block(block_hash: Hash32) -> dict[str, str]:
    """Return the block parameter that pins a read to a block's hash (EIP-1898)."""
    return {"blockHash": to_hex(block_hash)}
