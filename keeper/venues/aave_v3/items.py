"""What is read of a market at one block, as items: each a few view calls of one contract about one subject.

The shape of every answer is checked before it is recorded: a figure that the contract cannot give is the provider's
mistake, and a call that reverts is an error, except where the revert is an answer too (an oracle without a price).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import NamedTuple

from keeper.core.errors import NodeMalformed
from keeper.core.facts import ContractRead
from keeper.core.ids import ADDRESS_LENGTH, Address, to_hex
from keeper.venues.aave_v3.codec import BYTE_LIMIT, RATIO_LIMIT
from keeper.venues.aave_v3.reads import (
    ASSET_PRICE,
    ASSET_SOURCE,
    LIQUIDATION_ALLOWED,
    VIRTUAL_BALANCE,
)
from keeper.venues.abi import WORD, selector_of

NUMBER_LIMIT = 1 << 40
LIST_LIMIT = 1 << 128
ADDRESS_LIMIT = 1 << 160
WORD_LIMIT = 1 << 256
Words = list[int]
"""An answer, cut into words."""


class Kind(IntEnum):
    """What an item reads; its first byte."""

    CONTRACTS = 0
    POOL = 1
    CATEGORY = 2
    SENTINEL = 3
    ASSET = 4
    LIQUIDITY = 5
    PRICE = 6
    TOTAL = 7
    USER = 8
    SCALED = 9
    STABLE = 10
    MEMBERS = 11
    GRACE = 12
    COUNTED = 13


class View(NamedTuple):
    """A view function: whether it takes the item's subject, and the words that it answers.

    ``open_ended`` answers may have more words. ``limits`` by place of a word: what the contract keeps it below. Where
    a revert is an answer too, ``may_revert``.
    """

    selector: bytes
    takes_subject: bool = False
    words: int = 1
    limits: Mapping[int, int] = MappingProxyType({})
    open_ended: bool = False
    may_revert: bool = False


def _of_subject(signature: str, limit: int = WORD_LIMIT) -> View:
    return View(selector_of(signature), takes_subject=True, limits={0: limit})


def _getter(signature: str, limit: int = WORD_LIMIT) -> View:
    return View(selector_of(signature), limits={0: limit})


VIEWS: Mapping[Kind, tuple[View, ...]] = MappingProxyType(
    {
        Kind.CONTRACTS: tuple(
            _getter(name, ADDRESS_LIMIT)
            for name in ("getPool()", "getPoolConfigurator()", "getPriceOracle()", "getPriceOracleSentinel()")
        ),
        Kind.POOL: (
            _getter("POOL_REVISION()", NUMBER_LIMIT),
            View(selector_of("getReservesList()"), words=2, open_ended=True),
        ),
        Kind.CATEGORY: (
            View(
                selector_of("getEModeCategoryData(uint8)"),
                takes_subject=True,
                words=7,
                limits={1: RATIO_LIMIT, 2: RATIO_LIMIT, 3: RATIO_LIMIT, 4: ADDRESS_LIMIT},
                open_ended=True,
            ),
        ),
        Kind.SENTINEL: (View(LIQUIDATION_ALLOWED, limits={0: 2}, may_revert=True),),
        Kind.ASSET: (
            View(
                selector_of("getReserveData(address)"),
                takes_subject=True,
                words=15,
                limits={6: NUMBER_LIMIT, 7: RATIO_LIMIT, 8: ADDRESS_LIMIT, 9: ADDRESS_LIMIT, 10: ADDRESS_LIMIT},
            ),
        ),
        Kind.LIQUIDITY: (_of_subject("balanceOf(address)"),),
        Kind.PRICE: (View(ASSET_PRICE, takes_subject=True, may_revert=True),),
        Kind.TOTAL: (_getter("scaledTotalSupply()"),),
        Kind.USER: (_of_subject("getUserConfiguration(address)"), _of_subject("getUserEMode(address)", BYTE_LIMIT)),
        Kind.SCALED: (_of_subject("scaledBalanceOf(address)"),),
        Kind.STABLE: (
            _of_subject("principalBalanceOf(address)"),
            _of_subject("getUserStableRate(address)"),
            _of_subject("getUserLastUpdated(address)", NUMBER_LIMIT),
        ),
        Kind.MEMBERS: (
            _of_subject("getEModeCategoryCollateralBitmap(uint8)", LIST_LIMIT),
            _of_subject("getEModeCategoryLtvzeroBitmap(uint8)", LIST_LIMIT),
        ),
        Kind.GRACE: (_of_subject("getLiquidationGracePeriod(address)", NUMBER_LIMIT),),
        Kind.COUNTED: (View(VIRTUAL_BALANCE, takes_subject=True),),
    }
)
SOURCE_VIEW = View(ASSET_SOURCE, takes_subject=True, limits={0: ADDRESS_LIMIT})


class Item(NamedTuple):
    """One thing to read: of ``target``, about ``subject`` (an address, or a number in its last byte)."""

    kind: Kind
    target: Address
    subject: Address

    @classmethod
    def unpack(cls, raw: bytes) -> Item:
        """Read an item from its bytes."""
        return cls(Kind(raw[0]), Address(raw[1 : 1 + ADDRESS_LENGTH]), Address(raw[1 + ADDRESS_LENGTH :]))

    def pack(self) -> bytes:
        """Return the item's bytes."""
        return bytes([self.kind]) + self.target + self.subject


def check(view: View, read: ContractRead) -> None:
    """Check the answer of a view.

    Raises:
        NodeMalformed: the call reverted and must not, or the answer has another shape.
    """
    output = read.output
    if output is None:
        if not view.may_revert:
            raise _malformed(read, f"reverted: {read.error}")
        return
    words = words_of(output)
    if len(output) % WORD or len(words) < view.words or (len(words) > view.words and not view.open_ended):
        raise _malformed(read, f"answered {len(output)} bytes, not {view.words} words")
    over = [place for place, limit in view.limits.items() if words[place] >= limit]
    if over:
        raise _malformed(read, f"answered {words[over[0]]} where less than {view.limits[over[0]]} is possible")


def _malformed(read: ContractRead, reason: str) -> NodeMalformed:
    call = f"call of {to_hex(read.calldata[:4])} at {to_hex(read.target)}"
    return NodeMalformed(call, reason, "the provider's answer was not used; compare it with another provider's")


def words_of(output: bytes) -> Words:
    """Cut an answer into words."""
    return [int.from_bytes(output[at : at + WORD], "big") for at in range(0, len(output), WORD)]


def address_of(word: int) -> Address:
    """Return the address in a word."""
    return Address(word.to_bytes(WORD, "big")[WORD - ADDRESS_LENGTH :])
