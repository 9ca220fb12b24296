"""A small market made of logs and answers, for truths that need no node."""

from __future__ import annotations

from typing import Literal

from keeper.core.facts import BlockHeader, ContractRead, RawLog, ReadRequest
from keeper.core.ids import ZERO_ADDRESS, Address
from keeper.core.runconfig import VenueSpec
from keeper.venues.aave_v3 import reads
from keeper.venues.aave_v3.codec import POOL, POOL_CONFIGURATOR
from keeper.venues.aave_v3.ledger import AaveLedger
from keeper.venues.aave_v3.math import RAY
from tests.venues.event_logs import address, header, log_of

ROOT, POOL_PROXY, CONFIGURATOR, ORACLE, SENTINEL = (address(number) for number in range(1, 6))
WETH, USDC = address(0x10), address(0x20)
FEED = {WETH: address(0x1F), USDC: address(0x2F)}
A_TOKEN = {WETH: address(0x11), USDC: address(0x21)}
STABLE = {WETH: address(0x12), USDC: address(0x22)}
VARIABLE = {WETH: address(0x13), USDC: address(0x23)}
DECIMALS = {WETH: 18, USDC: 6}
PRICES = {WETH: 2_000 * 10**8, USDC: 10**8}
ALICE, BOB = address(0xA11CE), address(0xB0B)
LIQUIDITY = 10**30

MINT = "Mint(address,address,uint256,uint256,uint256)"
BURN = "Burn(address,address,uint256,uint256,uint256)"
TRANSFER = "BalanceTransfer(address,address,uint256,uint256)"
STABLE_MINT = "Mint(address,address,uint256,uint256,uint256,uint256,uint256,uint256)"
ENABLED = "ReserveUsedAsCollateralEnabled(address,address)"
DISABLED = "ReserveUsedAsCollateralDisabled(address,address)"
RATES = "ReserveDataUpdated(address,uint256,uint256,uint256,uint256,uint256)"


class Chain:
    """A ledger and the chain that feeds it: one block at a time, twelve seconds apart."""

    def __init__(self, prices: Literal["read", "events"] = "read", revision: int = 1) -> None:
        self.ledger = AaveLedger(
            VenueSpec(name="aave", protocol="aave_v3", chain_id=1, root=ROOT, from_block=0, prices=prices)
        )
        self.number = 0
        self.prices: dict[Address, int | None] = dict(PRICES)
        self.revision = revision
        self.token_revision = 99
        self.liquidity = LIQUIDITY
        self.allowed = True
        self.asked: tuple[ReadRequest, ...] = ()

    def head(self) -> BlockHeader:
        """Return the header of the newest block."""
        return header(self.number, 12 * self.number)

    def block(self, *logs: RawLog) -> AaveLedger:
        """Add a block with these logs (numbered in order) and the answers to what the ledger asks."""
        self.number += 1
        numbered = [RawLog(log.address, log.topics, log.data, index, log.tx_hash) for index, log in enumerate(logs)]
        self.asked = self.ledger.reads(numbered)
        self.ledger.begin_block(self.head())
        for log in numbered:
            self.ledger.apply_log(log)
        self.ledger.apply_reads([self._answer(request) for request in self.asked])
        return self.ledger

    def _answer(self, request: ReadRequest) -> ContractRead:
        value = self._value(request.calldata[:4], Address(request.calldata[16:36]))
        if value is None:
            return ContractRead(request.target, request.calldata, None, "execution reverted")
        return ContractRead(request.target, request.calldata, value.to_bytes(32, "big"), None)

    def _value(self, selector: bytes, argument: Address) -> int | None:
        if selector == reads.ASSET_PRICE:
            return self.prices.get(argument)
        if selector == reads.ASSET_SOURCE:
            return int.from_bytes(FEED.get(argument, ZERO_ADDRESS), "big")
        known = {reads.POOL_REVISION: self.revision, reads.LIQUIDATION_ALLOWED: int(self.allowed)}
        known |= dict.fromkeys((reads.A_TOKEN_REVISION, reads.DEBT_TOKEN_REVISION), self.token_revision)
        return known.get(selector, self.liquidity)


def discovery() -> list[RawLog]:
    """Return the provider's logs of a market that was just deployed."""
    return [
        log_of(ROOT, "ProxyCreated(bytes32,address,address)", POOL, POOL_PROXY, address(99)),
        log_of(ROOT, "ProxyCreated(bytes32,address,address)", POOL_CONFIGURATOR, CONFIGURATOR, address(98)),
        log_of(ROOT, "PriceOracleUpdated(address,address)", ZERO_ADDRESS, ORACLE),
    ]


def listing(asset: Address) -> list[RawLog]:
    """Return the logs that list an asset: 80 % loan to value, 85 % threshold, 5 % bonus, no protocol fee."""
    initialized = "Initialized(address,address,address,address,uint8,string,string,bytes)"
    decimals = DECIMALS[asset]
    configured = "CollateralConfigurationChanged(address,uint256,uint256,uint256)"
    return [
        log_of(A_TOKEN[asset], initialized, asset, POOL_PROXY, BOB, ZERO_ADDRESS, decimals, "a", "a", b""),
        log_of(
            CONFIGURATOR,
            "ReserveInitialized(address,address,address,address,address)",
            *(asset, A_TOKEN[asset], STABLE[asset], VARIABLE[asset], ZERO_ADDRESS),
        ),
        log_of(CONFIGURATOR, configured, asset, 8_000, 8_500, 10_500),
    ]


def supplied(user: Address, asset: Address, amount: int) -> list[RawLog]:
    """Return the logs of a first supply at an index of one."""
    minted = log_of(A_TOKEN[asset], MINT, user, user, amount, 0, RAY)
    return [minted, log_of(POOL_PROXY, ENABLED, asset, user)]


def borrowed(user: Address, asset: Address, amount: int) -> RawLog:
    """Return the log of a variable borrow at an index of one."""
    return log_of(VARIABLE[asset], MINT, user, user, amount, 0, RAY)


def opened(prices: Literal["read", "events"] = "read", *, debt: int = 1_500 * 10**6, revision: int = 1) -> Chain:
    """Return a market of two assets in which Alice put up one WETH and owes USDC."""
    chain = Chain(prices, revision)
    chain.block(*discovery(), *listing(WETH), *listing(USDC))
    chain.block(*supplied(ALICE, WETH, 10**18), borrowed(ALICE, USDC, debt))
    return chain
