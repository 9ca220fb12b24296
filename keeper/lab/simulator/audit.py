"""A journal against the truth: every record stepped again, and every fact compared with what really was."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise

from keeper.core.codec import Record
from keeper.core.decisions import Decision, LiquidationObserved, Verdict
from keeper.core.facts import (
    AnyFact,
    AttemptPrepared,
    BlockApplied,
    BlockFinalized,
    BlockReverted,
    BlocksBackfilled,
    LogsRepaired,
    RawLog,
)
from keeper.core.ids import Address, Hash32, to_hex
from keeper.core.runconfig import RunConfig
from keeper.engine.step import Engine
from keeper.lab.simulator.chain import Block, Chain
from keeper.lab.simulator.market import FEED, POOL


class AuditFailed(Exception):  # noqa: N818 - it names what happened
    """A promise that the journal breaks, by the oracle that saw it."""

    def __init__(self, oracle: str, detail: str) -> None:
        self.oracle = oracle
        super().__init__(detail)


def audit_journal(records: Iterable[Record], engine: Engine, chain: Chain, config: RunConfig) -> None:
    """Step all records from zero, compare every decision, and check every fact against the chain.

    Raises:
        AuditFailed: a decision does not follow, a block is not what it was, a limit of the lane was passed, or a
            liquidation was of an account that we did not know or took for healthy.
    """
    kept = list(records)
    blocks = _Blocks(chain)
    for group in _by_fact(kept):
        body = group[0].body
        blocks.check(body)  # type: ignore[arg-type]
        sequence = group[0].sequence
        made = engine.step(body, sequence)  # type: ignore[arg-type]  # a fact: the first of its group
        if [(each.cause, each.body) for each in group[1:]] != [(sequence, decision) for decision in made]:
            raise AuditFailed("replay", f"the decisions recorded after {sequence} do not follow from the facts")
        for decision in made:
            _check_recall(decision)
        if isinstance(body, AttemptPrepared) and body.attempt == 1:
            _check_in_flight(engine, config, body)
    _check_fees([record.body for record in kept if isinstance(record.body, AttemptPrepared)], config)


def _by_fact(records: Sequence[Record]) -> Iterable[list[Record]]:
    """Yield each fact with the decisions that follow from it."""
    group: list[Record] = []
    for record in records:
        if group and not isinstance(record.body, Decision):
            yield group
            group = []
        group.append(record)
    if group:
        yield group


def _check_recall(decision: Decision) -> None:
    """Whoever liquidated it: the account was known, and not taken for healthy."""
    wrong = (Verdict.UNTRACKED, Verdict.HEALTH_WRONG)
    if isinstance(decision, LiquidationObserved) and decision.verdict in wrong:
        account, verdict = to_hex(decision.liquidation.account), decision.verdict.value
        raise AuditFailed("recall", f"{account} at block {decision.block_number} was {verdict}: {decision.why}")


def _check_in_flight(engine: Engine, config: RunConfig, fact: AttemptPrepared) -> None:
    unmined = engine.intents.unmined(fact.chain_id, fact.signer)
    in_flight = [tracked for tracked in unmined if tracked.nonce is not None]
    if len(in_flight) > config.signers[0].in_flight_max:
        raise AuditFailed("in-flight", f"{len(in_flight)} slots are unmined when nonce {fact.nonce} is opened")


def _check_fees(attempts: Sequence[AttemptPrepared], config: RunConfig) -> None:
    by_intent: dict[Hash32, list[AttemptPrepared]] = {}
    by_nonce: dict[int, Hash32] = {}
    for attempt in attempts:
        by_intent.setdefault(attempt.intent_id, []).append(attempt)
        owner = by_nonce.setdefault(attempt.nonce, attempt.intent_id)
        if owner != attempt.intent_id:
            raise AuditFailed("one-slot", f"nonce {attempt.nonce} belongs to two intents")
        if attempt.fee_wei_max > config.limits.gas_price_wei_max:
            raise AuditFailed("fees", f"attempt {to_hex(attempt.tx_hash)} offers more than the ceiling")
    for of_intent in by_intent.values():
        if len({attempt.nonce for attempt in of_intent}) > 1:
            raise AuditFailed("one-slot", f"intent {to_hex(of_intent[0].intent_id)} has two nonces")
        for old, new in pairwise(of_intent):
            fee = 8 * int(new.fee_wei_max) >= 9 * int(old.fee_wei_max)
            tip = 8 * int(new.priority_fee_wei_max) >= 9 * int(old.priority_fee_wei_max)
            if not (fee and tip):
                raise AuditFailed("fees", f"attempt {to_hex(new.tx_hash)} raises its fees by less than an eighth")


class _Blocks:
    """The branch that the records describe, block by block, against the tree."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._branch: list[Hash32] = []
        self._first: int | None = None
        self._finalized = -1

    def check(self, fact: AnyFact) -> None:
        """Compare a fact of a block with the tree."""
        match fact:
            case BlockApplied(header=header, logs=logs):
                self._apply(header.number, header.parent_hash, header.hash, logs)
            case BlocksBackfilled(first=first, last=last, blocks=blocks):
                self._backfill(first, last.hash, {block.number: (block.hash, block.logs) for block in blocks})
            case BlockReverted(number=number, hash=block_hash):
                if number <= self._finalized or not self._branch or self._branch.pop() != block_hash:
                    raise AuditFailed("blocks", f"block {number} was reverted and was not an unfinal tip")
            case LogsRepaired(first=first, blocks=repaired):
                self._repair(first, {each.block.number: each.block.logs for each in repaired})
            case BlockFinalized(number=number, hash=block_hash):
                self._finalize(number, block_hash)
            case _:
                pass

    def _apply(self, number: int, parent: Hash32, block_hash: Hash32, logs: Sequence[RawLog]) -> None:
        block = self._chain.by_hash.get(block_hash)
        if block is None or (self._branch and self._branch[-1] != parent):
            raise AuditFailed("blocks", f"block {number} {to_hex(block_hash)} does not exist or is not linked")
        if self._first is None:
            self._first = number
        elif number != self._first + len(self._branch):
            raise AuditFailed("blocks", f"block {number} follows block {self._first + len(self._branch) - 1}")
        if tuple(logs) != watched_logs(block):
            missing = len(watched_logs(block)) - len(logs)
            raise AuditFailed("complete", f"block {number} was recorded with {len(logs)} logs, {missing} are missing")
        self._branch.append(block_hash)

    def _backfill(self, first: int, last: Hash32, found: dict[int, tuple[Hash32, Sequence[RawLog]]]) -> None:
        block: Block = self._chain.by_hash[last]
        path = [block]
        while path[-1].number > first:
            path.append(self._chain.by_hash[path[-1].header.parent_hash])
        for each in reversed(path):
            block_hash, logs = found.get(each.number, (each.hash, ()))
            self._apply(each.number, each.header.parent_hash, block_hash, logs)
        self._finalized = max(self._finalized, block.number)

    def _repair(self, first: int, found: dict[int, Sequence[RawLog]]) -> None:
        """What a repair leaves must be the truth, whatever stood there before."""
        for number in range(first, (self._first or 0) + len(self._branch)):
            block = self._chain.by_hash[self._branch[number - (self._first or 0)]]
            if tuple(found.get(number, ())) != watched_logs(block):
                missing = len(watched_logs(block)) - len(found.get(number, ()))
                raise AuditFailed("repair", f"block {number} was repaired to what is wrong: {missing} logs are missing")

    def _finalize(self, number: int, block_hash: Hash32) -> None:
        if number < self._finalized:
            raise AuditFailed("finality", f"finality went back from {self._finalized} to {number}")
        if self._first is None or self._branch[number - self._first] != block_hash:
            raise AuditFailed("finality", f"block {number} became final and is not on the branch")
        self._finalized = number


def watched_logs(block: Block) -> tuple[RawLog, ...]:
    """Return the logs of a block that a ledger must have."""
    return tuple(log for log in block.logs if log.address in (POOL, FEED))


def audit_chain(records: Sequence[Record], chain: Chain, signer: Address, foreign: Collection[Hash32]) -> None:
    """Check every transaction of our key on any branch, and every intent on the final one.

    Raises:
        AuditFailed: one is not in the journal, or an intent succeeded twice.
    """
    prepared = {record.body.tx_hash: record.body for record in records if isinstance(record.body, AttemptPrepared)}
    for block in chain.by_hash.values():
        for receipt in block.receipts:
            known = receipt.transaction.hash in prepared or receipt.transaction.hash in foreign
            if receipt.transaction.sender == signer and not known:
                raise AuditFailed("recorded", f"{to_hex(receipt.transaction.hash)} is on chain and not in the journal")
    succeeded: dict[Hash32, Hash32] = {}
    for block in chain.branch:
        for receipt in block.receipts:
            attempt = prepared.get(receipt.transaction.hash)
            if attempt is None or attempt.kind != "call" or not receipt.succeeded:
                continue
            if attempt.intent_id in succeeded:
                raise AuditFailed("once", f"intent {to_hex(attempt.intent_id)} succeeded twice")
            succeeded[attempt.intent_id] = attempt.tx_hash
