"""A node's refusal of a transaction is read by its words, whoever's words they are."""

import pytest

from keeper.core.errors import ConfigError, NodeRefused
from keeper.execution.classify import TABLE, classify_refusal, parse_table

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
    ("reth", -32000, "already known", "accepted"),
    ("reth", -32000, "replacement transaction underpriced", "underpriced"),
    ("reth", -32000, "transaction underpriced", "underpriced"),
    ("reth", -32003, "max fee per gas less than block base fee", "underpriced"),
    ("reth", -32003, "nonce too low: next nonce 5, tx nonce 4", "nonce_too_low"),
    ("reth", -32003, "nonce too high", "nonce_too_high"),
    ("besu", -32000, "Known transaction", "accepted"),
    ("besu", -32000, "Replacement transaction underpriced", "underpriced"),
    ("besu", -32009, "Gas price below configured minimum gas price", "underpriced"),
    ("besu", -32001, "Nonce too low", "nonce_too_low"),
    ("besu", -32004, "Upfront cost exceeds account balance", "insufficient_funds"),
    ("besu", -32000, "Transaction fee cap exceeded", "fee_cap_exceeded"),
    ("anvil", -32003, "transaction already imported", "accepted"),
    ("anvil", -32003, "replacement transaction underpriced", "underpriced"),
    ("anvil", -32003, "max fee per gas less than block base fee", "underpriced"),
    ("anvil", -32003, "nonce too low", "nonce_too_low"),
    ("anvil", -32003, "Nonce too high", "nonce_too_high"),
    ("anvil", -32003, "Insufficient funds for gas * price + value", "insufficient_funds"),
]


@pytest.mark.fault(9, 10)
@pytest.mark.parametrize(("client", "code", "message", "answer"), SEEN)
def test_known_text(client: str, code: int, message: str, answer: str) -> None:
    """Every text that a client is known to send means one thing."""
    assert classify_refusal(NodeRefused("eth_sendRawTransaction", code, message)) == answer


def test_every_row_is_met() -> None:
    """Each row has a text of its own client above that it decides."""
    met = {
        (row.client, row.words)
        for client, _, message, _ in SEEN
        for row in TABLE
        if row.client == client and row.words in message.lower()
    }
    assert met == {(row.client, row.words) for row in TABLE}


@pytest.mark.fault(9)
def test_longest_words_speak() -> None:
    """Of the rows that match, the one that says most decides, wherever it stands."""
    rows = parse_table(table(("nonce too low", "nonce_too_low"), ("nonce too low to replace", "underpriced")))
    for order in (rows, rows[::-1]):
        assert classify_refusal(NodeRefused("p", 0, "Nonce too low to replace"), order) == "underpriced"
        assert classify_refusal(NodeRefused("p", 0, "nonce too low"), order) == "nonce_too_low"


def test_equal_rows_that_disagree() -> None:
    """Rows that say as much and differ leave the transaction unknown."""
    rows = parse_table(table(("fee cap", "underpriced"), ("too low", "nonce_too_low")))
    assert classify_refusal(NodeRefused("p", 0, "fee cap too low"), rows) == "unknown"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"text = 1", "Expected `array`"),
        (b"[[text]]", "missing required field"),
        (b"[[text]]\nclient = 1", "geth|str|client"),
        (b"[[", "Invalid"),
    ],
)
def test_not_a_table(raw: bytes, reason: str) -> None:
    """A file of another form is refused."""
    with pytest.raises(ConfigError, match=f"send_errors.toml: .*({reason})"):
        parse_table(raw)


@pytest.mark.parametrize("words", ["", " ", "Nonce"])
def test_words_that_never_match(words: str) -> None:
    """Words that no message can decide by are refused."""
    with pytest.raises(ConfigError, match="never match"):
        parse_table(table((words, "accepted")))


def test_two_meanings() -> None:
    """The same words cannot mean two things."""
    with pytest.raises(ConfigError, match="mean accepted and underpriced"):
        parse_table(table(("same", "accepted"), ("same", "underpriced")))


@pytest.mark.parametrize(
    "message",
    ["", "txpool is full", "internal error", "upstream timed out", "exceeds block gas limit", "invalid sender", "ok"],
)
def test_unknown_text(message: str) -> None:
    """A text that no row knows is unknown, never a success."""
    assert classify_refusal(NodeRefused("eth_sendRawTransaction", -32000, message)) == "unknown"


def table(*rows: tuple[str, str]) -> bytes:
    """Write a table of these words and meanings."""
    return "".join(
        f'[[text]]\nclient = "geth"\nwords = "{words}"\nmeans = "{means}"\nsource = ""\n' for words, means in rows
    ).encode()
