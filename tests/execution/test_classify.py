"""A node's refusal of a transaction is read by its words, whoever's words they are."""

import pytest

from keeper.core.errors import NodeRefused
from keeper.execution.classify import TABLE, classify_refusal

SEEN = [
    ("geth", -32000, "already known", "accepted"),
    ("geth", -32000, "replacement transaction underpriced", "underpriced"),
    ("geth", -32000, "transaction underpriced: gas tip cap 1, minimum needed 1000000000", "underpriced"),
    ("geth", -32000, "max fee per gas less than block base fee: address 0x00, maxFeePerGas: 1", "underpriced"),
    ("geth", -32000, "nonce too low: next nonce 5, tx nonce 4", "nonce_too_low"),
    ("geth", -32000, "nonce too high: address 0x00, tx: 9 state: 4", "nonce_too_high"),
    ("geth", -32000, "insufficient funds for gas * price + value: balance 0, tx cost 1", "insufficient_funds"),
    ("geth", -32000, "tx fee (1.20 ether) exceeds the configured cap (1.00 ether)", "fee_cap_exceeded"),
    ("reth", -32000, "transaction priority fee below minimum required priority fee 1000000000", "underpriced"),
    ("reth", -32003, "insufficient funds for gas * price + value: have 0 want 1", "insufficient_funds"),
    ("reth", -32000, "tx fee (2000000000000000000 wei) exceeds the configured cap (1 wei)", "fee_cap_exceeded"),
    ("nethermind", -32010, "AlreadyKnown", "accepted"),
    ("nethermind", -32010, "OldNonce, Current nonce: 22, nonce of rejected tx: 17", "nonce_too_low"),
    ("nethermind", -32010, "NonceGap, Future nonce", "nonce_too_high"),
    ("nethermind", -32010, "FeeTooLow", "underpriced"),
    ("nethermind", -32010, "FeeTooLowToCompete", "underpriced"),
    ("nethermind", -32010, "ReplacementNotAllowed", "underpriced"),
    ("nethermind", -32010, "InsufficientFunds", "insufficient_funds"),
    ("erigon", -32000, "ALREADY_EXISTS: already known", "accepted"),
    ("erigon", -32000, "INTERNAL_ERROR: existing tx with same hash", "accepted"),
    ("erigon", -32000, "INTERNAL_ERROR: could not replace existing tx", "underpriced"),
    ("erigon", -32000, "INTERNAL_ERROR: underpriced", "underpriced"),
    ("erigon", -32000, "INTERNAL_ERROR: fee too low", "underpriced"),
    ("erigon", -32000, "INTERNAL_ERROR: nonce too low", "nonce_too_low"),
    ("erigon", -32000, "INTERNAL_ERROR: insufficient funds", "insufficient_funds"),
    ("anvil", -32003, "transaction already imported", "accepted"),
    ("anvil", -32003, "replacement transaction underpriced", "underpriced"),
    ("anvil", -32003, "max fee per gas less than block base fee", "underpriced"),
    ("anvil", -32003, "nonce too low", "nonce_too_low"),
    ("anvil", -32003, "Nonce too high", "nonce_too_high"),
    ("anvil", -32003, "Insufficient funds for gas * price + value", "insufficient_funds"),
]


@pytest.mark.parametrize(("client", "code", "message", "answer"), SEEN)
def test_known_text(client: str, code: int, message: str, answer: str) -> None:
    """Every text that a client is known to send means one thing."""
    assert classify_refusal(NodeRefused("eth_sendRawTransaction", code, message)) == answer


def test_every_row_is_met() -> None:
    """No row of the table is out of reach behind an earlier one."""
    first_rows = {next(row.words for row in TABLE if row.words in message.lower()) for _, _, message, _ in SEEN}
    assert first_rows == {row.words for row in TABLE}


@pytest.mark.parametrize(
    "message",
    ["", "txpool is full", "internal error", "upstream timed out", "exceeds block gas limit", "invalid sender", "ok"],
)
def test_unknown_text(message: str) -> None:
    """A text that no row knows is unknown, never a success."""
    assert classify_refusal(NodeRefused("eth_sendRawTransaction", -32000, message)) == "unknown"
