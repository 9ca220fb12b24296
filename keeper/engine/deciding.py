"""What is decided at the head of a chain: allowances first, then the proposals of each strategy, then exits.

Runs only when a block has no known successor, because a decision about the past helps nobody. Every order that reaches
a decision is that of the configuration, of urgency (most urgent first) or of addresses.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cached_property

from keeper.core.decisions import AnyDecision, Intent, IntentAdmitted, Proposal, ProposalRefused
from keeper.core.errors import invariant
from keeper.core.facts import BlockHeader, SignerRead
from keeper.core.ids import Address, Hash32
from keeper.core.runconfig import PartialLiquidationSpec, SignerSpec, StrategySpec
from keeper.core.units import BaseAmount, Wad, Wei
from keeper.core.venue import AccountMargin, Call, Ledger
from keeper.engine.admission import approval_intent, exit_intent, liquidation_intent
from keeper.engine.book import IntentBook
from keeper.engine.gas import gas_price_wei, native_price_base
from keeper.engine.gas_budget import reserved_wei
from keeper.engine.intents import WITHOUT_EFFECT, Subject
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

    @cached_property
    def _native_base(self) -> BaseAmount | None:
        """The value of one native coin: one price of gas for all that is decided at this head."""
        return native_price_base(self._chain, self._ledgers.values())

    def decide(self, strategies: Mapping[str, Decide]) -> list[AnyDecision]:
        """Admit what passes the gate and record what does not.

        Args:
            strategies: The decider of each kind of strategy, by the tag of its configuration.
        """
        decisions: list[AnyDecision] = []
        for spec in self._state.run.strategies:
            decisions += self._allow(spec)
        decisions += self._consult(strategies)
        for spec in self._state.run.strategies:
            decisions += self._leave(spec)
        return decisions

    def _leave(self, spec: StrategySpec) -> list[AnyDecision]:
        """Leave the positions that signers hold, one at a time, from whatever source they came."""
        if not isinstance(spec, PartialLiquidationSpec):
            return []
        decisions: list[AnyDecision] = []
        for ledger in self._venues(spec):
            takeovers = ledger.takeovers
            for signer in self._signers(spec) if takeovers is not None else ():
                subject = (ledger.name, signer.address)
                if takeovers is None or self._state.intents.unmined_about(subject) is not None:
                    continue
                for market, _ in takeovers.held(signer.address)[:1]:
                    call = takeovers.exit_call(signer.address, market, spec.exit_slippage_bps)
                    if call is not None:
                        decisions += self._exit(market, call, ledger, signer)
        return decisions

    def _exit(self, market: Address, call: Call, ledger: Ledger, signer: SignerSpec) -> list[AnyDecision]:
        failed = self._state.intents.tries.of((ledger.name, signer.address)).total
        limits, head = self._state.run.limits, self._header.number
        intent = self._unspent(failed, lambda tried: exit_intent(market, call, ledger, signer, limits, head, tried))
        return [] if self._admit(intent, None, signer, ledger) is not None else [IntentAdmitted(intent, None)]

    def _allow(self, spec: StrategySpec) -> list[AnyDecision]:
        """Ask for the allowances that the signers' holdings will need."""
        return [decision for signer in self._signers(spec) for decision in self._allow_to(spec, signer)]

    def _allow_to(self, spec: StrategySpec, signer: SignerSpec) -> list[AnyDecision]:
        wallet = self._wallet(signer)
        if wallet is None:
            return []
        decisions: list[AnyDecision] = []
        for ledger in self._venues(spec):
            for token in ledger.tokens():
                if _needs_allowance(wallet, token, ledger.spender):
                    intent = approval_intent(token, ledger, signer, self._state.run.limits, self._header.number)
                    if self._admit(intent, None, signer, ledger) is None:
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
            decide = _decider(strategies, spec)
            for signer in self._signers(spec):
                if signer.name in full or (margin.venue, margin.account) in taken:
                    continue
                for proposal in decide(self._view(signer), (margin,), spec):
                    subject, verdict = (proposal.venue, proposal.account), self._weigh(proposal, signer)
                    if isinstance(verdict, IntentAdmitted):
                        decisions.append(verdict)
                        taken.add(subject)
                        refused[spec.name].pop(subject, None)
                        continue
                    refused[spec.name].setdefault(subject, (proposal, verdict))
                    if verdict.reason == in_flight_max.__name__:
                        full.add(signer.name)
        for spec in self._state.run.strategies:
            decisions += self._refusals(spec, refused[spec.name])
        return decisions

    def _at_risk(self) -> list[tuple[AccountMargin, StrategySpec]]:
        """Return the accounts at risk that have no intent under way, most urgent first, and whose business each is.

        An account that is several strategies' business is the first one's in the order of the configuration.
        """
        under_way = self._state.intents.unmined_subjects()
        at_risk = [
            (margin, spec)
            for spec in self._state.run.strategies
            for ledger in self._venues(spec)
            for margin in self._state.health.at_risk(ledger.name)
            if (margin.venue, margin.account) not in under_way
        ]
        return sorted(at_risk, key=lambda offered: _most_urgent_first(offered[0]))

    def _refusals(self, spec: StrategySpec, refused: Mapping[Subject, tuple[Proposal, Refusal]]) -> list[AnyDecision]:
        """Record what is refused now and was not, or for another reason."""
        plans = [RefusedPlan.of(proposal, refusal.reason) for proposal, refusal in refused.values()]
        new = [self._state.refusals.is_new(plan) for plan in plans]
        self._state.refusals.end_round(spec.name, tuple(ledger.name for ledger in self._venues(spec)), plans)
        return [ProposalRefused(one[0], *one[1]) for one, is_new in zip(refused.values(), new, strict=True) if is_new]

    def _weigh(self, proposal: Proposal, signer: SignerSpec) -> IntentAdmitted | Refusal:
        ledger = self._ledgers[proposal.venue]
        failed = self._state.intents.tries.of((proposal.venue, proposal.account)).total
        limits, head, native = self._state.run.limits, self._header.number, self._native_base
        intent = self._unspent(
            failed, lambda tried: liquidation_intent(proposal, ledger, signer, limits, head, tried, native)
        )
        return self._admit(intent, proposal, signer, ledger) or IntentAdmitted(intent, proposal)

    def _unspent(self, failed: int, make: Callable[[int], Intent]) -> Intent:
        """Make the intent of the next try, counted from so many failures, whose id did not come to nothing already."""
        intent = make(failed)
        while _is_spent(self._state.intents, intent.intent_id):
            failed += 1
            intent = make(failed)
        return intent

    def _admit(self, intent: Intent, proposal: Proposal | None, signer: SignerSpec, ledger: Ledger) -> Refusal | None:
        """Put an intent through the gate, and into the book when it passes."""
        state = self._state
        refusal = refuse(
            Case(
                intent=intent,
                proposal=proposal,
                live=state.run.live,
                kill_switch_armed=state.kill_switch_armed,
                limits=state.run.limits,
                signer=signer,
                wallet=self._wallet(signer),
                ledger=ledger,
                head=self._header,
                gas_price=gas_price_wei(self._header, self._wallet(signer)),
                native_base=self._native_base,
                gas_elsewhere=self._gas_elsewhere(signer),
                clock=state.clock,
                book=state.intents,
            )
        )
        if refusal is None:
            state.intents.admit(intent, state.clock.elapsed_ms)
        return refusal

    def _gas_elsewhere(self, signer: SignerSpec) -> Wei:
        """Return the most that a signer's unmined intents on other chains may cost, the unsigned at their own price."""
        state, total = self._state, Wei(0)
        for number, chain in state.chains.items():
            if number != self._chain.chain_id and chain.tip is not None:
                price = gas_price_wei(chain.tip, state.wallets.get((number, signer.name)))
                total += reserved_wei(state.intents.unmined(number, signer.name), price)
        return total

    def _view(self, signer: SignerSpec) -> HeadView:
        state = self._state
        return HeadView(
            self._chain,
            self._header,
            self._ledgers,
            state.intents,
            self._wallet(signer),
            state.run.limits,
            native_base=self._native_base,
            signer=signer,
            live=state.run.live,
        )

    def _wallet(self, signer: SignerSpec) -> SignerRead | None:
        return self._state.wallets.get((self._chain.chain_id, signer.name))

    def _signers(self, spec: StrategySpec) -> list[SignerSpec]:
        return [self._state.signer_spec(name) for name in spec.signers]

    def _venues(self, spec: StrategySpec) -> list[Ledger]:
        return [ledger for name, ledger in self._ledgers.items() if name in spec.venues]


def _decider(strategies: Mapping[str, Decide], spec: StrategySpec) -> Decide:
    tag = str(spec.__struct_config__.tag)
    invariant(tag in strategies, f"strategy {spec.name}", f"has no decider for {tag}")
    return strategies[tag]


def _is_spent(book: IntentBook, intent_id: Hash32) -> bool:
    """Tell whether an intent of this id came to nothing.

    A reorg can take back the liquidation that forgave an account's tries, and the situation before it with their count;
    the try that failed then must not stand in the way of the next.
    """
    tracked = book.tracked(intent_id)
    return tracked.failure is not None if tracked is not None else book.state(intent_id) in WITHOUT_EFFECT


def _needs_allowance(wallet: SignerRead, token: Address, spender: Address | None) -> bool:
    holding = holding_of(wallet, token, spender)
    return holding is not None and holding.balance > holding.allowance


def _most_urgent_first(margin: AccountMargin) -> tuple[int, int, str, Address]:
    """Order by debt times how far its health is below one: what the collateral no longer secures.

    By health alone a crumb deep below the line would come before a fortune just below it.
    """
    health = int(margin.health_wad or 0)
    return ((health - Wad.ONE) * int(margin.debt_base), health, margin.venue, margin.account)
