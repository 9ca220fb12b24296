"""One round at the head of a chain: what everything that is decided there shares, the gate above all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import TypeVar

from keeper.core.decisions import Intent, Proposal
from keeper.core.errors import InvariantBroken, invariant
from keeper.core.facts import BlockHeader, SignerRead
from keeper.core.ids import Hash32
from keeper.core.runconfig import SignerSpec, StrategySpec
from keeper.core.units import BaseAmount, Wei
from keeper.core.venue import Ledger
from keeper.engine.book import IntentBook
from keeper.engine.gas import gas_price_wei, native_price_base
from keeper.engine.gas_budget import reserved_wei
from keeper.engine.intents import WITHOUT_EFFECT
from keeper.engine.policy import Case, Refusal, refuse
from keeper.engine.state import EngineState
from keeper.engine.view import Decide, HeadView

BUG = "this is a bug: keep the journal and report it"
Kind = TypeVar("Kind")


class Round:
    """The state, the head, its venues, and how an intent gets into the book.

    Args:
        state: Of the engine.
        chain_id: The chain.
        header: Its head.
    """

    def __init__(self, state: EngineState, chain_id: int, header: BlockHeader) -> None:
        self.state = state
        self.header = header
        self.ledgers = {ledger.name: ledger for ledger in state.ledgers_of(chain_id)}
        self._chain = state.chain_spec(chain_id)

    @cached_property
    def native_base(self) -> BaseAmount | None:
        """The value of one native coin: one price of gas for all that is decided at this head."""
        return native_price_base(self._chain, self.ledgers.values())

    def unspent(self, failed: int, make: Callable[[int], Intent]) -> Intent:
        """Make the intent of the next try, counted from so many failures, whose id did not come to nothing already."""
        intent = make(failed)
        while _is_spent(self.state.intents, intent.intent_id):
            failed += 1
            intent = make(failed)
        return intent

    def admit(self, intent: Intent, proposal: Proposal | None, signer: SignerSpec, ledger: Ledger) -> Refusal | None:
        """Put an intent through the gate, and into the book when it passes."""
        state = self.state
        refusal = refuse(
            Case(
                intent=intent,
                proposal=proposal,
                live=state.run.live,
                kill_switch_armed=state.kill_switch_armed,
                limits=state.run.limits,
                signer=signer,
                wallet=self.wallet(signer),
                ledger=ledger,
                head=self.header,
                gas_price=gas_price_wei(self.header, self.wallet(signer)),
                native_base=self.native_base,
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
        state, total = self.state, Wei(0)
        for number, chain in state.chains.items():
            if number != self._chain.chain_id and chain.tip is not None:
                price = gas_price_wei(chain.tip, state.wallets.get((number, signer.name)))
                total += reserved_wei(state.intents.unmined(number, signer.name), price)
        return total

    def view(self, signer: SignerSpec) -> HeadView:
        """Return what a strategy sees through the eyes of a signer."""
        state = self.state
        return HeadView(
            self._chain,
            self.header,
            self.ledgers,
            state.intents,
            self.wallet(signer),
            state.run.limits,
            native_base=self.native_base,
            signer=signer,
            live=state.run.live,
        )

    def wallet(self, signer: SignerSpec) -> SignerRead | None:
        """Return what was last read of a signer on the chain."""
        return self.state.wallets.get((self._chain.chain_id, signer.name))

    def signers(self, spec: StrategySpec) -> list[SignerSpec]:
        """Return who acts for a strategy, first choice first."""
        return [self.state.signer_spec(name) for name in spec.signers]

    def venues(self, spec: StrategySpec) -> list[Ledger]:
        """Return the chain's venues that are a strategy's business."""
        return [ledger for name, ledger in self.ledgers.items() if name in spec.venues]


def decider(strategies: Mapping[str, Decide], spec: StrategySpec) -> Decide:
    """Return the decider of a strategy's kind.

    Raises:
        InvariantBroken: there is none.
    """
    tag = str(spec.__struct_config__.tag)
    invariant(tag in strategies, f"strategy {spec.name}", f"has no decider for {tag}")
    return strategies[tag]


def of_kind(kind: type[Kind], proposals: Iterable[object]) -> Iterator[Kind]:
    """Yield a strategy's proposals, which are all of the kind that its specification stands for.

    Raises:
        InvariantBroken: one is of another kind.
    """
    for proposal in proposals:
        if not isinstance(proposal, kind):
            raise InvariantBroken("strategy", f"proposed a {type(proposal).__name__}, not a {kind.__name__}", BUG)
        yield proposal


def _is_spent(book: IntentBook, intent_id: Hash32) -> bool:
    """Tell whether an intent of this id came to nothing.

    A reorg can take back the liquidation that forgave an account's tries, and the situation before it with their count;
    the try that failed then must not stand in the way of the next.
    """
    tracked = book.tracked(intent_id)
    return tracked.failure is not None if tracked is not None else book.state(intent_id) in WITHOUT_EFFECT
