"""After the calm: what should have been done by now, and was not."""

from __future__ import annotations

from keeper.core.decisions import IntentState, Proposal
from keeper.core.ids import to_hex
from keeper.core.runconfig import RunConfig
from keeper.core.units import BaseAmount
from keeper.core.venue import AccountMargin, Status
from keeper.engine.gas import native_price_base
from keeper.engine.step import Engine
from keeper.engine.view import HeadView
from keeper.lab.simulator.chain import Block
from keeper.lab.simulator.ledger import SimulatedLedger
from strategies import STRATEGIES

QUIET_BLOCKS = 36
"""An intent admitted earlier than this before the head must have ended: expiry, a cancel, and finality of that."""


def unhelped(engine: Engine, head: Block, config: RunConfig) -> str | None:
    """Return what is stuck: an intent that has not ended, or an account that could be helped and was not."""
    for tracked in engine.intents.all_open():
        if tracked.intent.admitted_at_block < head.number - QUIET_BLOCKS:
            return f"intent {to_hex(tracked.intent.intent_id)} is still {tracked.state.value}"
    ledger = engine.ledgers[config.venues[0].name]
    if not isinstance(ledger, SimulatedLedger):
        return "no ledger"
    unsafe = [ledger.margin(account) for account in ledger.accounts()]
    unsafe = [margin for margin in unsafe if margin.health.status is Status.LIQUIDATABLE]
    for margin in unsafe:
        if _is_helpable(engine, head, config, margin):
            return f"account {to_hex(margin.account)} is unsafe ({margin.health_wad}), can be helped, and is not"
    return None


def _is_helpable(engine: Engine, head: Block, config: RunConfig, margin: AccountMargin) -> bool:
    """Tell whether the strategy would propose a slice that earns enough, and nothing of the budget forbids it."""
    spec, limits = config.strategies[0], config.limits
    wallet = engine.wallets.get((config.chains[0].chain_id, spec.signer))
    tries = engine.intents.tries.of((margin.venue, margin.account))
    if max(tries.reverted, tries.preflight) >= limits.attempts_per_account_max:
        return False  # the operator's bound on retries
    if any(
        tracked.intent.account == margin.account and _is_young(tracked.state) for tracked in engine.intents.all_open()
    ):
        return False  # being helped
    view = HeadView(
        config.chains[0],
        head.header,
        engine.ledgers,
        engine.intents,
        wallet,
        limits,
        native_base=native_price_base(config.chains[0], engine.ledgers.values()),
        signer=config.signers[0],
        live=True,
    )
    proposals = STRATEGIES["partial_liquidation"](view, [margin], spec)
    return any(
        isinstance(proposal, Proposal)
        and proposal.profit_base >= BaseAmount(int(limits.profit_base_min))
        and (proposal.preview.health_after is None or proposal.preview.health_after > proposal.health_before)
        for proposal in proposals
    )


def _is_young(state: IntentState) -> bool:
    return state in (IntentState.ADMITTED, IntentState.PREPARED, IntentState.BROADCAST, IntentState.SEND_UNKNOWN)
