"""What a strategy sees: the head of one chain, through the eyes of one signer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from keeper.core.decisions import Proposal
from keeper.core.errors import invariant
from keeper.core.facts import BlockHeader, SignerRead
from keeper.core.ids import Address
from keeper.core.own_money import HedgePlan, ProtectionProposal
from keeper.core.runconfig import ChainSpec, Holding, Limits, SignerSpec
from keeper.core.units import UINT256_MAX, BaseAmount, Rounding, TokenAmount, mul_div
from keeper.core.venue import AccountMargin, Ledger, StrategyView, VenueView
from keeper.engine.book import IntentBook
from keeper.engine.gas import cost_base, gas_price_wei

AnyProposal = Proposal | ProtectionProposal | HedgePlan
Decide = Callable[[StrategyView, Sequence[AccountMargin], Any], Iterable[AnyProposal]]
"""A strategy, given the parameters of its own kind.

It is consumed one proposal at a time, so that what it sees includes what was just admitted.
"""


class HeadView:
    """A strategy's view at the head of ``chain``; implements :class:`keeper.core.venue.StrategyView`.

    ``wallet`` is what was last read of the signer. In a dry run without a readable signer the inventory is unlimited,
    so that it shows what would be done.
    """

    def __init__(
        self,
        chain: ChainSpec,
        head: BlockHeader,
        ledgers: Mapping[str, Ledger],
        book: IntentBook,
        wallet: SignerRead | None,
        limits: Limits,
        *,
        native_base: BaseAmount | None,
        signer: SignerSpec,
        live: bool,
    ) -> None:
        self._chain = chain
        self._head = head
        self._ledgers = ledgers
        self._book = book
        self._wallet = wallet
        self._limits = limits
        self._native_base = native_base
        self._signer = signer
        self._live = live

    @property
    def signer(self) -> Address:
        """Return who would sign."""
        return self._signer.address

    @property
    def profit_base_min(self) -> BaseAmount:
        """Return what a slice must earn to pass the gate."""
        return self._limits.profit_base_min

    @property
    def spend_base_max(self) -> BaseAmount:
        """Return the limit of one intent."""
        return self._limits.spend_base_per_intent_max

    def margin_reserved_base(self, venue: str) -> BaseAmount:
        """Return what unmined intents may bind of the signer's free collateral at a venue."""
        return margin_reserved(self._book, venue, self._signer.name)

    def venue(self, name: str) -> VenueView:
        """Return a venue of this chain.

        Raises:
            InvariantBroken: there is none of that name.
        """
        invariant(name in self._ledgers, f"venue {name}", f"is not on chain {self._chain.name}")
        return self._ledgers[name]

    def inventory(self, token: Address) -> TokenAmount:
        """Return what one slice may take of a token: held, not reserved, and within the limit of one intent.

        A large account is thus helped in several slices, instead of not at all.
        """
        if self._wallet is None:
            return TokenAmount(0 if self._live else UINT256_MAX)
        free = free_inventory(self._wallet, self._book, token)
        value = self._value_base(token, free)
        spend_base_max = self._limits.spend_base_per_intent_max
        if value is None or value <= spend_base_max:
            return free
        return TokenAmount(mul_div(free, spend_base_max, int(value) + 1, Rounding.FLOOR))

    def balance(self, token: Address) -> TokenAmount | None:
        """Return what the wallet held of a token when it was read last."""
        holdings = () if self._wallet is None else self._wallet.holdings
        return next((holding.balance for holding in holdings if holding.token == token), None)

    def gas_cost_base(self, gas: int) -> BaseAmount | None:
        """Return the cost of that much gas at the head's price; ``None`` when it cannot be valued."""
        if self._native_base is None:
            return None
        return cost_base(gas, gas_price_wei(self._head, self._wallet), self._native_base)

    def _value_base(self, token: Address, amount: TokenAmount) -> BaseAmount | None:
        values = (ledger.value_base(token, amount) for ledger in self._ledgers.values())
        return next((value for value in values if value is not None), None)


def margin_reserved(book: IntentBook, venue: str, signer: str) -> BaseAmount:
    """Return what unmined intents may bind of a signer's free collateral; of mined ones the ledger tells."""
    unmined = (tracked.intent for tracked in book.all_open() if tracked.is_unmined)
    return sum((one.margin_base for one in unmined if (one.venue, one.signer) == (venue, signer)), BaseAmount(0))


def free_inventory(wallet: SignerRead, book: IntentBook, token: Address) -> TokenAmount:
    """Return the balance of a token less what intents in flight may still take, never below zero."""
    balance = next((holding.balance for holding in wallet.holdings if holding.token == token), TokenAmount(0))
    reserved = book.reserved(wallet.chain_id, wallet.signer, token, wallet.block_number)
    return max(TokenAmount(0), balance - reserved)


def holding_of(wallet: SignerRead, token: Address, spender: Address | None) -> Holding | None:
    """Return a wallet's holding of a token towards one spender, when it was read."""
    for holding in wallet.holdings:
        if (holding.token, holding.spender) == (token, spender):
            return holding
    return None
