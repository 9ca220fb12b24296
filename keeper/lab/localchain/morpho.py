"""Deploy Morpho Blue with two isolated markets from published bytecode, and ask what it says of accounts.

The contract, the adaptive-curve interest-rate model and the settable oracle come from
``@morpho-org/morpho-blue-bundlers``, which publishes their bytecode inside TypeChain factories; the tokens are Aave's.
Of our own, compiled when needed, are the lens, which asks the contract by calls that are reverted, and a model without
memory (the published mock divides by zero in an empty market). The second market differs by its loan to value alone: a
keeper of the first must not be misled by it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from eth_utils.crypto import keccak

from keeper.core.errors import ConfigError
from keeper.lab.localchain.accounts import UINT256_MAX
from keeper.lab.localchain.artifacts import Artifacts
from keeper.lab.localchain.compile import compile_contract
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.transactions import (
    CREATION_GAS,
    Call,
    decode_answer,
    encode_arguments,
    encode_call,
    read_request,
    submit,
)

WAD = 10**18
ZERO = "0x" + "00" * 20
LOAN_DECIMALS = 6
COLLATERAL_DECIMALS = 18
PRICE_SCALE: int = 10 ** (36 + LOAN_DECIMALS - COLLATERAL_DECIMALS)
"""The oracle's price of a collateral of one whole loan token."""
FIRST_PRICE = 2_000 * PRICE_SCALE
LLTV = 86 * WAD // 100
OTHER_LLTV = 77 * WAD // 100
PARAMS = "(address,address,address,address,uint256)"
LENS_TYPES = ("uint256[6]", "(uint256,uint256,uint256,uint256,bool)[]")
FACTORIES = Path("@morpho-org") / "morpho-blue-bundlers" / "types" / "factories"
FACTORY_OF = {
    "Morpho": "lib/morpho-blue/src/Morpho__factory.js",
    "AdaptiveCurveIrm": "lib/morpho-blue-irm/src/adaptive-curve-irm/AdaptiveCurveIrm__factory.js",
    "OracleMock": "src/mocks/OracleMock__factory.js",
}
_BYTECODE = re.compile(r'const _bytecode = "(0x[0-9a-f]+)"')

RateModel = Literal["adaptive", "utilization", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MorphoMarket:
    """Every address of a deployed market; lower-case 0x-hexadecimal. ``admin`` owns the contract and sets the price."""

    morpho: str
    loan: str
    collateral: str
    oracle: str
    irm: str
    lens: str
    admin: str
    lltv: int
    first_block: int

    @property
    def params(self) -> tuple[str, str, str, str, int]:
        """What every call is given."""
        return (self.loan, self.collateral, self.oracle, self.irm, self.lltv)

    @property
    def other(self) -> tuple[str, str, str, str, int]:
        """The same of the second market."""
        return (*self.params[:4], OTHER_LLTV)

    @property
    def market_id(self) -> str:
        """The market's id."""
        return "0x" + keccak(hexstr=encode_arguments(f"({PARAMS})", self.params)).hex()


@dataclass(frozen=True, slots=True)
class MarketTotals:
    """The contract's ``Market`` after an accrual at the time of the look."""

    supply_assets: int
    supply_shares: int
    borrow_assets: int
    borrow_shares: int
    last_update: int
    fee: int


@dataclass(frozen=True, slots=True)
class MorphoAccount:
    """What the contract says of an account: its position, what it would repay, whether it is kept from liquidation."""

    supply_shares: int
    borrow_shares: int
    collateral: int
    debt: int
    healthy: bool


def published_bytecode(name: str, node_modules: Path) -> str:
    """Return the creation bytecode, 0x-hexadecimal, of a published contract.

    Raises:
        ConfigError: the package is not installed, or its factory has another form.
    """
    path = node_modules / FACTORIES / FACTORY_OF[name]
    found = _BYTECODE.search(path.read_text(encoding="utf-8")) if path.is_file() else None
    if found is None:
        raise ConfigError(f"{name} of morpho-blue-bundlers", f"no bytecode in {node_modules}", "run `make setup`")
    return found.group(1)


async def deploy_morpho_market(rpc: LabRpc, node_modules: Path, *, model: RateModel = "adaptive") -> MorphoMarket:
    """Deploy the contract and its markets on a local node and return where everything is.

    Args:
        rpc: A node with unlocked accounts; the first one becomes the owner.
        node_modules: Where npm put the published contracts.
        model: The interest-rate model of both markets.

    Raises:
        ConfigError: a contract or the compiler is missing.
        NodeRefused: a transaction was reverted.
    """
    admin = (await rpc.call("eth_accounts", answer=list[str]))[0].lower()
    first_block = int(await rpc.call("eth_blockNumber", answer=str), 16)
    token = Artifacts(node_modules).load("MintableERC20").linked({})
    lens = await asyncio.to_thread(compile_contract, "MorphoLens", node_modules)
    codes = [
        published_bytecode("Morpho", node_modules) + encode_arguments("(address)", admin),
        token + encode_arguments("(string,string,uint8)", "USDC", "USDC", LOAN_DECIMALS),
        token + encode_arguments("(string,string,uint8)", "WETH", "WETH", COLLATERAL_DECIMALS),
        published_bytecode("OracleMock", node_modules),
        lens,
    ]
    morpho, loan, collateral, oracle, lens_address = await create(rpc, admin, codes)
    irm = await _deploy_model(rpc, node_modules, admin, morpho, model)
    market = MorphoMarket(
        morpho=morpho,
        loan=loan,
        collateral=collateral,
        oracle=oracle,
        irm=irm,
        lens=lens_address,
        admin=admin,
        lltv=LLTV,
        first_block=first_block,
    )
    await submit(rpc, _opening(market))
    return market


async def _deploy_model(rpc: LabRpc, node_modules: Path, admin: str, morpho: str, model: RateModel) -> str:
    if model == "none":
        return ZERO
    if model == "adaptive":
        code = published_bytecode("AdaptiveCurveIrm", node_modules) + encode_arguments("(address)", morpho)
    else:
        code = await asyncio.to_thread(compile_contract, "UtilizationIrm", node_modules)
    return (await create(rpc, admin, [code]))[0]


def _opening(market: MorphoMarket) -> list[Call]:
    owner = [
        *(("enableIrm(address)", market.irm), ("enableLltv(uint256)", LLTV), ("enableLltv(uint256)", OTHER_LLTV)),
        *((f"createMarket({PARAMS})", market.other), (f"createMarket({PARAMS})", market.params)),
    ]
    calls = [Call(market.admin, market.morpho, encode_call(str(name), *rest)) for name, *rest in owner]
    return [price_call(market, FIRST_PRICE), *calls]


async def create(rpc: LabRpc, admin: str, codes: Sequence[str]) -> list[str]:
    """Deploy contracts and return their addresses."""
    receipts = await submit(rpc, [Call(admin, None, code, CREATION_GAS) for code in codes])
    return [receipt.contract_address or ZERO for receipt in receipts]


def price_call(market: MorphoMarket, price: int) -> Call:
    """Return the call that sets the oracle's price (1e-36 loan units per collateral unit); no event tells of it."""
    return Call(market.admin, market.oracle, encode_call("setPrice(uint256)", price))


def morpho_purse_calls(market: MorphoMarket, owner: str, loan: int, collateral: int) -> list[Call]:
    """Return the calls that mint both tokens to their owner and allow the contract to take them."""
    return [
        call
        for token, amount in ((market.loan, loan), (market.collateral, collateral))
        for call in (
            Call(owner, token, encode_call("mint(address,uint256)", owner, amount)),
            Call(owner, token, encode_call("approve(address,uint256)", market.morpho, UINT256_MAX)),
        )
    ]


def supply_call(market: MorphoMarket, sender: str, assets: int) -> Call:
    """Return the call that lends to the market."""
    data = encode_call(f"supply({PARAMS},uint256,uint256,address,bytes)", market.params, assets, 0, sender, b"")
    return Call(sender, market.morpho, data)


def collateral_call(market: MorphoMarket, sender: str, assets: int) -> Call:
    """Return the call that puts up collateral."""
    data = encode_call(f"supplyCollateral({PARAMS},uint256,address,bytes)", market.params, assets, sender, b"")
    return Call(sender, market.morpho, data)


def borrow_call(market: MorphoMarket, sender: str, assets: int) -> Call:
    """Return the call that borrows."""
    data = encode_call(f"borrow({PARAMS},uint256,uint256,address,address)", market.params, assets, 0, sender, sender)
    return Call(sender, market.morpho, data)


async def look(
    rpc: LabRpc, market: MorphoMarket, users: Sequence[str], block: int | str = "latest"
) -> tuple[MarketTotals, dict[str, MorphoAccount]]:
    """Return what the contract says at one block's state and time, in the order of ``users``."""
    signature = f"look(address,{PARAMS},address[])"
    request = read_request(market.lens, encode_call(signature, market.morpho, market.params, list(users)), block)
    totals, accounts = decode_answer(LENS_TYPES, (await rpc.batch([request], answer=str))[0])
    told = {user: MorphoAccount(*account) for user, account in zip(users, accounts, strict=True)}
    return MarketTotals(*totals), told
