"""The other keepers: rational, each with a latency of its own, each taking what earns most at the market's price.

They see the pool's state after a block and send calls that a later block may hold. Where nothing pays after the sale's
impact and gas, they wait, which is what leaves accounts under water in a thin market.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.random import Generator

from keeper.core.ids import Address
from keeper.core.units import Bps
from keeper.lab.simulator.market import USD, Tokens
from keeper.lab.stress.impact import Impact
from keeper.lab.stress.venue import COIN_TOKENS, COIN_UNITS, USD_UNITS, LendingPool
from keeper.risk.inputs import Floats

CALLS_PER_BLOCK = 3
"""What one rival sends after a block, at most."""


class Call(NamedTuple):
    """A rival's call, and the first block that may hold it."""

    sender: Address
    data: bytes
    due: int


class Sight(NamedTuple):
    """What everybody sees after a block."""

    number: int
    unsafe: tuple[Address, ...]
    oracle_usd: Floats
    market_usd: Floats
    gas_usd: float
    """What a liquidation costs in gas."""
    at_any_price: bool = False
    """Whether what is seized is sold whatever it brings."""


class Rival:
    """One of them.

    Args:
        index: Makes its address.
        latency_blocks: How long its calls take beyond the next block.
        chance: In which order it looks at accounts.
    """

    def __init__(self, index: int, latency_blocks: int, chance: Generator) -> None:
        self.address = Address(bytes([0xB0 + index]) * 20)
        self._latency_blocks = latency_blocks
        self._chance = chance

    def calls(self, pool: LendingPool, impact: Impact, sight: Sight) -> list[Call]:
        """Return what it sends after a block."""
        order = self._chance.permutation(len(sight.unsafe))
        found = []
        for place in order[: 2 * CALLS_PER_BLOCK]:
            data = _best(pool, impact, sight, sight.unsafe[place])
            if data is not None:
                found.append(Call(self.address, data, sight.number + 1 + self._latency_blocks))
            if len(found) == CALLS_PER_BLOCK:
                break
        return found


def _best(pool: LendingPool, impact: Impact, sight: Sight, account: Address) -> bytes | None:
    """Return the calldata of an account's most profitable liquidation, ``None`` where none pays."""
    tokens, best, best_usd = pool.of(account), None, 0.0
    for coin, token in enumerate(COIN_TOKENS):
        if token not in tokens or not tokens[token].collateral:
            continue
        cover, profit_usd = _cover(pool, impact, sight, account, tokens, coin)
        if cover > 0 and profit_usd > best_usd:
            best, best_usd = ("liquidate", account, USD, token, cover), profit_usd
    return None if best is None else msgspec.msgpack.encode(best)


def _cover(
    pool: LendingPool, impact: Impact, sight: Sight, account: Address, tokens: Tokens, coin: int
) -> tuple[int, float]:
    """Return the cover that earns most against a coin, in cents, and what it earns."""
    terms, token = pool.terms(account), COIN_TOKENS[coin]
    oracle, market = float(sight.oracle_usd[coin]), float(sight.market_usd[coin])
    factor = terms.bonus_bps[token] / Bps.ONE
    wanted = math.inf if sight.at_any_price else impact.best_sale(coin, market, oracle / factor)
    most = terms.cover_max(tokens, pool.prices, USD, token)
    held = tokens[token].collateral / COIN_UNITS
    seized = min(wanted, held, most / USD_UNITS * factor / oracle)
    if seized <= 0:
        return 0, 0.0
    cover = seized * oracle / factor
    paid = seized * oracle if sight.at_any_price else impact.quoted(coin, market, seized)
    cents = most if seized == most / USD_UNITS * factor / oracle else math.floor(cover * USD_UNITS)
    return cents, paid - cover - sight.gas_usd


def rivals(count: int, latency_blocks_max: int, chance: Generator) -> list[Rival]:
    """Return so many rivals, with latencies up to a maximum."""
    latencies = chance.integers(0, latency_blocks_max + 1, size=count)
    seeds = chance.integers(0, 2**63, size=count)
    return [
        Rival(index, int(latency), np.random.Generator(np.random.PCG64(int(seed))))
        for index, (latency, seed) in enumerate(zip(latencies, seeds, strict=True))
    ]
