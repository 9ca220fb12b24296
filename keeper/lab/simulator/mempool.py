"""One node's pool of our transactions, by geth's rules (``core/txpool``: validation, list, legacypool).

Other people's transactions are in it only as what a miner asks for a place in the block.
"""

from __future__ import annotations

from collections.abc import Iterator

from keeper.lab.simulator.market import State
from keeper.lab.simulator.transactions import Transaction

PRICE_BUMP_PERCENT = 10


class PoolRefused(Exception):  # noqa: N818 - it names what happened
    """Why geth refuses a transaction, in geth's words."""


class Mempool:
    """Pending and queued transactions by sender and nonce. Iterating goes over a copy, so the pool may change."""

    def __init__(self) -> None:
        self._held: dict[tuple[bytes, int], Transaction] = {}

    def __contains__(self, tx_hash: object) -> bool:
        return any(held.hash == tx_hash for held in self._held.values())

    def __iter__(self) -> Iterator[Transaction]:
        return iter(list(self._held.values()))

    def find(self, tx_hash: bytes) -> Transaction | None:
        """Return a transaction by its hash."""
        return next((held for held in self._held.values() if held.hash == tx_hash), None)

    def add(self, transaction: Transaction, state: State) -> None:
        """Take a transaction.

        Raises:
            PoolRefused: as geth does.
        """
        slot = (transaction.sender, transaction.nonce)
        old = self._held.get(slot)
        if old is not None and old.hash == transaction.hash:
            raise PoolRefused("already known")
        mined = state.nonces.get(transaction.sender, 0)
        if transaction.nonce < mined:
            raise PoolRefused(f"nonce too low: next nonce {mined}, tx nonce {transaction.nonce}")
        pledged = sum(
            held.cost_wei_max for key, held in self._held.items() if key[0] == transaction.sender and key != slot
        )
        balance = state.native.get(transaction.sender, 0)
        if balance < pledged + transaction.cost_wei_max:
            overshot = pledged + transaction.cost_wei_max - balance
            raise PoolRefused(f"insufficient funds for gas * price + value: balance {balance}, overshot {overshot}")
        if old is not None and not _outbids(transaction, old):
            raise PoolRefused("replacement transaction underpriced")
        self._held[slot] = transaction

    def next_of(self, state: State, base_fee_wei: int, tip_wei_min: int) -> list[Transaction]:
        """Return what a miner takes: each sender's next nonces, as long as they pay."""
        taken: list[Transaction] = []
        for sender in sorted({sender for sender, _ in self._held}):
            nonce, funds = state.nonces.get(sender, 0), state.native.get(sender, 0)  # type: ignore[call-overload]
            while (held := self._held.get((sender, nonce))) is not None:
                funds -= held.cost_wei_max
                if held.tip_wei(base_fee_wei) < tip_wei_min or funds < 0:
                    break
                taken.append(held)
                nonce += 1
        return taken

    def settle(self, state: State) -> None:
        """Drop what a new head has made impossible."""
        self._held = {key: held for key, held in self._held.items() if key[1] >= state.nonces.get(key[0], 0)}  # type: ignore[call-overload]

    def drop(self, transaction: Transaction) -> None:
        """Forget a transaction, as an eviction does."""
        self._held.pop((transaction.sender, transaction.nonce), None)


def _outbids(new: Transaction, old: Transaction) -> bool:
    """Both fee fields must be a tenth higher."""
    whole = 100 + PRICE_BUMP_PERCENT
    return (
        100 * new.fee_wei_max >= whole * old.fee_wei_max
        and 100 * new.tip_wei_max >= whole * old.tip_wei_max
        and new.fee_wei_max > old.fee_wei_max
    )
