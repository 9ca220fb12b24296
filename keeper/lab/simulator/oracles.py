"""What must hold whatever happens, looked at while a run goes on and when it is over.

The oracles see both sides: what the life records, asks and sends, and what the chain and the disk really hold. The
first violation ends the run; it says which promise was broken and how.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from eth_utils.crypto import keccak

from keeper.core.codec import AnyBody, Record
from keeper.core.errors import KeeperError
from keeper.core.facts import AttemptPrepared
from keeper.core.ids import Address, Hash32, to_hex
from keeper.core.runconfig import RunConfig
from keeper.engine.step import Engine
from keeper.journal.recorder import Settled
from keeper.lab.simulator.audit import AuditFailed, audit_chain, audit_journal
from keeper.lab.simulator.chain import Block, Chain
from keeper.lab.simulator.disk import Disk, SimulatedJournal
from keeper.lab.simulator.ledger import SimulatedLedger
from keeper.lab.simulator.life import Life
from keeper.lab.simulator.liveness import unhelped
from keeper.lab.simulator.market import Position
from keeper.lab.simulator.provider import RpcCall
from strategies import STRATEGIES

SEND = "eth_sendRawTransaction"


class Violation(NamedTuple):
    """A promise that was broken: the oracle's name, and what was seen."""

    oracle: str
    detail: str


class Oracles:
    """The watchers of one run.

    Args:
        config: The keeper's.
        chain: The true one.
        disk: The true one.
        signer: Our address.
        stop: Ends the run at the first violation.
    """

    def __init__(self, config: RunConfig, chain: Chain, disk: Disk, signer: Address, stop: Callable[[], None]) -> None:
        self.violation: Violation | None = None
        self.foreign: set[Hash32] = set()
        self.finality_was_broken = False
        self._config = config
        self._chain = chain
        self._disk = disk
        self._signer = signer
        self._stop = stop
        self._acknowledged: list[tuple[int, tuple[AnyBody, ...]]] = []

    def violate(self, oracle: str, detail: str) -> None:
        """Record the first violation and end the run."""
        if self.violation is None:
            self.violation = Violation(oracle, detail)
        self._stop()

    # While it runs

    def settled(self, _: Life, group: Settled) -> None:
        """A group was acknowledged: it must stay, and be on the synced part of the disk now."""
        self._acknowledged.append((group.first_sequence, group.bodies))
        unsynced = [
            body.tx_hash
            for body in group.bodies
            if isinstance(body, AttemptPrepared) and body.tx_hash not in self._disk.attempts
        ]
        if unsynced:
            self.violate("acknowledged", f"attempt {to_hex(unsynced[0])} was acknowledged before it was synced")

    def requested(self, life: Life, provider: str, calls: Sequence[RpcCall]) -> None:
        """A request leaves: bytes of ours must be durable before anybody sees them."""
        for raw in _raws(calls):
            tx_hash = Hash32(keccak(raw))
            if tx_hash not in self._disk.attempts:
                self.violate("durable-first", f"{to_hex(tx_hash)} was sent to {provider} before it was durable")
            if life.journal.statistics().fault is not None:
                self.violate("disk-stops", f"{to_hex(tx_hash)} was sent to {provider} after the disk had failed")

    def lane_sends(self, life: Life, calls: Sequence[RpcCall]) -> None:
        """The lane chose to send: its signer must not be halted."""
        halted = life.engine.intents.halted(self._config.signers[0].name)
        if halted is not None and _raws(calls):
            self.violate("halted", f"a transaction was sent although the signer is halted: {halted}")

    def born(self, life: Life) -> None:
        """A life was restored, maybe from a snapshot: what was acknowledged is there, and replay gives the same."""
        self._check_acknowledged(life.journal)  # type: ignore[arg-type]
        replayed = self._replayed(life.journal)  # type: ignore[arg-type]
        if replayed is not None and replayed.state_hash() != life.engine.state_hash():
            self.violate("replay", f"the state restored at {life.engine.sequence} is not that of a replay from zero")

    def died(self, _: Life) -> None:
        """A life was killed. What it had in memory is gone."""

    def ended(self, life: Life) -> None:
        """A life ended by itself: in order, its memory is what a replay gives."""
        if life.error is None:
            replayed = self._replayed(life.journal)  # type: ignore[arg-type]
            if replayed is not None and replayed.state_hash() != life.engine.state_hash():
                self.violate("replay", f"the live state at {life.engine.sequence} is not that of a replay from zero")

    def _check_acknowledged(self, journal: SimulatedJournal) -> None:
        """Every acknowledged record is in the journal, as it was, and at its place."""
        records = {record.sequence: record.body for record in journal.read()}
        for first, bodies in self._acknowledged:
            for sequence, body in enumerate(bodies, first):
                if records.get(sequence) != body:
                    self.violate("acknowledged", f"record {sequence} was acknowledged and is not in the journal")
                    return

    def _replayed(self, journal: SimulatedJournal) -> Engine | None:
        engine = Engine(SimulatedLedger, STRATEGIES)
        try:
            audit_journal(journal.read(), engine, self._chain, self._config)
        except AuditFailed as failed:
            self.violate(failed.oracle, str(failed))
            return None
        except KeeperError as error:
            self.violate("replay", str(error))
            return None
        return engine

    # At the end

    def at_the_end(self, life: Life) -> None:
        """After the calm: the keeper is at the head, knows the truth, and has done what there was to do."""
        state = life.engine.chains[self._config.chains[0].chain_id]
        head = self._chain.head
        if state.tip is None or state.tip.hash != head.hash:
            at = None if state.tip is None else state.tip.number
            self.violate("liveness", f"the watermark is at {at}, the head at {head.number}")
            return
        self._check_ledger(life.engine, head)
        if self.foreign:
            self._check_halted(life)
            return
        stuck = unhelped(life.engine, head, self._config)
        if stuck is not None:
            self.violate("liveness", stuck)

    def _check_ledger(self, engine: Engine, block: Block) -> None:
        """The ledger is the contract's own state, account by account and token by token."""
        ledger = engine.ledgers[self._config.venues[0].name]
        if not isinstance(ledger, SimulatedLedger):
            return
        truth = {key: held for key, held in block.state.positions.items() if held != Position()}
        ours = {key: held for key, held in ledger.positions.items() if held != Position()}
        if ours != truth:
            wrong = min(key for key in {*ours, *truth} if ours.get(key) != truth.get(key))
            detail = (
                f"{to_hex(wrong)} holds {truth.get(wrong)} at block {block.number}, the ledger has {ours.get(wrong)}"
            )
            self.violate("ledger", detail)
        if ledger.prices != block.state.prices:
            self.violate("ledger", f"prices differ at block {block.number}")

    def _check_halted(self, life: Life) -> None:
        """A foreign transaction must be noticed, unless it is older than the first slot: then it is history."""
        bodies = [record.body for record in life.journal.read()]
        first = min((body.nonce for body in bodies if isinstance(body, AttemptPrepared)), default=10**9)
        mined = any(
            receipt.transaction.hash in self.foreign and receipt.transaction.nonce >= first
            for block in self._chain.branch
            for receipt in block.receipts
        )
        if mined and life.engine.intents.halted(self._config.signers[0].name) is None:
            self.violate("halted", "a foreign transaction of our key is final and the signer is not halted")

    def at_rest(self) -> list[Record]:
        """After the last life: the journal as it lies on the disk, against the chain."""
        journal = SimulatedJournal(self._disk)
        self._check_acknowledged(journal)
        records = list(journal.read())
        try:
            audit_chain(records, self._chain, self._signer, self.foreign)
        except AuditFailed as failed:
            self.violate(failed.oracle, str(failed))
        return records


def _raws(calls: Sequence[RpcCall]) -> list[bytes]:
    return [bytes.fromhex(str(params[0])[2:]) for method, params in calls if method == SEND]
