"""Decoding against web3's ``process_log``, and the exact margin and preview that follow: same logs, same run.

Each side gets its natural input: web3 the receipt with ``HexBytes`` that its own middleware makes of the JSON, ours the
:class:`~keeper.core.facts.RawLog` that the follower makes of it. The mix is the four events that matter most. Rounds
are interleaved and figures are medians of them.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import Any

from eth_abi.abi import encode
from hexbytes import HexBytes
from web3 import Web3

from keeper.core.facts import BlockHeader, ContractRead, RawLog
from keeper.core.ids import ZERO_ADDRESS, Address, Hash32
from keeper.core.runconfig import VenueSpec
from keeper.core.units import UINT256_MAX, TokenAmount
from keeper.venues.aave_v3 import reads
from keeper.venues.aave_v3.codec import POOL, POOL_CONFIGURATOR, decode
from keeper.venues.aave_v3.ledger import AaveLedger
from keeper.venues.aave_v3.math import RAY
from keeper.venues.abi import topic_of

ROUNDS = 7
LOGS_OF_WEB3 = 400
LOGS_OF_OURS = 40_000
ACCOUNTS = 2_000
RESERVES = 12
POSITIONS = 4
RATIO_WANTED = 50

MIX: dict[str, tuple[str, ...]] = {
    "Mint": ("address", "address", "uint256", "uint256", "uint256"),
    "ReserveDataUpdated": ("address", "uint256", "uint256", "uint256", "uint256", "uint256"),
    "BalanceTransfer": ("address", "address", "uint256", "uint256"),
    "LiquidationCall": ("address", "address", "address", "uint256", "uint256", "address", "bool"),
}
INDEXED = {"Mint": 2, "ReserveDataUpdated": 1, "BalanceTransfer": 2, "LiquidationCall": 3}
ROOT, POOL_PROXY, CONFIGURATOR, ORACLE, ANYONE = (Address(number.to_bytes(20, "big")) for number in range(1, 6))


def run() -> dict[str, object]:
    """Return logs/s of both sides and their ratio, accounts/s of exact margin, previews/s."""
    logs = _mixed_logs()
    ledger, accounts = _book()
    slices = [_first_pair(ledger, account) for account in accounts]
    everything = TokenAmount(UINT256_MAX)
    ours, theirs, margins, previews = [], [], [], []
    for _ in range(ROUNDS):
        theirs.append(_web3_rate(logs[:LOGS_OF_WEB3]))
        ours.append(_rate(lambda: [decode(log) for log in logs], len(logs)))
        margins.append(_rate(lambda: [ledger.margin(account) for account in accounts], len(accounts)))
        previews.append(_rate(lambda: [ledger.preview(*slice_, everything) for slice_ in slices], len(slices)))
    ratio = median(ours) / median(theirs)
    return {
        "logs_per_second": round(median(ours)),
        "web3_logs_per_second": round(median(theirs)),
        "ratio": round(ratio, 1),
        "ratio_wanted": RATIO_WANTED,
        "positions_per_account": POSITIONS,
        "margin_accounts_per_second": round(median(margins)),
        "previews_per_second": round(median(previews)),
    }


def _rate(work: Callable[[], object], count: int) -> float:
    began = perf_counter()
    work()
    return count / (perf_counter() - began)


def _log(address: Address, signature: str, types: Sequence[str], indexed: int, values: Sequence[object]) -> RawLog:
    topics = [encode([kind], [value]) for kind, value in zip(types[:indexed], values, strict=False)]
    data = encode(types[indexed:], values[indexed:])
    return RawLog(address, (topic_of(signature), *topics), data, 0, Hash32(bytes(32)))


def _event(address: Address, name: str, *values: object) -> RawLog:
    types = MIX[name]
    return _log(address, f"{name}({','.join(types)})", types, INDEXED[name], values)


def _mixed_logs() -> list[RawLog]:
    """Return the same few thousand distinct logs over and over, every event as often as the others."""
    chance = random.Random(1)
    distinct = [
        _event(POOL_PROXY, name, *(_drawn(chance, kind) for kind in MIX[name])) for _ in range(250) for name in MIX
    ]
    return distinct * (LOGS_OF_OURS // len(distinct))


def _drawn(chance: random.Random, kind: str) -> object:
    return {"address": chance.randbytes(20), "bool": True}.get(kind, chance.getrandbits(120))


def _web3_rate(logs: Sequence[RawLog]) -> float:
    contract = Web3().eth.contract(address=Web3.to_checksum_address(POOL_PROXY), abi=_abi())
    names = {topic_of(f"{name}({','.join(types)})"): name for name, types in MIX.items()}
    receipts = [(contract.events[names[log.topics[0]]](), _receipt(log)) for log in logs]
    return _rate(lambda: [event.process_log(receipt) for event, receipt in receipts], len(receipts))


def _abi() -> list[dict[str, Any]]:
    return [
        {
            "type": "event",
            "name": name,
            "anonymous": False,
            "inputs": [
                {"name": f"argument{place}", "type": kind, "indexed": place < INDEXED[name]}
                for place, kind in enumerate(types)
            ],
        }
        for name, types in MIX.items()
    ]


def _receipt(log: RawLog) -> Any:  # noqa: ANN401 - web3's own type for it is a TypedDict of its middleware
    return {
        "address": Web3.to_checksum_address(log.address),
        "topics": [HexBytes(topic) for topic in log.topics],
        "data": HexBytes(log.data),
        "blockNumber": 1,
        "blockHash": HexBytes(bytes(32)),
        "transactionHash": HexBytes(log.tx_hash),
        "transactionIndex": 0,
        "logIndex": log.log_index,
        "removed": False,
    }


def _token(asset: Address, kind: int) -> Address:
    return Address(asset[:19] + bytes([kind]))


def _asset(number: int) -> Address:
    return Address(b"\xee" * 18 + bytes([number, 0]))


def _book() -> tuple[AaveLedger, list[Address]]:
    """Return a ledger of accounts with four positions each, and the accounts, every one of them in breach."""
    spec = VenueSpec(name="aave", protocol="aave_v3", chain_id=1, root=ROOT, from_block=0, prices="read")
    ledger, chance = AaveLedger(spec), random.Random(2)
    assets = [_asset(number) for number in range(RESERVES)]
    accounts = [Address(chance.randbytes(20)) for _ in range(ACCOUNTS)]
    logs = _founding() + [log for asset in assets for log in _listing(asset)]
    logs += [log for account in accounts for log in _positions(account, chance.sample(assets, POSITIONS))]
    asked = ledger.reads(logs)
    ledger.begin_block(BlockHeader(1, Hash32(bytes(32)), Hash32(bytes(32)), 1_000, 0, b""))
    for log in logs:
        ledger.apply_log(log)
    ledger.apply_reads([ContractRead(each.target, each.calldata, _answer(each.calldata), None) for each in asked])
    ledger.begin_block(BlockHeader(2, Hash32(bytes(32)), Hash32(bytes(32)), 1_012, 0, b""))
    asked = ledger.reads([])
    ledger.apply_reads([ContractRead(each.target, each.calldata, _answer(each.calldata), None) for each in asked])
    return ledger, accounts


def _answer(calldata: bytes) -> bytes:
    value = 1 if calldata == reads.POOL_REVISION else 10**8 if calldata[:4] == reads.ASSET_PRICE else UINT256_MAX
    return value.to_bytes(32, "big")


def _founding() -> list[RawLog]:
    proxy, oracle = "ProxyCreated(bytes32,address,address)", "PriceOracleUpdated(address,address)"
    three, two = ("bytes32", "address", "address"), ("address", "address")
    return [
        _log(ROOT, proxy, three, 3, (POOL, POOL_PROXY, ANYONE)),
        _log(ROOT, proxy, three, 3, (POOL_CONFIGURATOR, CONFIGURATOR, ANYONE)),
        _log(ROOT, oracle, two, 2, (ZERO_ADDRESS, ORACLE)),
    ]


def _listing(asset: Address) -> list[RawLog]:
    initialized = ("address", "address", "address", "address", "uint8", "string", "string", "bytes")
    tokens = ("address",) * 5
    ratios = ("address", "uint256", "uint256", "uint256")
    a_token, stable, variable = (_token(asset, kind) for kind in (1, 2, 3))
    return [
        _log(
            a_token,
            f"Initialized({','.join(initialized)})",
            initialized,
            2,
            (asset, POOL_PROXY, ANYONE, ANYONE, 18, "", "", b""),
        ),
        _log(
            CONFIGURATOR,
            f"ReserveInitialized({','.join(tokens)})",
            tokens,
            2,
            (asset, a_token, stable, variable, ANYONE),
        ),
        _log(
            CONFIGURATOR,
            f"CollateralConfigurationChanged({','.join(ratios)})",
            ratios,
            1,
            (asset, 7_500, 8_000, 10_500),
        ),
        _event(POOL_PROXY, "ReserveDataUpdated", asset, RAY // 50, 0, RAY // 25, RAY + RAY // 7, RAY + RAY // 5),
    ]


def _positions(account: Address, assets: Sequence[Address]) -> list[RawLog]:
    """Return two collaterals and two debts of the same size: a health of about 0.8."""
    enabled = "ReserveUsedAsCollateralEnabled(address,address)"
    logs = []
    for asset in assets[: POSITIONS // 2]:
        logs.append(_event(_token(asset, 1), "Mint", account, account, 10**21, 0, RAY))
        logs.append(_log(POOL_PROXY, enabled, ("address", "address"), 2, (asset, account)))
    logs += [_event(_token(asset, 3), "Mint", account, account, 10**21, 0, RAY) for asset in assets[POSITIONS // 2 :]]
    return logs


def _first_pair(ledger: AaveLedger, account: Address) -> tuple[Address, Address, Address]:
    first = ledger.pairs(account)[0]
    return account, first.debt_asset, first.collateral_asset


if __name__ == "__main__":
    json.dump(run(), sys.stdout, indent=2)
