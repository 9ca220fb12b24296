"""One lane per signer and chain: the only place that spends its nonces.

A lane is a loop over what the engine's fold says of its intents. It keeps no truth of its own, so a lane that died
and a lane that starts are the same thing, and there is one procedure for both the ordinary block and the recovery:

1. *Reconcile*, once for every new head, lowest nonce first: ask for the receipts of all attempts of every open slot.
   A receipt in a block that the fold holds is recorded. A receipt in any other block, or a mined count past the
   slot, means that something is known to have happened that the fold has not seen yet: wait. Otherwise the slot is kept
   alive: cancelled when its intent has expired, raised when it waited too long or was refused as underpriced, else
   sent again, the same bytes, when the last answer was not a clear yes or the pool has lost them.
2. *Take* what was admitted, only after that, while few enough slots wait for a block: simulate on the head, then
   nonce, fees, signature, one durable record, and only then the send.

What keeps money safe is the order in :meth:`Lane._prepare_and_send`: bytes leave the process only after
``record`` returned, so the journal holds all that the chain may ever hold of us. Everything after the send is
re-derivable, and a lane that is dropped between any two awaits loses nothing.

It acts only when woken, and it is woken at the head only, so a new run does nothing before the follower has caught up;
then the fold, not the lane, knows what happened in between.

A halted signer is silent. Sending the durable bytes once more would be safe for the nonce, but a halt says that
somebody else may hold the key or that the journal lost its tail, and then nothing of ours should be in a mempool that
the operator has not looked at. Receipts are still read: looking sends nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal, NoReturn

from keeper.core.decisions import Intent, IntentState
from keeper.core.errors import NodeError, NodeRefused, invariant
from keeper.core.facts import AttemptPrepared, BlockHeader, IntentDropped, ReceiptSeen, RevertReason
from keeper.core.ids import Hash32, to_hex
from keeper.core.ports import Node, Recorder
from keeper.core.runconfig import SignerSpec
from keeper.core.units import Rounding, Wei, mul_div
from keeper.engine.intents import TrackedIntent
from keeper.engine.step import Engine
from keeper.execution.fees import Fees, call_ceiling, first_fees, raised_fees
from keeper.execution.preflight import Preflight, call_object, simulate
from keeper.execution.receipts import Receipt, SlotsSeen, look_up
from keeper.execution.reverts import decode_revert
from keeper.execution.sending import send
from keeper.execution.signer import LocalSigner, Transaction

CANCEL_GAS = 21_000
"""What an empty transaction costs (Ethereum yellow paper, G_transaction)."""
GAS_NUMERATOR, GAS_DENOMINATOR = 5, 4
"""The gas limit is the estimate and a quarter: state may move between the simulation and the block."""


class Lane:
    """Executes the admitted intents of one signer on one chain.

    Args:
        chain_id: The chain.
        spec: The signer as the run's configuration names it.
        signer: Holds the key of ``spec.address``.
        gas_price_wei_max: The operator's limit; an intent may have a lower one.
        node: Simulates, sends, and finds receipts.
        provider: What the node is called in the records of its answers.
        recorder: Makes facts durable and steps the engine.
        engine: Read only.
        on_trouble: Told what kept a pass from its end; the next head tries again.
    """

    def __init__(
        self,
        *,
        chain_id: int,
        spec: SignerSpec,
        signer: LocalSigner,
        gas_price_wei_max: Wei,
        node: Node,
        provider: str,
        recorder: Recorder,
        engine: Engine,
        on_trouble: Callable[[NodeError], None],
    ) -> None:
        same = signer.address == spec.address
        invariant(same, f"signer {spec.name}", f"{signer!r} is not the configured {to_hex(spec.address)}")
        self._chain_id = chain_id
        self._spec = spec
        self._signer = signer
        self._limit = gas_price_wei_max
        self._node = node
        self._provider = provider
        self._recorder = recorder
        self._engine = engine
        self._on_trouble = on_trouble
        self._woken = asyncio.Event()
        self._reconciled_at: Hash32 | None = None

    def admit(self, intent: Intent) -> None:
        """Wake for a durable admission. The intent itself is read from the fold.

        Raises:
            InvariantBroken: it is another lane's.
        """
        ours = (intent.chain_id, intent.signer) == (self._chain_id, self._spec.name)
        invariant(ours, f"intent {to_hex(intent.intent_id)}", f"is not for signer {self._spec.name}")
        self._woken.set()

    def head(self) -> None:
        """Wake for a new block at the head. The block itself is read from the fold, which may be ahead of it."""
        self._woken.set()

    async def run(self) -> NoReturn:
        """Work whenever woken, until cancelled. A node in trouble ends a pass, never the lane.

        Raises:
            JournalStopped: a fact could not be made durable; nothing was sent after it.
        """
        while True:
            await self._woken.wait()
            self._woken.clear()
            await self.work()

    async def work(self) -> None:
        """Make one pass: reconcile if there is a new head, then take what was admitted."""
        tip = self._tip()
        if tip is None:
            return
        try:
            if tip.hash != self._reconciled_at:
                await self._reconcile()
                self._reconciled_at = tip.hash
            await self._take_admitted()
        except NodeError as trouble:
            self._on_trouble(trouble)

    def _tip(self) -> BlockHeader | None:
        """Return the head, ``None`` while the fold is behind it."""
        chain = self._engine.chains.get(self._chain_id)
        return chain.tip if chain is not None and chain.behind_blocks == 0 else None

    def _open(self) -> list[TrackedIntent]:
        """Return the open intents that own a slot, lowest nonce first."""
        return [each for each in self._engine.intents.open(self._chain_id, self._spec.name) if each.sent]

    def _may_sign(self) -> bool:
        return self._engine.intents.halted(self._spec.name) is None

    # Reconciling

    async def _reconcile(self) -> None:
        slots = [each for each in self._open() if each.inclusion is None or each.inclusion.gas_used is None]
        if not slots:
            return
        seen = await look_up(self._node, self._signer.address, slots)
        for tracked in slots:
            receipts = seen.receipts[tracked.intent.intent_id]
            for receipt in receipts:
                await self._record_receipt(tracked, receipt)
            if not receipts:
                await self._keep_alive(tracked, seen)

    async def _record_receipt(self, tracked: TrackedIntent, receipt: Receipt) -> None:
        if not self._engine.chains[self._chain_id].is_canonical(receipt.block_number, receipt.block_hash):
            return
        revert = None if receipt.succeeded else await self._revert_reason(tracked, receipt)
        seen = ReceiptSeen(
            intent_id=tracked.intent.intent_id,
            tx_hash=receipt.tx_hash,
            block_number=receipt.block_number,
            block_hash=receipt.block_hash,
            succeeded=receipt.succeeded,
            gas_used=receipt.gas_used,
            gas_price_wei=receipt.gas_price,
            revert=revert,
        )
        await self._recorder.record([seen])

    async def _revert_reason(self, tracked: TrackedIntent, receipt: Receipt) -> RevertReason | None:
        """Repeat a reverted call on its parent block. ``None`` when it succeeds there, or the node cannot tell."""
        parent = hex(receipt.block_number - 1)
        try:
            await self._node.call("eth_call", [call_object(tracked.intent, self._signer.address), parent])
        except NodeRefused as refusal:
            return decode_revert(refusal, self._engine.ledgers[tracked.intent.venue].revert_name)
        except NodeError as trouble:
            self._on_trouble(trouble)
        return None

    async def _keep_alive(self, tracked: TrackedIntent, seen: SlotsSeen) -> None:
        tip = self._tip()
        newest = tracked.sent[-1]
        untouched = tracked.is_unmined and seen.mined_count <= newest.attempt.nonce
        if tip is None or not untouched or not self._may_sign():
            return
        replacement = self._replacement(tracked, tip, seen.tip)
        if replacement is not None:
            await self._prepare_and_send(replacement)
        elif newest.answer != "accepted" or newest.attempt.tx_hash not in seen.pooled or self._is_old(tracked, tip):
            await self._send(newest.attempt)

    def _replacement(self, tracked: TrackedIntent, tip: BlockHeader, priority: Wei) -> AttemptPrepared | None:
        """Sign the attempt that should take the newest one's place; ``None`` when it should stay, or fees forbid."""
        newest = tracked.sent[-1]
        kind = newest.attempt.kind
        expires = kind == "call" and tip.number > tracked.intent.valid_until_block
        if not (expires or newest.answer == "underpriced" or self._is_old(tracked, tip)):
            return None
        kind = "cancel" if expires else kind
        offered = Fees(newest.attempt.fee_wei_max, newest.attempt.priority_fee_wei_max)
        ceiling = self._limit if kind == "cancel" else self._call_ceiling(tracked.intent)
        fees = raised_fees(offered, Wei(tip.base_fee_wei), priority, ceiling)
        if fees is None:
            return None
        gas_limit = CANCEL_GAS if kind == "cancel" else newest.attempt.gas_limit
        return self._sign(tracked, kind, newest.attempt.nonce, gas_limit, fees, tip.number)

    def _is_old(self, tracked: TrackedIntent, tip: BlockHeader) -> bool:
        return tip.number - tracked.sent[-1].attempt.at_block >= self._spec.bump_after_blocks

    # Taking

    async def _take_admitted(self) -> None:
        for tracked in self._engine.intents.unmined(self._chain_id, self._spec.name):
            if not self._has_room() or not self._may_sign():
                return
            if tracked.state is IntentState.ADMITTED:
                await self._take(tracked)

    def _has_room(self) -> bool:
        """Tell whether another slot may be opened: not too many wait, and none for want of money."""
        waiting = [each for each in self._open() if each.is_unmined]
        unfunded = any(each.sent[-1].answer == "insufficient_funds" for each in waiting)
        return len(waiting) < self._spec.in_flight_max and not unfunded

    async def _take(self, tracked: TrackedIntent) -> None:
        intent, tip = tracked.intent, self._tip()
        if tip is None:
            return
        moot = self._why_moot(intent, tip)
        if moot is not None:
            await self._recorder.record([IntentDropped(intent.intent_id, moot)])
            return
        revert_name = self._engine.ledgers[intent.venue].revert_name
        flight = await simulate(self._node, intent, self._signer.address, tip, revert_name)
        if flight.seen.revert is not None:
            dropped = IntentDropped(intent.intent_id, f"would revert: {flight.seen.revert.name}")
            await self._recorder.record([flight.seen, dropped])
            return
        prepared = self._first_attempt(tracked, tip, flight)
        if prepared is None:
            await self._recorder.record([flight.seen])
        else:
            await self._prepare_and_send(prepared, flight)

    def _why_moot(self, intent: Intent, tip: BlockHeader) -> str | None:
        if self._engine.kill_switch_armed:
            return "kill switch"
        return "expired" if tip.number > intent.valid_until_block else None

    def _first_attempt(self, tracked: TrackedIntent, tip: BlockHeader, flight: Preflight) -> AttemptPrepared | None:
        """Claim the next nonce and sign; ``None`` while the signer is halted, its nonce unknown, or gas too dear."""
        nonce = self._engine.intents.next_nonce(self._chain_id, self._spec.name)
        fees = first_fees(Wei(tip.base_fee_wei), flight.tip, self._call_ceiling(tracked.intent))
        if nonce is None or fees is None or not self._may_sign():
            return None
        gas_limit = mul_div(flight.seen.gas, GAS_NUMERATOR, GAS_DENOMINATOR, Rounding.CEIL)
        return self._sign(tracked, "call", nonce, gas_limit, fees, tip.number)

    def _call_ceiling(self, intent: Intent) -> Wei:
        return call_ceiling(self._limit, intent.gas_price_wei_max)

    # Signing and sending

    def _sign(
        self,
        tracked: TrackedIntent,
        kind: Literal["call", "cancel"],
        nonce: int,
        gas_limit: int,
        fees: Fees,
        at_block: int,
    ) -> AttemptPrepared:
        intent = tracked.intent
        transaction = Transaction(
            chain_id=self._chain_id,
            nonce=nonce,
            to=intent.to if kind == "call" else self._signer.address,
            data=intent.data if kind == "call" else b"",
            value_wei=Wei(0),
            gas_limit=gas_limit,
            fee_wei_max=fees.fee_wei_max,
            priority_fee_wei_max=fees.priority_fee_wei_max,
        )
        signed = self._signer.sign(transaction)
        return AttemptPrepared(
            intent_id=intent.intent_id,
            chain_id=self._chain_id,
            signer=self._spec.name,
            nonce=nonce,
            attempt=len(tracked.sent) + 1,
            kind=kind,
            tx_hash=signed.tx_hash,
            raw=signed.raw,
            gas_limit=gas_limit,
            fee_wei_max=fees.fee_wei_max,
            priority_fee_wei_max=fees.priority_fee_wei_max,
            at_block=at_block,
        )

    async def _prepare_and_send(self, attempt: AttemptPrepared, flight: Preflight | None = None) -> None:
        """Make signed bytes durable, then, and only then, send them."""
        await self._recorder.record([*([flight.seen] if flight is not None else []), attempt])
        if self._may_sign():  # the wait may have brought a halt
            await self._send(attempt)

    async def _send(self, attempt: AttemptPrepared) -> None:
        await self._recorder.record([await send(self._node, self._provider, attempt)])
