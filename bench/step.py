"""How long the engine takes for a busy block, and how fast it replays.

Five thousand accounts at a linear toy venue, none of them in danger, and blocks with 400 logs each. The venue's own
arithmetic is measured elsewhere; this is what the engine adds: folding, classifying every account, noticing changes.
"""

from __future__ import annotations

import json
from statistics import median
from time import perf_counter

from keeper.core.ids import Address
from keeper.engine.replay import replay
from tests.engine.history import PRICES, History, new_engine, position

ACCOUNTS = 5000
LOGS = 400
BLOCKS = 15


def run(*, accounts: int = ACCOUNTS, logs: int = LOGS, blocks: int = BLOCKS) -> dict[str, object]:
    """Step blocks and replay them.

    Returns:
        ``step_seconds_median`` of a block, ``replay_facts_per_second`` and the sizes they were measured at.
    """
    history = History()
    history.start()
    history.read_signer()
    everyone = [Address(number.to_bytes(20, "big")) for number in range(1, accounts + 1)]
    opened = [log for account in everyone for log in position(account, eth=10, usd=10_000)]
    history.block(*[("price", token, price) for token, price in PRICES.items()], *opened)
    seconds = [_block(history, everyone, logs, number) for number in range(blocks)]
    started = perf_counter()
    result = replay(history.records, new_engine())
    replayed = perf_counter() - started
    return {
        "accounts": accounts,
        "logs_per_block": logs,
        "blocks": blocks,
        "step_seconds_median": median(seconds),
        "replay_facts_per_second": result.facts / replayed,
        "replay_logs_per_second": (len(opened) + logs * blocks) / replayed,
        "diverged": int(result.divergence is not None),
    }


def _block(history: History, everyone: list[Address], logs: int, number: int) -> float:
    """Apply a block that changes ``logs // 2`` accounts."""
    changed = [everyone[(number * logs + place) % len(everyone)] for place in range(logs // 2)]
    block = [log for account in changed for log in position(account, eth=10, usd=9000 + number)]
    started = perf_counter()
    history.block(*block)
    return perf_counter() - started


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
