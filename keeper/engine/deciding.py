"""What is decided at the head of a chain: allowances, own accounts, slices of others', exits, hedges.

Runs only when a block has no known successor, because a decision about the past helps nobody. Every order that reaches
a decision is that of the configuration, of urgency (most urgent first) or of addresses.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from keeper.core.decisions import AnyDecision, IntentAdmitted, Proposal, ProposalRefused
from keeper.core.facts import SignerRead
from keeper.core.ids import Address
from keeper.core.runconfig import (
    DeltaHedgeSpec,
    PartialLiquidationSpec,
    SelfProtectSpec,
    SignerSpec,
    SlicingSpec,
    StrategySpec,
)
from keeper.core.units import BaseAmount, Wad
from keeper.core.venue import AccountMargin, Call, Ledger
from keeper.engine.admission import approval_intent, exit_intent, liquidation_intent
from keeper.engine.hedging import hedge
from keeper.engine.intents import Subject
from keeper.engine.policy import Refusal, in_flight_max
from keeper.engine.protecting import protect, wallet_tokens
from keeper.engine.refusals import RefusedPlan
from keeper.engine.round import Round, decider, of_kind
from keeper.engine.view import Decide, holding_of


class Head(Round):
    """One round of decisions at the head of one chain."""

    def decide(self, strategies: Mapping[str, Decide]) -> list[AnyDecision]:
        """Admit what passes the gate and record what does not.

        Args:
            strategies: The decider of each kind of strategy, by the tag of its configuration.
        """
        decisions: list[AnyDecision] = []
        for spec in self.state.run.strategies:
            decisions += self._allow(spec)
        for spec in self.state.run.strategies:
            if isinstance(spec, SelfProtectSpec):
                decisions += protect(self, spec, decider(strategies, spec))
        decisions += self._consult(strategies)
        for spec in self.state.run.strategies:
            decisions += self._leave(spec)
            if isinstance(spec, DeltaHedgeSpec):
                decisions += hedge(self, spec, decider(strategies, spec))
        return decisions

    def _leave(self, spec: StrategySpec) -> list[AnyDecision]:
        """Leave the positions that signers hold, one at a time, from whatever source they came."""
        if not isinstance(spec, PartialLiquidationSpec):
            return []
        decisions: list[AnyDecision] = []
        for ledger in self.venues(spec):
            takeovers = ledger.takeovers
            for signer in self.signers(spec) if takeovers is not None else ():
                subject = (ledger.name, signer.address)
                if takeovers is None or self.state.intents.unmined_about(subject) is not None:
                    continue
                for market, _ in takeovers.held(signer.address)[:1]:
                    call = takeovers.exit_call(signer.address, market, spec.exit_slippage_bps)
                    if call is not None:
                        decisions += self._exit(market, call, ledger, signer)
        return decisions

    def _exit(self, market: Address, call: Call, ledger: Ledger, signer: SignerSpec) -> list[AnyDecision]:
        failed = self.state.intents.tries.of((ledger.name, signer.address)).total
        limits, head = self.state.run.limits, self.header.number
        intent = self.unspent(failed, lambda tried: exit_intent(market, call, ledger, signer, limits, head, tried))
        return [] if self.admit(intent, None, signer, ledger) is not None else [IntentAdmitted(intent, None)]

    def _allow(self, spec: StrategySpec) -> list[AnyDecision]:
        """Ask for the allowances that the signers' holdings will need."""
        return [decision for signer in self.signers(spec) for decision in self._allow_to(spec, signer)]

    def _allow_to(self, spec: StrategySpec, signer: SignerSpec) -> list[AnyDecision]:
        wallet = self.wallet(signer)
        if wallet is None:
            return []
        decisions: list[AnyDecision] = []
        for ledger in self.venues(spec):
            for token in _needed(spec, ledger):
                if _needs_allowance(wallet, token, ledger.spender):
                    intent = approval_intent(token, ledger, signer, self.state.run.limits, self.header.number)
                    if self.admit(intent, None, signer, ledger) is None:
                        decisions.append(IntentAdmitted(intent, None))
        return decisions

    def _consult(self, strategies: Mapping[str, Decide]) -> list[AnyDecision]:
        """Offer this chain's accounts at risk to the strategies until no signer has room left.

        The most urgent comes first, of whatever venue and strategy: what signers hold and may spend is one for all.
        Each signer in its turn is offered what those before it did not take, sized by its own inventory. A refusal is
        that of the first signer, and stands only if no other takes the account.

        Sizing a slice takes a thousand times as long as passing an account over, and in a crash there may be a thousand
        accounts: those that have an intent under way are not sized again, and those for which there is no room wait for
        the next head, which would size them anew anyway.
        """
        decisions: list[AnyDecision] = []
        refused: dict[str, dict[Subject, tuple[Proposal, Refusal]]] = defaultdict(dict)
        full: set[str] = set()
        taken: set[Subject] = set()
        for margin, spec in self._at_risk():
            decide = decider(strategies, spec)
            for signer in self.signers(spec):
                if signer.name in full or (margin.venue, margin.account) in taken:
                    continue
                for proposal in of_kind(Proposal, decide(self.view(signer), (margin,), spec)):
                    subject, verdict = (proposal.venue, proposal.account), self._weigh(proposal, signer)
                    if isinstance(verdict, IntentAdmitted):
                        decisions.append(verdict)
                        taken.add(subject)
                        refused[spec.name].pop(subject, None)
                        continue
                    refused[spec.name].setdefault(subject, (proposal, verdict))
                    if verdict.reason == in_flight_max.__name__:
                        full.add(signer.name)
        for spec in self._slicing():
            decisions += self._refusals(spec, refused[spec.name])
        return decisions

    def _slicing(self) -> list[SlicingSpec]:
        return [spec for spec in self.state.run.strategies if isinstance(spec, SlicingSpec)]

    def _at_risk(self) -> list[tuple[AccountMargin, SlicingSpec]]:
        """Return the accounts at risk that have no intent under way, most urgent first, and whose business each is.

        An account that is several strategies' business is the first one's in the order of the configuration.
        """
        under_way = self.state.intents.unmined_subjects()
        at_risk = [
            (margin, spec)
            for spec in self._slicing()
            for ledger in self.venues(spec)
            for margin in self.state.health.at_risk(ledger.name)
            if (margin.venue, margin.account) not in under_way
        ]
        return sorted(at_risk, key=lambda offered: self._urgency(offered[0]))

    def _urgency(self, margin: AccountMargin) -> tuple[int, int, int, str, Address]:
        """Order by the loss that is expected if nobody acts, where there is an opinion of it, and by urgency."""
        opinion = self.state.risk.opinions.get((margin.venue, margin.account))
        expected = 0 if opinion is None else int(opinion.loss_expected_base) // BaseAmount.ONE
        return (-expected, *_most_urgent_first(margin))

    def _refusals(self, spec: SlicingSpec, refused: Mapping[Subject, tuple[Proposal, Refusal]]) -> list[AnyDecision]:
        """Record what is refused now and was not, or for another reason."""
        plans = [RefusedPlan.of(proposal, refusal.reason) for proposal, refusal in refused.values()]
        new = [self.state.refusals.is_new(plan) for plan in plans]
        self.state.refusals.end_round(spec.name, tuple(ledger.name for ledger in self.venues(spec)), plans)
        return [ProposalRefused(one[0], *one[1]) for one, is_new in zip(refused.values(), new, strict=True) if is_new]

    def _weigh(self, proposal: Proposal, signer: SignerSpec) -> IntentAdmitted | Refusal:
        ledger = self.ledgers[proposal.venue]
        failed = self.state.intents.tries.of((proposal.venue, proposal.account)).total
        limits, head, native = self.state.run.limits, self.header.number, self.native_base
        intent = self.unspent(
            failed, lambda tried: liquidation_intent(proposal, ledger, signer, limits, head, tried, native)
        )
        return self.admit(intent, proposal, signer, ledger) or IntentAdmitted(intent, proposal)


def _needed(spec: StrategySpec, ledger: Ledger) -> tuple[Address, ...]:
    """Return the tokens that a strategy may want a venue to take from a wallet."""
    if isinstance(spec, SelfProtectSpec):
        return wallet_tokens(spec, ledger)
    return ledger.tokens() if isinstance(spec, SlicingSpec) else ()


def _needs_allowance(wallet: SignerRead, token: Address, spender: Address | None) -> bool:
    holding = holding_of(wallet, token, spender)
    return holding is not None and holding.balance > holding.allowance


def _most_urgent_first(margin: AccountMargin) -> tuple[int, int, str, Address]:
    """Order by debt times how far its health is below one: what the collateral no longer secures.

    By health alone a crumb deep below the line would come before a fortune just below it.
    """
    health = int(margin.health_wad or 0)
    return ((health - Wad.ONE) * int(margin.debt_base), health, margin.venue, margin.account)
