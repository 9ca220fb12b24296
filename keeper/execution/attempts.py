"""What a lane signs: an intent's first attempt, and the one that takes another's place in its slot."""

from __future__ import annotations

from typing import Literal

from keeper.core.decisions import Intent
from keeper.core.facts import AttemptPrepared, BlockHeader
from keeper.core.units import Rounding, Wei, mul_div
from keeper.engine.intents import TrackedIntent
from keeper.engine.step import Engine
from keeper.execution.fees import Fees, call_ceiling, first_fees, raised_fees
from keeper.execution.signer import LocalSigner, Transaction

CANCEL_GAS = 21_000
"""What an empty transaction costs (Ethereum yellow paper, G_transaction)."""
GAS_NUMERATOR, GAS_DENOMINATOR = 5, 4
"""State may move between the simulation and the block, so the gas limit is the estimate and a quarter, and never less
than what the venue says that such a call costs: a simulation at the head's own timestamp skips what the contract does
once for each block, as Morpho does when it accrues."""


class Attempts:
    """Prices and signs the attempts of one lane. Nothing here waits, records or sends.

    Args:
        chain_id: The chain.
        name: The signer's, in the configuration.
        signer: Holds its key.
        engine: Read only: the configuration may be another at each attempt.
    """

    def __init__(self, chain_id: int, name: str, signer: LocalSigner, engine: Engine) -> None:
        self._chain_id = chain_id
        self._name = name
        self._signer = signer
        self._engine = engine

    def first(self, intent: Intent, nonce: int, gas: int, tip: BlockHeader, priority: Wei) -> AttemptPrepared | None:
        """Sign an intent's first attempt; ``None`` when gas is too dear for it.

        Args:
            intent: Without a slot.
            nonce: The slot it gets.
            gas: What its simulation used.
            tip: The head.
            priority: The priority fee for each unit of gas that the node suggests.
        """
        fees = first_fees(Wei(tip.base_fee_wei), priority, self._call_ceiling(intent))
        if fees is None:
            return None
        gas_limit = max(mul_div(gas, GAS_NUMERATOR, GAS_DENOMINATOR, Rounding.CEIL), intent.gas)
        return self._sign(intent, 1, "call", nonce, gas_limit, fees, tip.number)

    def replacement(
        self, tracked: TrackedIntent, tip: BlockHeader, priority: Wei, *, idle: bool
    ) -> AttemptPrepared | None:
        """Sign the attempt that should take the newest one's place; ``None`` when it should stay, or fees forbid.

        Args:
            tracked: An intent with a slot.
            tip: The head.
            priority: The priority fee for each unit of gas that the node suggests.
            idle: A call would do nothing any more, and is cancelled as if it had expired.
        """
        intent, newest = tracked.intent, tracked.sent[-1]
        kind = newest.attempt.kind
        expires = kind == "call" and (idle or tip.number > intent.valid_until_block)
        if not (expires or newest.answer == "underpriced" or self.is_old(tracked, tip)):
            return None
        kind = "cancel" if expires else kind
        offered = Fees(newest.attempt.fee_wei_max, newest.attempt.priority_fee_wei_max)
        ceiling = self._limit() if kind == "cancel" else self._call_ceiling(intent)
        fees = raised_fees(offered, Wei(tip.base_fee_wei), priority, ceiling)
        if fees is None:
            return None
        gas_limit = CANCEL_GAS if kind == "cancel" else newest.attempt.gas_limit
        number = newest.attempt.attempt + 1
        return self._sign(intent, number, kind, newest.attempt.nonce, gas_limit, fees, tip.number)

    def is_old(self, tracked: TrackedIntent, tip: BlockHeader) -> bool:
        """Tell whether the newest attempt has waited long enough to be raised."""
        return tip.number - tracked.sent[-1].attempt.at_block >= self._engine.signer_spec(self._name).bump_after_blocks

    def _limit(self) -> Wei:
        return self._engine.limits.gas_price_wei_max

    def _call_ceiling(self, intent: Intent) -> Wei:
        return call_ceiling(self._limit(), intent.gas_price_wei_max)

    def _sign(
        self,
        intent: Intent,
        number: int,
        kind: Literal["call", "cancel"],
        nonce: int,
        gas_limit: int,
        fees: Fees,
        at_block: int,
    ) -> AttemptPrepared:
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
            signer=self._name,
            nonce=nonce,
            attempt=number,
            kind=kind,
            tx_hash=signed.tx_hash,
            raw=signed.raw,
            gas_limit=gas_limit,
            fee_wei_max=fees.fee_wei_max,
            priority_fee_wei_max=fees.priority_fee_wei_max,
            at_block=at_block,
        )
