"""The care of the operator's own accounts: what is decided about them before anything is decided about others'.

An own account below its floor is offered to the strategy, which says what could be done, best first. The first that
passes the gate is done, so that a wallet without the one token, or a plan that failed, does not keep the next from
being done; the refusal that counts is that of the best.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from keeper.core.decisions import AnyDecision, Intent, IntentAdmitted, ProtectionRefused
from keeper.core.errors import InvariantBroken
from keeper.core.facts import TokenSpend
from keeper.core.ids import ZERO_ADDRESS, Address, content_id
from keeper.core.own_money import ProtectionProposal
from keeper.core.runconfig import Limits, SelfProtectSpec, SignerSpec
from keeper.core.units import BaseAmount
from keeper.core.venue import AccountMargin, Ledger, Status
from keeper.engine.policy import Refusal
from keeper.engine.refusals import RefusedPlan
from keeper.engine.round import BUG, Round, of_kind
from keeper.engine.state import EngineState
from keeper.engine.view import Decide


def protect(head: Round, spec: SelfProtectSpec, decide: Decide) -> list[AnyDecision]:
    """Protect the own accounts that are below their floor; record what is refused now and was not.

    Args:
        head: The round.
        spec: Whose accounts, and the lines.
        decide: The strategy.
    """
    decisions: list[AnyDecision] = []
    refused: list[tuple[ProtectionProposal, Refusal]] = []
    for ledger, margin in _below_floor(head, spec):
        done = _first_admitted(head, spec, decide, ledger, margin)
        if isinstance(done, IntentAdmitted):
            decisions.append(done)
        elif done is not None:
            refused.append(done)
    plans = [_plan(*each) for each in refused]
    new = [head.state.refusals.is_new(plan) for plan in plans]
    head.state.refusals.end_round(spec.name, tuple(ledger.name for ledger in head.venues(spec)), plans)
    return decisions + [ProtectionRefused(one[0], *one[1]) for one, is_new in zip(refused, new, strict=True) if is_new]


def _below_floor(head: Round, spec: SelfProtectSpec) -> Iterator[tuple[Ledger, AccountMargin]]:
    """Yield the own accounts that need care and have no intent under way, least health first at each venue.

    Of one whose health is unknown, or in doubt since an audit, nothing is known to be right. One at its floor or above
    has a new budget of tries for the next time.
    """
    state = head.state
    for ledger in head.venues(spec):
        if ledger.protections is None:
            continue
        known = [ledger.margin(account) for account in spec.accounts]
        known = [each for each in known if each.health.status is not Status.UNKNOWN]
        for margin in sorted(known, key=lambda each: (int(each.health_wad or 0), each.account)):
            subject = (ledger.name, margin.account)
            if margin.health_wad is None or margin.health_wad >= spec.floor_health:
                state.intents.tries.renew(subject)
            elif subject not in state.health.doubted and state.intents.unmined_about(subject) is None:
                yield ledger, margin


def _first_admitted(
    head: Round, spec: SelfProtectSpec, decide: Decide, ledger: Ledger, margin: AccountMargin
) -> IntentAdmitted | tuple[ProtectionProposal, Refusal] | None:
    """Return the first proposal that passes the gate, else the first with its refusal, ``None`` without any."""
    first: tuple[ProtectionProposal, Refusal] | None = None
    tries = head.state.intents.tries.of((ledger.name, margin.account))
    limits, number = head.state.run.limits, head.header.number
    for signer in head.signers(spec):
        proposals = [*of_kind(ProtectionProposal, decide(head.view(signer), (margin,), spec))]
        for proposal in _turned(proposals, tries.reverted + tries.preflight):
            intent = head.unspent(tries.total, _maker(proposal, ledger, signer, limits, number))
            refusal = head.admit(intent, None, signer, ledger)
            if refusal is None:
                return IntentAdmitted(intent, None, proposal)
            first = first or (proposal, refusal)
    return first


def _turned(proposals: list[ProtectionProposal], failed: int) -> list[ProtectionProposal]:
    """Begin with another after each failure of this breach: what a cap refused must not be all that is tried."""
    turn = failed % len(proposals) if proposals else 0
    return proposals[turn:] + proposals[:turn]


def _maker(
    proposal: ProtectionProposal, ledger: Ledger, signer: SignerSpec, limits: Limits, head_number: int
) -> Callable[[int], Intent]:
    def make(failed: int) -> Intent:
        return protection_intent(proposal, ledger, signer, limits, head_number, failed)

    return make


def protection_intent(
    proposal: ProtectionProposal, ledger: Ledger, signer: SignerSpec, limits: Limits, head_number: int, failed: int
) -> Intent:
    """Make a protection into an intent. Nothing is earned by it, so its fees may rise to the operator's ceiling.

    Args:
        proposal: What would be done.
        ledger: Its venue.
        signer: Who would sign and pay.
        limits: The operator's.
        head_number: The block that is decided on.
        failed: How often the account was tried in vain; part of the id, so that a new try is a new intent.

    Raises:
        InvariantBroken: the venue knows no protection.
    """
    protections = ledger.protections
    if protections is None:
        raise InvariantBroken(ledger.name, "has no protections, and one was proposed", BUG)
    call = protections.call(proposal.account, proposal.action, proposal.asset, proposal.amount)
    epoch, (tokens, value_base) = proposal.epoch, proposal.spent
    what = (proposal.action, proposal.asset, proposal.amount)
    place = (proposal.account, epoch.block_number, epoch.log_index)
    return Intent(
        intent_id=content_id("protection", ledger.chain_id, ledger.name, signer.name, *place, *what, failed),
        kind="protection",
        venue=ledger.name,
        chain_id=ledger.chain_id,
        signer=signer.name,
        account=proposal.account,
        epoch=epoch,
        to=call.to,
        data=call.data,
        spend=TokenSpend(proposal.asset, tokens),
        spend_base=value_base,
        profit_base=BaseAmount(0),
        gas_price_wei_max=limits.gas_price_wei_max,
        admitted_at_block=head_number,
        valid_until_block=head_number + signer.valid_for_blocks,
        gas=protections.protection_gas,
        why=proposal.rationale,
    )


def wallet_tokens(spec: SelfProtectSpec, ledger: Ledger) -> tuple[Address, ...]:
    """Return the tokens that actions for own accounts may take from a wallet now, each once.

    Nothing else is allowed to the venue: what is never needed should not be within its reach.
    """
    if ledger.protections is None:
        return ()
    options = [option for account in spec.accounts for option in ledger.protections.options(account)]
    wanted = (each.asset for each in options if each.action in spec.actions and each.action != "reduce")
    return tuple(dict.fromkeys(wanted))


def renew_own_tries(state: EngineState) -> None:
    """Let a new run try allowances, exits and own accounts anew: nothing on chain would renew their budget."""
    protected = [each for spec in state.run.strategies if isinstance(spec, SelfProtectSpec) for each in spec.accounts]
    for ledger in state.ledgers.values():
        for subject in (*ledger.tokens(), *(signer.address for signer in state.run.signers), *protected):
            state.intents.tries.renew((ledger.name, subject))


def _plan(proposal: ProtectionProposal, refusal: Refusal) -> RefusedPlan:
    """Return a refusal without its figures: a repayment has no collateral asset, a top-up no debt asset."""
    action, asset = proposal.action, proposal.asset
    debt = ZERO_ADDRESS if action == "top-up" else asset
    collateral = ZERO_ADDRESS if action == "repay" else asset
    return RefusedPlan(
        proposal.strategy, proposal.venue, proposal.account, proposal.epoch, debt, collateral, refusal.reason
    )
