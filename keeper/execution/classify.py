"""What a node's answer to ``eth_sendRawTransaction`` means.

A table, because nodes say the same thing in different words and with overlapping error codes (geth answers most of
these with -32000, anvil with -32003, reth with -32000 or -32003). Rows are tried in order, the first whose words occur
in the message wins; a longer text therefore stands above one that it contains. What no row knows is ``unknown``:
the transaction may or may not be in the pool, and only a receipt will tell.

Where the words come from (all read in public sources):

* geth: ``core/txpool/errors.go``, ``core/error.go``; the fee cap in ``internal/ethapi`` ``checkTxFee``.
* reth: ``crates/rpc/rpc-eth-types/src/error/mod.rs`` (``RpcPoolError``, ``RpcInvalidTransactionError``).
* nethermind: ``Nethermind.TxPool/AcceptTxResult.cs``; up to 1.2x the names of its members, later the words of geth.
* erigon: ``erigon-lib/txpool/txpoolcfg`` ``DiscardReason.String``, prefixed ``INTERNAL_ERROR:`` or similar over gRPC.
* anvil: ``crates/anvil/src/eth/error.rs`` (``to_rpc_result``, ``InvalidTransactionError``).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from keeper.core.errors import NodeRefused

Answer = Literal[
    "accepted",
    "unknown",
    "underpriced",
    "nonce_too_low",
    "nonce_too_high",
    "insufficient_funds",
    "fee_cap_exceeded",
]


class Row(NamedTuple):
    """Words (lower case) that occur in an error message, what they mean, and who says them."""

    words: str
    answer: Answer
    said_by: str


TABLE = (
    # The node has these very bytes.
    Row("already known", "accepted", "geth ErrAlreadyKnown; reth AlreadyKnown; erigon AlreadyKnown"),
    Row("alreadyknown", "accepted", "nethermind AlreadyKnown"),
    Row("already imported", "accepted", "anvil PoolError::AlreadyImported"),
    Row("existing tx with same hash", "accepted", "erigon DuplicateHash"),
    # The nonce is taken by a transaction that offers nearly as much, or more.
    Row("replacement transaction underpriced", "underpriced", "geth, reth, erigon, anvil"),
    Row("replacementnotallowed", "underpriced", "nethermind ReplacementNotAllowed"),
    Row("could not replace existing tx", "underpriced", "erigon NotReplaced"),
    # The offer is below what the pool or the next block takes.
    Row("max fee per gas less than block base fee", "underpriced", "geth ErrFeeCapTooLow; reth, anvil FeeCapTooLow"),
    Row("transaction underpriced", "underpriced", "geth ErrUnderpriced; reth Underpriced"),
    Row("priority fee below minimum required", "underpriced", "reth PriorityFeeBelowMinimum"),
    Row("feetoolow", "underpriced", "nethermind FeeTooLow, FeeTooLowToCompete"),
    Row("fee too low", "underpriced", "erigon FeeTooLow"),
    Row("underpriced", "underpriced", "erigon UnderPriced"),
    # The nonce is used on chain, or too far ahead of it.
    Row("nonce too low", "nonce_too_low", "geth ErrNonceTooLow; reth, erigon, anvil NonceTooLow"),
    Row("oldnonce", "nonce_too_low", "nethermind OldNonce"),
    Row("nonce too high", "nonce_too_high", "geth ErrNonceTooHigh; reth, anvil NonceTooHigh"),
    Row("noncegap", "nonce_too_high", "nethermind NonceGap"),
    # Money.
    Row("insufficient funds", "insufficient_funds", "geth ErrInsufficientFunds; reth, erigon, anvil InsufficientFunds"),
    Row("insufficientfunds", "insufficient_funds", "nethermind InsufficientFunds"),
    Row("exceeds the configured cap", "fee_cap_exceeded", "geth checkTxFee; reth ExceedsFeeCap"),
)


def classify_refusal(refusal: NodeRefused) -> Answer:
    """Return what a node's error object says of the transaction it was sent; ``unknown`` when no row knows it."""
    message = refusal.message.lower()
    return next((row.answer for row in TABLE if row.words in message), "unknown")
