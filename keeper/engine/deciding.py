"""What is decided at the head of a chain: allowances first, then the proposals of each strategy, in order.

Runs only when a block has no known successor, because a decision about the past helps nobody. Every order that reaches
a decision is that of the configuration, of the health (worst first) or of addresses.
"""

from __future__ import annotations

from collections.abc import Mapping

from keeper.core.decisions import AnyDecision, Intent, IntentAdmitted, Proposal, ProposalRefused
from keeper.core.errors import invariant
from keeper.core.facts import BlockHeader, SignerRead
from keeper.core.ids import Address
from keeper.core.runconfig import PartialLiquidationSpec
from keeper.core.venue import AccountMargin, Ledger
from keeper.engine.admission import approval_intent, liquidation_intent
from keeper.engine.gas import gas_price_wei, native_price_base
from keeper.engine.policy import Case, Refusal, in_flight_max, refuse
from keeper.engine.refusals import RefusedPlan
from keeper.engine.state import EngineState
from keeper.engine.view import Decide, HeadView, holding_of


class Head:
    """One round of decisions at the head of one chain."""

    def __init__(self, state: EngineState, chain_id: int, header: BlockHeader) -> None:
        self._state = state
        self._chain = state.chain_spec(chain_id)
        self._header = header
        self._ledgers = {ledger.name: ledger for ledger in state.ledgers_of(chain_id)}

    def decide(self, strategies: Mapping[str, Decide]) -> list[AnyDecision]:
        """Admit what passes the gate and record what does not.

        Args:
            strategies: The decider of each kind of strategy, by the tag of its configuration.
        """
        decisions: list[AnyDecision] = []
        for spec in self._state.run.strategies:
            decisions += self._allow(spec)
        for spec in self._state.run.strategies:
            tag = str(spec.__struct_config__.tag)
            invariant(tag in strategies, f"strategy {spec.name}", f"has no decider for {tag}")
            decisions += self._consult(spec, strategies[tag])
        return decisions

    def _allow(self, spec: PartialLiquidationSpec) -> list[AnyDecision]:
        """Ask for the allowances that the signer's holdings will need."""
        wallet = self._wallet(spec)
        if wallet is None:
            return []
        signer = self._state.signer_spec(spec.signer)
        decisions: list[AnyDecision] = []
        for ledger in self._venues(spec):
            for token in ledger.tokens():
                if _needs_allowance(wallet, token, ledger.spender):
                    intent = approval_intent(token, ledger, signer, self._state.run.limits, self._header.number)
                    if self._admit(intent, None, spec, ledger) is None:
                        decisions.append(IntentAdmitted(intent, None))
        return decisions

    def _consult(self, spec: PartialLiquidationSpec, decide: Decide) -> list[AnyDecision]:
        """Run one strategy over this chain's accounts at risk, worst first, until the signer has no room left.

        Sizing a slice takes a thousand times as long as passing an account over, and in a crash there may be a thousand
        accounts: those that have an intent under way are not sized again, and those for which there is no room wait for
        the next head, which would size them anew anyway.
        """
        ledgers = self._venues(spec)
        under_way = self._state.intents.unmined_subjects()
        at_risk = [
            margin
            for ledger in ledgers
            for margin in self._state.health.at_risk(ledger.name)
            if (margin.venue, margin.account) not in under_way
        ]
        decisions: list[AnyDecision] = []
        refused: list[RefusedPlan] = []
        if at_risk:
            for proposal in decide(self._view(spec), sorted(at_risk, key=_worst_first), spec):
                decisions += self._weigh(proposal, spec, refused)
                if refused and refused[-1].reason == in_flight_max.__name__:
                    break
        self._state.refusals.end_round(spec.name, tuple(ledger.name for ledger in ledgers), refused)
        return decisions

    def _weigh(self, proposal: Proposal, spec: PartialLiquidationSpec, refused: list[RefusedPlan]) -> list[AnyDecision]:
        ledger = self._ledgers[proposal.venue]
        failed = self._state.intents.tries.of((proposal.venue, proposal.account)).total
        signer = self._state.signer_spec(spec.signer)
        native_base = native_price_base(self._chain, ledger)
        intent = liquidation_intent(
            proposal, ledger, signer, self._state.run.limits, self._header.number, failed, native_base
        )
        refusal = self._admit(intent, proposal, spec, ledger)
        if refusal is None:
            return [IntentAdmitted(intent, proposal)]
        plan = RefusedPlan.of(proposal, refusal.reason)
        refused.append(plan)
        return [ProposalRefused(proposal, *refusal)] if self._state.refusals.is_new(plan) else []

    def _admit(
        self, intent: Intent, proposal: Proposal | None, spec: PartialLiquidationSpec, ledger: Ledger
    ) -> Refusal | None:
        """Put an intent through the gate, and into the book when it passes."""
        state = self._state
        refusal = refuse(
            Case(
                intent=intent,
                proposal=proposal,
                live=state.run.live,
                kill_switch_armed=state.kill_switch_armed,
                limits=state.run.limits,
                signer=state.signer_spec(spec.signer),
                wallet=self._wallet(spec),
                ledger=ledger,
                head=self._header,
                gas_price=gas_price_wei(self._header, self._wallet(spec)),
                native_base=native_price_base(self._chain, ledger),
                clock=state.clock,
                book=state.intents,
            )
        )
        if refusal is None:
            state.intents.admit(intent, state.clock.elapsed_ms)
        return refusal

    def _view(self, spec: PartialLiquidationSpec) -> HeadView:
        state = self._state
        return HeadView(
            self._chain,
            self._header,
            self._ledgers,
            state.intents,
            self._wallet(spec),
            state.run.limits.spend_base_per_intent_max,
            live=state.run.live,
        )

    def _wallet(self, spec: PartialLiquidationSpec) -> SignerRead | None:
        return self._state.wallets.get((self._chain.chain_id, spec.signer))

    def _venues(self, spec: PartialLiquidationSpec) -> list[Ledger]:
        return [ledger for name, ledger in self._ledgers.items() if name in spec.venues]


def _needs_allowance(wallet: SignerRead, token: Address, spender: Address | None) -> bool:
    holding = holding_of(wallet, token, spender)
    return holding is not None and holding.balance > holding.allowance


def _worst_first(margin: AccountMargin) -> tuple[int, str, Address]:
    return (int(margin.health_wad or 0), margin.venue, margin.account)
