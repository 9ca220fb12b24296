"""A node's answers: the body of an HTTP response, through JSON-RPC, to headers, logs, receipts and refusals."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from keeper.chain.rpc import Provider, check_chain_id
from keeper.chain.wire import (
    LogFilter,
    decode_block_logs,
    decode_header,
    decode_output,
    decode_range_logs,
    decode_receipt_logs,
    decode_transaction_logs,
)
from keeper.core.errors import KeeperError, NodeRefused
from keeper.core.ids import to_hex
from keeper.execution.answers import count, data, quantity
from keeper.execution.classify import classify_refusal
from keeper.execution.receipts import parse_receipt
from keeper.execution.reverts import decode_revert
from keeper.venues.aave_v3.calls import revert_name
from tests.chain_ingestion.fakes import JumpClock
from tests.chain_ingestion.scripted import (
    CHAIN_ID,
    EVENT,
    ROOT,
    ScriptedChain,
    header_json,
    log_json,
    log_of,
    some_hash,
)

HEADER = ScriptedChain().branch[0].header
WANTED = LogFilter((ROOT,), (EVENT,))
LOGS = [log_json(log_of(b"x", index), HEADER) for index in range(3)]
TRANSACTION = some_hash("tx", b"x", 0)
RECEIPT = {
    "transactionHash": to_hex(TRANSACTION),
    "blockNumber": "0x0",
    "blockHash": to_hex(HEADER.hash),
    "status": "0x1",
    "gasUsed": "0x5208",
    "effectiveGasPrice": "0x3b9aca00",
    "logs": LOGS,
}
REVERT = "0x08c379a0" + (32).to_bytes(32, "big").hex() + (2).to_bytes(32, "big").hex() + b"45".hex().ljust(64, "0")


def _response(result: object) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "result": result})


def _refusal(**error: object) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "error": error})


SAMPLES = (
    _response(header_json(HEADER)),
    _response(LOGS),
    _response([RECEIPT]),
    _response(RECEIPT),
    _response("0x7a69"),
    _response("0x" + "00" * 64),
    _response(None),
    _refusal(code=3, message="execution reverted", data=REVERT),
    _refusal(code=-32000, message="nonce too low: next nonce 5, tx nonce 4"),
    _refusal(code=-32015, message="VM execution error.", data={"error": {"data": f"Reverted {REVERT}"}}),
    b"[" + _response(LOGS) + b"]",
)
FOUND: tuple[bytes, ...] = ()


def harness(raw: bytes) -> None:
    """Take an answer apart in every way that any method's answer is."""
    provider = Provider("http://127.0.0.1:1", CHAIN_ID, JumpClock())
    calls = [("eth_call", ())]
    for status, batched in ((200, False), (200, True), (400, False)):
        with suppress(KeeperError):
            for result in provider._results(calls, 1, provider._decode(status, raw), batched=batched):
                _decode_result(result)


def _decode_result(result: object) -> None:
    for decode in (
        lambda: decode_header(result),
        lambda: decode_header(result, number=0, block_hash=HEADER.hash),
        lambda: decode_output(result),
        lambda: decode_block_logs(result, WANTED, HEADER.number, HEADER.hash),
        lambda: decode_range_logs(result, WANTED, 0, 1 << 40),
        lambda: decode_receipt_logs(result, WANTED, HEADER.number, HEADER.hash),
        lambda: decode_transaction_logs(result, HEADER.hash),
        lambda: parse_receipt(result, TRANSACTION),
        lambda: quantity(result, "eth_gasPrice"),
        lambda: count(result, "eth_getTransactionCount"),
        lambda: data(result, "eth_call"),
        lambda: check_chain_id("node", result, CHAIN_ID),
    ):
        with suppress(KeeperError):
            decode()
    if isinstance(result, NodeRefused):
        classify_refusal(result)
        decode_revert(result, revert_name)
        str(result)
