"""The policy gate: one ordered list of named rules. The first rule that refuses is the reason.

A rule is a pure function from a :class:`Case` to why it refuses, or ``None``. The order is part of the behaviour: first
what the operator switched off, then what is unsafe about the signer or the head, then what is wrong with this intent,
then what it would earn, then what it would cost, last what passes by itself.

Allowances, exits and the care of own accounts pass the same gate. Rules about profit have nothing to say of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from keeper.core.decisions import Intent, Proposal
from keeper.core.facts import BlockHeader, SignerRead
from keeper.core.ids import to_hex
from keeper.core.runconfig import Limits, SignerSpec
from keeper.core.units import BaseAmount, TokenAmount, Wei
from keeper.core.venue import Ledger
from keeper.engine.book import IntentBook
from keeper.engine.clock import EngineClock
from keeper.engine.gas_budget import reserved_wei
from keeper.engine.intents import subject_of
from keeper.engine.view import free_inventory, holding_of, margin_reserved


class Case(NamedTuple):
    """An intent that would be admitted, and everything the gate weighs it by.

    ``proposal`` is ``None`` for what is no slice. ``native_base`` is the value of one native coin. ``gas_elsewhere`` is
    the most that the signer's intents on other chains may still cost.
    """

    intent: Intent
    proposal: Proposal | None
    live: bool
    kill_switch_armed: bool
    limits: Limits
    signer: SignerSpec
    wallet: SignerRead | None
    ledger: Ledger
    head: BlockHeader
    gas_price: Wei
    native_base: BaseAmount | None
    gas_elsewhere: Wei
    clock: EngineClock
    book: IntentBook


class Refusal(NamedTuple):
    """Which rule refused, and the figures it looked at."""

    reason: str
    detail: str


Rule = Callable[[Case], str | None]


def dry_run(case: Case) -> str | None:
    """Nothing is sent unless the run is live."""
    return None if case.live else "the run is not live"


def kill_switch(case: Case) -> str | None:
    """Nothing is admitted while the operator's switch is armed."""
    return "the operator's switch is armed" if case.kill_switch_armed else None


def signer_halted(case: Case) -> str | None:
    """A halted signer waits for the operator."""
    return case.book.halted(case.signer.name)


def signer_balance_low(case: Case) -> str | None:
    """The signer must have been read, and be able to pay for gas."""
    if case.wallet is None:
        return "the signer's balance is not known yet"
    if case.wallet.balance_wei < case.signer.balance_wei_min:
        return f"{case.wallet.balance_wei} wei is below {case.signer.balance_wei_min}"
    return None


def head_stale(case: Case) -> str | None:
    """The head's timestamp must be close to the wall clock."""
    age_seconds = case.clock.unix_ms // 1000 - case.head.timestamp
    if age_seconds > case.limits.head_age_seconds_max:
        return f"the head is {age_seconds} s old, above {case.limits.head_age_seconds_max}"
    return None


def venue_paused(case: Case) -> str | None:
    """A venue whose transactions reverted one after the other rests for a while."""
    until = case.book.breakers.paused_until(case.intent.venue)
    return None if case.head.number > until else f"up to block {until}"


def target_not_allowed(case: Case) -> str | None:
    """A liquidation may call the venue's own pool, an allowance one of its tokens; nothing else is ever called.

    Where positions are taken over, the contract that hands them over, and lets them be left, is the pool.
    """
    taken, takeovers = case.proposal is not None and case.proposal.preview.takeover, case.ledger.takeovers
    kind, protections = case.intent.kind, case.ledger.protections
    pool = takeovers.target if (taken or kind == "exit") and takeovers is not None else case.ledger.spender
    if kind == "protection":
        pool = None if protections is None else protections.spender
    tokens = (*case.ledger.tokens(), *(() if protections is None else protections.tokens()))
    allowed = tokens if kind == "approval" else (pool,)
    return None if case.intent.to in allowed else f"{to_hex(case.intent.to)} is not a contract of {case.intent.venue}"


def account_has_open_intent(case: Case) -> str | None:
    """An account has at most one unmined intent."""
    unmined = case.book.unmined_about(subject_of(case.intent))
    return None if unmined is None else f"intent {to_hex(unmined.intent.intent_id)} is {unmined.state.value}"


def duplicate_intent(case: Case) -> str | None:
    """The same plan in the same situation is admitted once."""
    state = case.book.state(case.intent.intent_id)
    return None if state is None else f"intent {to_hex(case.intent.intent_id)} is {state.value}"


def retry_budget(case: Case) -> str | None:
    """An account is tried in vain a limited number of times for each cause."""
    tries = case.book.tries.of(subject_of(case.intent))
    for cause, count in (("reverted", tries.reverted), ("failed in preflight", tries.preflight)):
        if count >= case.limits.attempts_per_account_max:
            return f"{count} tries {cause}"
    return None


def gas_price_above_max(case: Case) -> str | None:
    """The head's gas price must be below the operator's ceiling."""
    if case.gas_price > case.limits.gas_price_wei_max:
        return f"{case.gas_price} wei is above {case.limits.gas_price_wei_max}"
    return None


def gas_price_unknown(case: Case) -> str | None:
    """A profit is known only when gas has a price in the base currency."""
    if case.proposal is None or case.native_base is not None:
        return None
    return "no venue of the chain prices the wrapped native token"


def held_back(case: Case) -> str | None:
    """What the strategy itself advises against is not done."""
    return None if case.proposal is None else case.proposal.held_back


def profit_below_min(case: Case) -> str | None:
    """A slice must earn the operator's minimum after repayment, gas and slippage."""
    if case.proposal is None or case.proposal.profit_base >= case.limits.profit_base_min:
        return None
    return f"{case.proposal.profit_base} is below {case.limits.profit_base_min} (USD 1e-8)"


def spend_per_intent(case: Case) -> str | None:
    """A slice must not cost more than the operator allows at once."""
    if case.intent.spend_base > case.limits.spend_base_per_intent_max:
        return f"{case.intent.spend_base} is above {case.limits.spend_base_per_intent_max} (USD 1e-8)"
    return None


def spend_per_hour(case: Case) -> str | None:
    """All slices of an hour must not cost more than the operator allows."""
    total = case.book.spend.total(case.clock.elapsed_ms) + case.intent.spend_base
    if total > case.limits.spend_base_per_hour_max:
        return f"{total} is above {case.limits.spend_base_per_hour_max} (USD 1e-8)"
    return None


def gas_budget(case: Case) -> str | None:
    """A signer's gas of an hour, with the most that is in flight, must stay within the operator's budget.

    It is one budget for all chains: a coin counts as a coin, whatever each is worth.
    """
    unmined = case.book.unmined(case.intent.chain_id, case.signer.name)
    spent = case.book.gas.spent(case.signer.name, case.clock.elapsed_ms)
    total = spent + case.gas_elsewhere + reserved_wei(unmined, case.gas_price) + case.gas_price * case.intent.gas
    if total > case.limits.gas_wei_per_hour_max:
        return f"{total} wei is above {case.limits.gas_wei_per_hour_max}"
    return None


def gas_unfunded(case: Case) -> str | None:
    """The signer must be able to pay for all that is in flight at its worst, and for this."""
    unmined = case.book.unmined(case.intent.chain_id, case.signer.name)
    total = reserved_wei(unmined, case.gas_price) + case.gas_price * case.intent.gas
    if case.wallet is None or total <= case.wallet.balance_wei:
        return None
    return f"{total} wei may be needed, {case.wallet.balance_wei} are there"


def inventory_short(case: Case) -> str | None:
    """The signer must hold what is repaid, beyond what intents in flight have reserved."""
    spend = case.intent.spend
    if case.wallet is None or spend.amount == TokenAmount(0):
        return None
    free = free_inventory(case.wallet, case.book, spend.token)
    return None if free >= spend.amount else f"{free} of {to_hex(spend.token)} is less than {spend.amount}"


def allowance_short(case: Case) -> str | None:
    """The venue must be allowed to take what is repaid; the engine asks for allowances ahead of need."""
    spend = case.intent.spend
    if case.wallet is None or spend.amount == TokenAmount(0):
        return None
    holding = holding_of(case.wallet, spend.token, case.ledger.spender)
    allowed = holding.allowance if holding is not None else TokenAmount(0)
    reserved = case.book.reserved(case.wallet.chain_id, case.wallet.signer, spend.token, case.wallet.block_number)
    return None if allowed >= reserved + spend.amount else f"{allowed} of {to_hex(spend.token)} is allowed"


def free_collateral_short(case: Case) -> str | None:
    """Who takes a position over must have deposited what it binds, beyond what intents in flight may bind."""
    taken = None if case.proposal is None else case.proposal.preview.takeover
    if taken is None:
        return None
    left = taken.free_base - margin_reserved(case.book, case.intent.venue, case.signer.name)
    if left >= BaseAmount(0):
        return None
    return f"{-left} more is needed as free collateral at {case.intent.venue} (USD 1e-8)"


def in_flight_max(case: Case) -> str | None:
    """A signer has a limited number of unmined transactions, so that one stuck nonce blocks few.

    Allowances have as many places of their own: a cold start in a crash asks for one for each token, and none of the
    slices that need no new one must wait for them.
    """
    unmined = case.book.unmined(case.intent.chain_id, case.signer.name)
    count = sum(tracked.intent.kind == case.intent.kind for tracked in unmined)
    return None if count < case.signer.in_flight_max else f"{count} intents of its kind are unmined"


RULES: tuple[Rule, ...] = (
    dry_run,
    kill_switch,
    signer_halted,
    signer_balance_low,
    head_stale,
    venue_paused,
    target_not_allowed,
    account_has_open_intent,
    duplicate_intent,
    retry_budget,
    gas_price_above_max,
    gas_price_unknown,
    held_back,
    profit_below_min,
    spend_per_intent,
    spend_per_hour,
    gas_budget,
    gas_unfunded,
    inventory_short,
    allowance_short,
    free_collateral_short,
    in_flight_max,
)
"""The gate, in order. A rule's name is its reason."""


def refuse(case: Case) -> Refusal | None:
    """Return the first refusal, ``None`` when every rule lets the intent pass."""
    for rule in RULES:
        detail = rule(case)
        if detail is not None:
            return Refusal(rule.__name__, detail)
    return None
