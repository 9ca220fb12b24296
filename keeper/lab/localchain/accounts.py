"""Seeded accounts, and what the contracts themselves say about accounts: the reference the keeper is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak

from keeper.lab.localchain.aave import AaveMarket, Asset
from keeper.lab.localchain.rpc import LabRpc, Request
from keeper.lab.localchain.transactions import Call, decode_answer, encode_call, read_request

ETHER = 10**18
UINT256_MAX = 2**256 - 1


@dataclass(frozen=True, slots=True)
class AccountData:
    """The six values of ``getUserAccountData``, in the contract's order and units.

    Attributes:
        collateral_base: 1e-8 USD.
        debt_base: 1e-8 USD.
        available_borrows_base: 1e-8 USD.
        threshold_bps: Average liquidation threshold.
        ltv_bps: Average loan to value.
        health_wad: 1e-18; ``2**256 - 1`` without debt.
    """

    collateral_base: int
    debt_base: int
    available_borrows_base: int
    threshold_bps: int
    ltv_bps: int
    health_wad: int


@dataclass(frozen=True, slots=True)
class Position:
    """What one account holds of one asset, in base units of the token, interest included."""

    supplied: int
    stable_debt: int
    variable_debt: int
    is_collateral: bool

    @property
    def debt(self) -> int:
        """Debt of both kinds."""
        return self.stable_debt + self.variable_debt


def seeded_account(seed: int, name: str) -> LocalAccount:
    """Return the account of this name under this seed. For local chains only: anyone can derive the key."""
    account: LocalAccount = Account.from_key(keccak(text=f"local chain/{seed}/{name}"))
    return account


def seeded_address(seed: int, name: str) -> str:
    """Return the lower-case address of :func:`seeded_account`."""
    return seeded_account(seed, name).address.lower()


async def fund(rpc: LabRpc, addresses: Sequence[str], ether: int = 1_000) -> None:
    """Set the native balance of accounts."""
    balance = hex(ether * ETHER)
    await rpc.batch([Request("anvil_setBalance", (address, balance)) for address in addresses], answer=type(None))


def units_worth(asset: Asset, value_base: int) -> int:
    """Return the base units of an asset that are worth ``value_base`` (1e-8 USD) at its price at deployment."""
    one: int = 10**asset.decimals
    return value_base * one // asset.price


def purse_calls(market: AaveMarket, owner: str, asset: Asset, amount: int) -> list[Call]:
    """Return the calls that mint an asset to its owner and allow the pool to take it."""
    return [
        Call(owner, asset.token, encode_call("mint(address,uint256)", owner, amount)),
        Call(owner, asset.token, encode_call("approve(address,uint256)", market.pool, UINT256_MAX)),
    ]


async def account_data(
    rpc: LabRpc, pool: str, users: Sequence[str], block: int | str = "latest"
) -> dict[str, AccountData]:
    """Return what the pool says about each user at one block, in one batch, in the order of ``users``."""
    answers = await rpc.batch(
        [read_request(pool, encode_call("getUserAccountData(address)", user), block) for user in users], answer=str
    )
    return {user: AccountData(*_words(answer)) for user, answer in zip(users, answers, strict=True)}


async def positions(
    rpc: LabRpc, market: AaveMarket, users: Sequence[str], block: int | str = "latest"
) -> dict[tuple[str, str], Position]:
    """Return what each user holds of each asset at one block, in one batch, by user and ticker."""
    keys = [(user, asset) for user in users for asset in market.assets]
    signature = "getUserReserveData(address,address)"
    requests = [
        read_request(market.data_provider, encode_call(signature, asset.token, user), block) for user, asset in keys
    ]
    answers = await rpc.batch(requests, answer=str)
    return {
        (user, asset.symbol): _position(_words(answer)) for (user, asset), answer in zip(keys, answers, strict=True)
    }


def _position(words: Sequence[int]) -> Position:
    supplied, stable_debt, variable_debt, *_, is_collateral = words
    return Position(supplied, stable_debt, variable_debt, bool(is_collateral))


def _words(answer: str) -> Sequence[int]:
    """Return the 32-byte unsigned integers in an answer."""
    return decode_answer(("uint256",) * ((len(answer) - 2) // 64), answer)
