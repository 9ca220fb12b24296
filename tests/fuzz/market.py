"""Logs and outputs that a node gives of an Aave market: into discovery, into the fold, and out as margins."""

from __future__ import annotations

from contextlib import suppress
from functools import cache

from keeper.core.codec import decoder, encoder
from keeper.core.errors import KeeperError
from keeper.core.facts import ContractRead, RawLog
from keeper.core.units import TokenAmount
from keeper.venues.aave_v3.audit import USER_ACCOUNT_DATA
from tests.venues.event_logs import log_of
from tests.venues.synthetic import (
    ALICE,
    BOB,
    POOL_PROXY,
    RATES,
    USDC,
    WETH,
    Chain,
    borrowed,
    discovery,
    listing,
    opened,
    supplied,
)

Block = tuple[list[RawLog], list[ContractRead]]
"""The logs of a block, and the answers to what was read at its end."""
_BLOCK = decoder(Block)


@cache
def _state() -> bytes:
    return opened().ledger.dump()


def _block(*logs: RawLog) -> bytes:
    """Encode a block of the open market with its right answers and an audit."""
    chain = opened()
    chain.block(*logs)
    reads = [chain._answer(request) for request in chain.asked]
    words = b"".join(value.to_bytes(32, "big") for value in (1, 2, 3, 4, 5, 6))
    audit = ContractRead(POOL_PROXY, USER_ACCOUNT_DATA + bytes(12) + ALICE, words, None)
    return encoder().encode((logs, [*reads, audit]))


SAMPLES = (
    _block(),
    _block(*supplied(BOB, USDC, 10**9), borrowed(BOB, WETH, 10**15)),
    _block(log_of(POOL_PROXY, RATES, WETH, 10**25, 10**25, 10**26, 10**27, 10**27)),
    _block(*discovery()),
    _block(*listing(WETH)),
)
FOUND: tuple[bytes, ...] = ()


def harness(raw: bytes) -> None:
    """Fold a block that a node gave, in the order in which the follower and the engine do it, and look at everybody."""
    try:
        logs, reads = _BLOCK.decode(raw)
    except (ValueError, RecursionError):
        return
    chain = Chain()
    ledger = chain.ledger
    ledger.load(_state())
    chain.number = 3
    with suppress(KeeperError):
        ledger.discover(logs)
        ledger.reads(logs)
        ledger.begin_block(chain.head())
        for log in logs:
            ledger.apply_log(log)
        ledger.apply_reads(reads)
        ledger.audit_findings(reads)
        for account in ledger.accounts():
            ledger.margin(account)
            for pair in ledger.pairs(account):
                ledger.preview(account, pair.debt_asset, pair.collateral_asset, TokenAmount(10**6))
        ledger.load(ledger.dump())
