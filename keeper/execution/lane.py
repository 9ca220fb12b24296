"""One lane per signer and chain: the only place that spends its nonces.

A lane is a loop over what the engine's fold says of its intents. It keeps no truth of its own, so a lane that died
and a lane that starts are the same thing, and there is one procedure for the ordinary block, the burst and the
recovery.

A crash of a price breaches many accounts in one block. What an intent waits for is a round trip to the node and the
disk, so a pass makes each wait once, for everything that it does:

1. *Look*, one batch: receipts of all attempts of every open slot (once for every new head), and a simulation of the
   calls that wait there and of what was admitted, as far as there is room for slots.
2. *Make durable*, one group: what the simulations showed, and all that is signed now. Lowest nonce first come the slots
   to keep alive: cancelled when the intent has expired, when its call would revert by now (a rival was first: 21,000
   gas are less than a revert) or when a reorg brought it back beside a younger one, raised when it waited too long or
   was refused as underpriced, else sent again, the same bytes, when the last answer was not a clear yes or the pool has
   lost them. After them, on contiguous nonces, the new ones: a slot that is stuck blocks all above it, so it is never
   behind them.
3. *Send*, one batch in order of nonces, and one group for the answers.
4. *Settle*, one group: the receipts in blocks that the fold holds. A receipt in any other block, or a mined count past
   the slot, means that something is known to have happened that the fold has not seen yet: wait.

Settling comes last because nothing new waits for it: a liquidation that succeeded is known to the fold from its block,
and its receipt adds the gas. The others (a revert, a cancel, an allowance) give their slot free only then, so a pass
looks once more at what found no room. The first pass of a run is the exception: it does all four for the slots that the
last run left, before anything new is taken.

What keeps money safe is the order of 2 and 3: bytes leave the process only after ``record`` returned, so the journal
holds all that the chain may ever hold of us. Everything after the send is re-derivable, and a lane that is dropped
between any two awaits loses nothing. A burst opens its slots before it has any answer; one that is refused stays in its
slot and is kept alive like any other, and while one waits for money no further slot is opened.

It acts only when woken, and it is woken at the head only, so a new run does nothing before the follower has caught up;
then the fold, not the lane, knows what happened in between.

A halted signer is silent. Sending the durable bytes once more would be safe for the nonce, but a halt says that
somebody else may hold the key or that the journal lost its tail, and then nothing of ours should be in a mempool that
the operator has not looked at. Receipts are still read: looking sends nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NoReturn

from keeper.core.decisions import Intent, IntentState
from keeper.core.errors import NodeError, invariant
from keeper.core.facts import (
    AnyFact,
    AttemptPrepared,
    BlockHeader,
    IntentDropped,
    ReceiptSeen,
    RevertReason,
)
from keeper.core.ids import Hash32, to_hex
from keeper.core.ports import UNWATCHED, Node, Pulse, Recorder
from keeper.core.runconfig import SignerSpec
from keeper.engine.intents import TrackedIntent
from keeper.engine.step import Engine
from keeper.execution.attempts import Attempts
from keeper.execution.purse import Purse
from keeper.execution.receipts import Receipt
from keeper.execution.replays import replay
from keeper.execution.sending import NamedNode, Sender
from keeper.execution.signer import LocalSigner
from keeper.execution.survey import Survey, survey


class Lane:
    """Executes the admitted intents of one signer on one chain.

    Args:
        chain_id: The chain.
        spec: The signer as the configuration names it.
        signer: Holds the key of ``spec.address``.
        node: Simulates, and finds receipts.
        providers: Gives who is sent to, best first, at each send.
        recorder: Makes facts durable and steps the engine.
        engine: Read only. Limits are those of its configuration, which may change while the lane runs.
        on_trouble: Told what kept a pass from its end; the next head tries again.
        pulse: Told when a pass begins and ends.
    """

    def __init__(
        self,
        *,
        chain_id: int,
        spec: SignerSpec,
        signer: LocalSigner,
        node: Node,
        providers: Callable[[], Sequence[NamedNode]],
        recorder: Recorder,
        engine: Engine,
        on_trouble: Callable[[NodeError], None],
        pulse: Pulse = UNWATCHED,
    ) -> None:
        same = signer.address == spec.address
        invariant(same, f"signer {spec.name}", f"{signer!r} is not the configured {to_hex(spec.address)}")
        self._chain_id = chain_id
        self._name = spec.name
        self._address = signer.address
        self._attempts = Attempts(chain_id, spec.name, signer, engine)
        self._node = node
        self._sender = Sender(providers)
        self._recorder = recorder
        self._engine = engine
        self._on_trouble = on_trouble
        self._pulse = pulse
        self._woken = asyncio.Event()
        self._reconciled_at: Hash32 | None = None

    def admit(self, intent: Intent) -> None:
        """Wake for a durable admission. The intent itself is read from the fold.

        Raises:
            InvariantBroken: it is another lane's.
        """
        ours = (intent.chain_id, intent.signer) == (self._chain_id, self._name)
        invariant(ours, f"intent {to_hex(intent.intent_id)}", f"is not for signer {self._name}")
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
            with self._pulse.working():
                await self.work()

    async def work(self) -> None:
        """Make one pass: take what was admitted and, at a new head, look after the open slots."""
        tip = self._tip()
        if tip is None:
            return
        try:
            await self._drop_moot(tip)
            new_run = self._reconciled_at is None
            slots = [] if tip.hash == self._reconciled_at else self._unsettled()
            taken = [] if new_run else self._admitted(())
            await self._burst(slots, taken)
            self._reconciled_at = tip.hash
            while fitting := self._admitted(taken):
                await self._burst([], fitting)
                taken = [*taken, *fitting]
        except NodeError as trouble:
            self._on_trouble(trouble)

    # What the fold says

    def _tip(self) -> BlockHeader | None:
        """Return the head, ``None`` while the fold is behind it."""
        chain = self._engine.chains.get(self._chain_id)
        return chain.tip if chain is not None and chain.behind_blocks == 0 else None

    def _may_sign(self) -> bool:
        return self._engine.intents.halted(self._name) is None

    def _open(self) -> list[TrackedIntent]:
        """Return the open intents that own a slot, lowest nonce first."""
        return [each for each in self._engine.intents.open(self._chain_id, self._name) if each.sent]

    def _waiting(self) -> list[TrackedIntent]:
        """Return the slots that wait for a block, lowest nonce first."""
        return [each for each in self._open() if each.is_unmined]

    def _unsettled(self) -> list[TrackedIntent]:
        """Return the open intents of which a receipt is wanted, lowest nonce first."""
        return [each for each in self._open() if each.inclusion is None or each.inclusion.gas_used is None]

    def _unsigned(self) -> list[TrackedIntent]:
        """Return what was admitted and not signed, in order of admission."""
        waiting = self._engine.intents.unmined(self._chain_id, self._name)
        return [each for each in waiting if each.state is IntentState.ADMITTED]

    def _admitted(self, tried: Sequence[TrackedIntent]) -> list[TrackedIntent]:
        """Return as many of the unsigned as there is room for, without those that this pass has tried."""
        return [each for each in self._unsigned() if each not in tried][: self._room()]

    def _room(self) -> int:
        """Count the slots that may be opened: none while halted, or while a slot waits for want of money."""
        waiting = self._waiting()
        unfunded = any(each.sent[-1].answer == "insufficient_funds" for each in waiting)
        return (
            0
            if unfunded or not self._may_sign()
            else max(0, self._engine.signer_spec(self._name).in_flight_max - len(waiting))
        )

    def _why_moot(self, intent: Intent, tip: BlockHeader) -> str | None:
        if self._engine.kill_switch_armed:
            return "kill switch"
        if tip.number > intent.valid_until_block:
            return "expired"
        limits = self._engine.limits
        if tip.number - intent.admitted_at_block > limits.decision_ttl_blocks:
            return "stale decision"
        return "old head" if self._engine.age_seconds(tip) > limits.head_age_seconds_max else None

    # Acting on it

    async def _drop_moot(self, tip: BlockHeader) -> None:
        """Give up what need not be signed any more."""
        reasons = [(each.intent.intent_id, self._why_moot(each.intent, tip)) for each in self._unsigned()]
        await self._record([IntentDropped(intent_id, reason) for intent_id, reason in reasons if reason is not None])

    async def _burst(self, slots: Sequence[TrackedIntent], admitted: Sequence[TrackedIntent]) -> None:
        """Look, make durable, send and settle, each once for all of the intents."""
        tip = self._tip()
        if tip is None or not (slots or admitted):
            return
        seen = await survey(self._node, self._address, tip, slots, admitted, self._engine.ledgers)
        purse = Purse(self._engine.wallets.get((self._chain_id, self._name)), self._waiting())
        attempts = [*self._kept(slots, seen, purse), *self._opened(admitted, seen, purse)]
        durable = [tracked.newest for tracked in slots]
        signed = [attempt for attempt in attempts if attempt not in durable]
        await self._record([*self._shown(seen), *signed])
        await self._send(attempts)
        await self._settle(slots, seen)

    def _kept(self, slots: Sequence[TrackedIntent], seen: Survey, purse: Purse) -> list[AttemptPrepared]:
        """Return what keeps slots alive, in their order: replacements, and durable attempts to be sent again."""
        tip = self._tip()
        if tip is None or not self._may_sign():
            return []
        due = [self._due(tracked, tip, seen, purse) for tracked in slots]
        return [attempt for attempt in due if attempt is not None]

    def _due(self, tracked: TrackedIntent, tip: BlockHeader, seen: Survey, purse: Purse) -> AttemptPrepared | None:
        newest = tracked.sent[-1]
        passed = seen.mined_count > newest.attempt.nonce or seen.receipts[tracked.intent.intent_id]
        if passed or not tracked.is_unmined:
            return None
        reverts = seen.would_revert(tracked.intent.intent_id)
        idle = reverts or self._engine.intents.is_superseded(tracked)
        replacement = self._attempts.replacement(tracked, tip, seen.tip, idle=idle)
        if replacement is not None and purse.commit(replacement, tracked):
            return replacement
        held = newest.answer == "accepted" and newest.attempt.tx_hash in seen.pooled
        return None if held and (reverts or not self._attempts.is_old(tracked, tip)) else newest.attempt

    def _opened(self, admitted: Sequence[TrackedIntent], seen: Survey, purse: Purse) -> list[AttemptPrepared]:
        """Claim the next nonces and sign. None while the nonce is unknown; who stays out leaves no gap.

        Who could not be paid for at the worst stays out, and waits.
        """
        tip, nonce = self._tip(), self._engine.intents.next_nonce(self._chain_id, self._name)
        if tip is None or nonce is None:
            return []
        attempts: list[AttemptPrepared] = []
        for tracked in admitted[: self._room()]:  # a reorg or a halt may have come while the node answered
            flight = seen.flights[tracked.intent.intent_id]
            if isinstance(flight, NodeError) or flight.revert or self._why_moot(tracked.intent, tip):
                continue
            first = self._attempts.first(tracked.intent, nonce + len(attempts), flight.gas, tip, seen.tip)
            attempts += [first] if first is not None and purse.commit(first, tracked) else []
        return attempts

    def _shown(self, seen: Survey) -> list[AnyFact]:
        """Return what the simulations showed, of a call in its slot only news; what is unsigned is dropped for it."""
        facts: list[AnyFact] = []
        for intent_id, flight in seen.flights.items():
            if seen.receipts.get(intent_id):
                continue
            if isinstance(flight, NodeError):
                self._on_trouble(flight)
                continue
            tracked = self._engine.intents.tracked(intent_id)
            signed = tracked is not None and bool(tracked.sent)
            reason = flight.revert.name if flight.revert is not None else None
            if not signed or (tracked is not None and tracked.preflight_revert != reason):
                facts.append(flight)
            if not signed and reason is not None:
                facts.append(IntentDropped(intent_id, f"would revert: {reason}"))
        return facts

    async def _send(self, attempts: Sequence[AttemptPrepared]) -> None:
        """Send what is durable, unless the wait for that has brought a halt."""
        if attempts and self._may_sign():
            await self._record(await self._sender.send(attempts))

    async def _settle(self, slots: Sequence[TrackedIntent], seen: Survey) -> None:
        """Record the receipts in blocks that the fold holds."""
        chain = self._engine.chains[self._chain_id]
        found = [(each.intent, receipt) for each in slots for receipt in seen.receipts[each.intent.intent_id]]
        held = [each for each in found if chain.is_canonical(each[1].block_number, each[1].block_hash)]
        reasons = await self._reasons([each for each in held if not each[1].succeeded])
        await self._record([_receipt_seen(*each, reasons.get(each[1].tx_hash)) for each in held])

    async def _reasons(self, reverted: Sequence[tuple[Intent, Receipt]]) -> dict[Hash32, RevertReason]:
        """Find out why calls reverted. A node that cannot tell keeps no receipt from being recorded."""
        if not reverted:
            return {}
        try:
            return await replay(self._node, self._address, reverted, self._engine.ledgers)
        except NodeError as trouble:
            self._on_trouble(trouble)
            return {}

    async def _record(self, facts: Sequence[AnyFact]) -> None:
        if facts:
            await self._recorder.record(facts)


def _receipt_seen(intent: Intent, receipt: Receipt, revert: RevertReason | None) -> ReceiptSeen:
    return ReceiptSeen(
        intent_id=intent.intent_id,
        tx_hash=receipt.tx_hash,
        block_number=receipt.block_number,
        block_hash=receipt.block_hash,
        succeeded=receipt.succeeded,
        gas_used=receipt.gas_used,
        gas_price_wei=receipt.gas_price,
        revert=revert,
    )
