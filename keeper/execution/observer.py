"""What a signer owns at a block: native coin, mined count, tokens and what it lets each venue take of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from keeper.core.errors import NodeRefused
from keeper.core.facts import BlockHeader, SignerRead
from keeper.core.ids import Address, to_hex
from keeper.core.ports import Node
from keeper.core.runconfig import Holding
from keeper.core.units import TokenAmount, Wei
from keeper.core.venue import Ledger
from keeper.execution.answers import at_block, count, data, quantity
from keeper.execution.reverts import decode_revert

BALANCE_OF = bytes.fromhex("70a08231")
"""``balanceOf(address)``."""
ALLOWANCE = bytes.fromhex("dd62ed3e")
"""``allowance(address,address)``."""
WORD = 32


class SignerObserver:
    """Reads one signer on one chain.

    Args:
        node: Answers all of one reading from one provider.
        chain_id: The chain.
        signer: The configured name.
        address: Its address.
        ledgers: Gives the chain's venues; asked at each reading, as venues learn their tokens by and by.
        tokens: Gives the tokens of a venue that the signer may have to do with.
    """

    def __init__(
        self,
        *,
        node: Node,
        chain_id: int,
        signer: str,
        address: Address,
        ledgers: Callable[[], Sequence[Ledger]],
        tokens: Callable[[Ledger], Iterable[Address]] = lambda ledger: ledger.tokens(),
    ) -> None:
        self._node = node
        self._chain_id = chain_id
        self._signer = signer
        self._address = address
        self._ledgers = ledgers
        self._tokens = tokens

    async def read(self, header: BlockHeader) -> SignerRead:
        """Read the signer's account at the end of a block, in one batch pinned to the block's hash.

        A token whose views revert, or answer no word, is left out: what cannot be read cannot be spent.

        Raises:
            NodeError: the node could not tell, for a reason that is not a token's.
        """
        tokens = [
            (token, ledger.spender)
            for ledger in self._ledgers()
            if ledger.spender is not None
            for token in self._tokens(ledger)
        ]
        pinned = at_block(header.hash)
        account = [to_hex(self._address), pinned]
        balance, nonce, pending, priority_fee, *views = await self._node.batch(
            [
                ("eth_getBalance", account),
                ("eth_getTransactionCount", account),
                ("eth_getTransactionCount", [to_hex(self._address), "pending"]),
                ("eth_maxPriorityFeePerGas", []),
                *(("eth_call", [view, pinned]) for pair in tokens for view in self._views(*pair)),
            ]
        )
        words = [_word(view) for view in views]
        return SignerRead(
            chain_id=self._chain_id,
            signer=self._signer,
            block_number=header.number,
            block_hash=header.hash,
            balance_wei=Wei(quantity(balance, "eth_getBalance")),
            nonce=count(nonce, "eth_getTransactionCount"),
            holdings=tuple(
                Holding(token, spender, TokenAmount(held), TokenAmount(allowed))
                for (token, spender), held, allowed in zip(tokens, words[::2], words[1::2], strict=True)
                if held is not None and allowed is not None
            ),
            priority_fee_wei=Wei(quantity(priority_fee, "eth_maxPriorityFeePerGas")),
            pending_nonce=count(pending, "eth_getTransactionCount"),
        )

    def _views(self, token: Address, spender: Address) -> tuple[dict[str, str], dict[str, str]]:
        owner, taker = self._address.rjust(WORD, b"\0"), spender.rjust(WORD, b"\0")
        return (
            {"to": to_hex(token), "data": to_hex(BALANCE_OF + owner)},
            {"to": to_hex(token), "data": to_hex(ALLOWANCE + owner + taker)},
        )


def _word(answer: object) -> int | None:
    """Return the number that a view gave, ``None`` when the token cannot be read."""
    if isinstance(answer, NodeRefused) and decode_revert(answer, bytes.hex) is not None:
        return None
    output = data(answer, "eth_call")
    return int.from_bytes(output, "big") if len(output) == WORD else None
