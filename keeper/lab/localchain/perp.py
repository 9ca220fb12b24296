"""Deploy Perpetual Protocol v2 ("Curie") on Uniswap v3 from the published artifacts.

The contracts have public initializers, so none needs a proxy; their order is that of the addresses each initializer
takes. A market is an aggregator whose answer anyone may set, a price feed and a dispatcher around it, a base token
and a Uniswap pool of base and quote. Three things are dictated by the contracts:

* a base token's address must be below the quote token's, so quotes are created until one stands high enough;
* quote and base are minted to the clearing house to the last unit before a market is added;
* the mark price looks back half an hour, so time is moved on before anybody can trade.

The npm packages depend on the Solidity sources that they were compiled from; `package.json` puts an empty package in
the place of each, as nothing is compiled again.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from keeper.core.errors import invariant
from keeper.lab.localchain.accounts import UINT256_MAX
from keeper.lab.localchain.artifacts import Artifacts
from keeper.lab.localchain.compile import compile_contract
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.transactions import CREATION_GAS, Call, encode_arguments, encode_call, submit

CURIE = Path("@perp") / "curie-contract"
ORACLES = Path("@perp") / "perp-oracle-contract"
UNISWAP = Path("@uniswap") / "v3-core"

PRICE_DECIMALS = 8
SETTLEMENT_DECIMALS = 6
POOL_FEE = 10_000
TRADING_FEE = 1_000
INSURANCE_FEE = 100_000
TICKS_CROSSED_MAX = 1_000
FEED_TIMEOUT_SECONDS = 2_400
TWAP_SECONDS = 900
HISTORY_SECONDS = 2_000
OBSERVATIONS = 500
QUOTES_MAX = 64
CREATE_POOL = "createPool(address,address,uint24)"
INSURANCE_UNITS = 2_000_000 * 10**SETTLEMENT_DECIMALS


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketSpec:
    """A market to be: the base token's ticker and its price, 1e-8 USD."""

    symbol: str
    price: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CollateralSpec:
    """A collateral beside the settlement token: price 1e-8 USD, ratios 1e-6."""

    symbol: str
    decimals: int
    price: int
    ratio: int
    discount: int


MARKETS = (MarketSpec(symbol="vETH", price=2_000 * 10**8), MarketSpec(symbol="vBTC", price=30_000 * 10**8))
COLLATERALS = (
    CollateralSpec(symbol="WETH", decimals=18, price=2_000 * 10**8, ratio=700_000, discount=100_000),
    CollateralSpec(symbol="WBTC", decimals=8, price=30_000 * 10**8, ratio=650_000, discount=120_000),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PerpMarket:
    """One market and where everything of it lives; ``feed`` is the aggregator, ``price_feed`` what caches it."""

    spec: MarketSpec
    base: str
    pool: str
    feed: str
    price_feed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PerpCollateral:
    """One collateral: its token, the aggregator whose answer can be set, and the price feed around it."""

    spec: CollateralSpec
    token: str
    feed: str
    price_feed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PerpExchange:
    """Every address of a deployment, lower-case 0x-hexadecimal; ``admin`` owns all and is unlocked on the node."""

    admin: str
    factory: str
    quote: str
    settlement: str
    config: str
    registry: str
    order_book: str
    account_balance: str
    exchange: str
    insurance_fund: str
    vault: str
    collateral_manager: str
    clearing_house: str
    delegate_approval: str
    first_block: int
    markets: tuple[PerpMarket, ...]
    collaterals: tuple[PerpCollateral, ...]


class Head(msgspec.Struct, frozen=True):
    """The quantities of a block's header that the lab needs, 0x-hexadecimal."""

    number: str
    timestamp: str


async def deploy_perp_exchange(
    rpc: LabRpc,
    node_modules: Path,
    *,
    markets: Sequence[MarketSpec] = MARKETS,
    collaterals: Sequence[CollateralSpec] = COLLATERALS,
) -> PerpExchange:
    """Deploy the protocol on a local node, with half an hour of price history, and return where everything is.

    Raises:
        ConfigError: an artifact or the compiler is missing.
        NodeRefused: a transaction was reverted.
    """
    admin = (await rpc.call("eth_accounts", answer=list[str]))[0].lower()
    first_block = int(await rpc.call("eth_blockNumber", answer=str), 16)
    feed_code = await asyncio.to_thread(compile_contract, "SettableFeed", node_modules)
    deployment = _Deployment(rpc, node_modules, admin, feed_code)
    ground = await deployment.lay_ground(markets, collaterals)
    exchange = await deployment.build(ground, first_block)
    listed = [await deployment.list_market(exchange, spec, *ground.of(spec.symbol)) for spec in markets]
    pledged = [await deployment.list_collateral(exchange, spec, *ground.of(spec.symbol)) for spec in collaterals]
    await move_time(rpc, HISTORY_SECONDS)
    return replace(exchange, markets=tuple(listed), collaterals=tuple(pledged))


async def move_time(rpc: LabRpc, seconds: int) -> None:
    """Mine an empty block so much later than the head."""
    head = await rpc.call("eth_getBlockByNumber", "latest", False, answer=Head)
    await rpc.call("evm_setNextBlockTimestamp", int(head.timestamp, 16) + seconds, answer=object)
    await rpc.call("evm_mine", answer=str)


def sqrt_price_x96(price: int) -> int:
    """Return the pool's square root of a price (1e-8 USD), in 2^-96."""
    return math.isqrt(price * 2**192 // 10**PRICE_DECIMALS)


@dataclass(frozen=True, slots=True)
class _Ground:
    """Tokens, aggregators and price feeds by ticker, and the quote token."""

    quote: str
    settlement: str
    tokens: dict[str, str]
    feeds: dict[str, str]
    price_feeds: dict[str, str]

    def of(self, symbol: str) -> tuple[str, str, str]:
        return self.tokens[symbol], self.feeds[symbol], self.price_feeds[symbol]


@dataclass(frozen=True, slots=True)
class _Deployment:
    """One deployment in progress: the node, the packages, who signs."""

    rpc: LabRpc
    node_modules: Path
    admin: str
    feed_code: str

    async def lay_ground(self, markets: Sequence[MarketSpec], collaterals: Sequence[CollateralSpec]) -> _Ground:
        """Create tokens and feeds, bases before the quote, whose address has to be above theirs."""
        specs: list[MarketSpec | CollateralSpec] = [*markets, *collaterals]
        symbols = [spec.symbol for spec in specs]
        tokens = [self._artifact(CURIE, "BaseToken") for _ in markets]
        tokens += [self._token(spec.symbol, spec.decimals) for spec in collaterals]
        feeds = [self._feed(f"{spec.symbol} / USD", spec.price) for spec in specs]
        created = await self._create([self._token("USDC", SETTLEMENT_DECIMALS), *tokens, *feeds])
        settlement, bases, aggregators = created[0], created[1 : 1 + len(specs)], created[1 + len(specs) :]
        cached = await self._create(
            [
                self._artifact(
                    *(ORACLES, "ChainlinkPriceFeedV3", "(address,uint256,uint80)"),
                    *(aggregator, FEED_TIMEOUT_SECONDS, TWAP_SECONDS),
                )
                for aggregator in aggregators
            ]
        )
        await submit(self.rpc, [self._call(feed, "update()") for feed in cached])
        quote = await self._quote_above(max(bases[: len(markets)], key=_number))
        by_symbol = [dict(zip(symbols, each, strict=True)) for each in (bases, aggregators, cached)]
        return _Ground(quote, settlement, *by_symbol)

    async def _quote_above(self, base: str) -> str:
        for _ in range(QUOTES_MAX):
            (quote,) = await self._create([self._artifact(CURIE, "QuoteToken")])
            if _number(quote) > _number(base):
                return quote
        invariant(condition=False, thing="perp lab", reason=f"{QUOTES_MAX} quote tokens are all below {base}")
        return base

    async def build(self, ground: _Ground, first_block: int) -> PerpExchange:
        """Create and connect the contracts of the protocol itself."""
        names = (
            *("ClearingHouseConfig", "MarketRegistry", "OrderBook", "AccountBalance", "Exchange", "InsuranceFund"),
            *("Vault", "CollateralManager", "ClearingHouse", "DelegateApproval"),
        )
        factory, *created = await self._create(
            [self._artifact(UNISWAP, "UniswapV3Factory"), *(self._artifact(CURIE, name) for name in names)]
        )
        at = dict(zip(names, created, strict=True))
        exchange = PerpExchange(
            admin=self.admin,
            factory=factory,
            quote=ground.quote,
            settlement=ground.settlement,
            config=at["ClearingHouseConfig"],
            registry=at["MarketRegistry"],
            order_book=at["OrderBook"],
            account_balance=at["AccountBalance"],
            exchange=at["Exchange"],
            insurance_fund=at["InsuranceFund"],
            vault=at["Vault"],
            collateral_manager=at["CollateralManager"],
            clearing_house=at["ClearingHouse"],
            delegate_approval=at["DelegateApproval"],
            first_block=first_block,
            markets=(),
            collaterals=(),
        )
        await submit(self.rpc, [*self._initialize(exchange), *self._connect(exchange)])
        return exchange

    def _initialize(self, to: PerpExchange) -> list[Call]:
        collateral = "initialize(address,address,uint8,uint24,uint24,uint24,uint24,uint256,uint256)"
        debt_max, dust = 10_000 * 10**SETTLEMENT_DECIMALS, 500 * 10**SETTLEMENT_DECIMALS
        house = (to.config, to.vault, to.quote, to.factory, to.exchange, to.account_balance, to.insurance_fund)
        return [
            self._call(to.quote, "initialize(string,string)", "vUSD", "vUSD"),
            self._call(to.config, "initialize()"),
            self._call(to.registry, "initialize(address,address)", to.factory, to.quote),
            self._call(to.order_book, "initialize(address)", to.registry),
            self._call(to.account_balance, "initialize(address,address)", to.config, to.order_book),
            self._call(to.exchange, "initialize(address,address,address)", to.registry, to.order_book, to.config),
            self._call(to.insurance_fund, "initialize(address)", to.settlement),
            self._call(
                *(to.vault, "initialize(address,address,address,address)"),
                *(to.insurance_fund, to.config, to.account_balance, to.exchange),
            ),
            self._call(
                *(to.collateral_manager, collateral, to.config, to.vault, 5),
                *(750_000, 500_000, 2_000, 30_000, debt_max, dust),
            ),
            self._call(
                to.clearing_house, "initialize(address,address,address,address,address,address,address)", *house
            ),
            self._call(to.delegate_approval, "initialize()"),
        ]

    def _connect(self, to: PerpExchange) -> list[Call]:
        callees = (to.vault, to.registry, to.order_book, to.exchange, to.account_balance)
        return [
            self._call(to.clearing_house, "setDelegateApproval(address)", to.delegate_approval),
            self._call(to.exchange, "setAccountBalance(address)", to.account_balance),
            self._call(to.order_book, "setExchange(address)", to.exchange),
            self._call(to.insurance_fund, "setVault(address)", to.vault),
            self._call(to.account_balance, "setVault(address)", to.vault),
            self._call(to.vault, "setCollateralManager(address)", to.collateral_manager),
            self._call(to.vault, "setWETH9(address)", to.settlement),
            *(self._call(callee, "setClearingHouse(address)", to.clearing_house) for callee in callees),
            self._call(to.config, "setSettlementTokenBalanceCap(uint256)", UINT256_MAX),
            self._call(to.quote, "mintMaximumTo(address)", to.clearing_house),
            self._call(to.quote, "addWhitelist(address)", to.clearing_house),
            self._call(to.settlement, "mint(address,uint256)", to.insurance_fund, INSURANCE_UNITS),
        ]

    async def list_market(
        self, to: PerpExchange, spec: MarketSpec, base: str, feed: str, price_feed: str
    ) -> PerpMarket:
        """Make a pool of base and quote and open it for trading."""
        (dispatcher,) = await self._create([self._artifact(ORACLES, "PriceFeedDispatcher", "(address)", price_feed)])
        receipts = await submit(
            self.rpc,
            [
                self._call(base, "initialize(string,string,address)", spec.symbol, spec.symbol, dispatcher),
                self._call(to.factory, CREATE_POOL, base, to.quote, POOL_FEE, gas=CREATION_GAS),
            ],
        )
        pool = "0x" + receipts[1].logs[0].data[-40:]
        listing = [
            self._call(pool, "initialize(uint160)", sqrt_price_x96(spec.price)),
            self._call(pool, "increaseObservationCardinalityNext(uint16)", OBSERVATIONS, gas=CREATION_GAS * 2),
            self._call(to.quote, "addWhitelist(address)", pool),
            self._call(base, "addWhitelist(address)", pool),
            self._call(base, "addWhitelist(address)", to.clearing_house),
            self._call(base, "mintMaximumTo(address)", to.clearing_house),
            self._call(to.registry, "addPool(address,uint24)", base, POOL_FEE),
            self._call(to.registry, "setFeeRatio(address,uint24)", base, TRADING_FEE),
            self._call(to.registry, "setInsuranceFundFeeRatio(address,uint24)", base, INSURANCE_FEE),
            self._call(to.exchange, "setMaxTickCrossedWithinBlock(address,uint24)", base, TICKS_CROSSED_MAX),
        ]
        await submit(self.rpc, listing)
        return PerpMarket(spec=spec, base=base, pool=pool, feed=feed, price_feed=price_feed)

    async def list_collateral(
        self, to: PerpExchange, spec: CollateralSpec, token: str, feed: str, price_feed: str
    ) -> PerpCollateral:
        """Accept a token as collateral, priced by its feed through a dispatcher."""
        (dispatcher,) = await self._create([self._artifact(ORACLES, "PriceFeedDispatcher", "(address)", price_feed)])
        signature = "addCollateral(address,(address,uint24,uint24,uint256))"
        terms = (dispatcher, spec.ratio, spec.discount, UINT256_MAX)
        await submit(self.rpc, [self._call(to.collateral_manager, signature, token, terms)])
        return PerpCollateral(spec=spec, token=token, feed=feed, price_feed=price_feed)

    def _artifact(self, package: Path, name: str, types: str = "()", *arguments: object) -> Call:
        code = Artifacts(self.node_modules, package).load(name).linked({})
        return Call(self.admin, None, code + encode_arguments(types, *arguments), CREATION_GAS)

    def _token(self, symbol: str, decimals: int) -> Call:
        code = Artifacts(self.node_modules).load("MintableERC20").linked({})
        arguments = encode_arguments("(string,string,uint8)", symbol, symbol, decimals)
        return Call(self.admin, None, code + arguments, CREATION_GAS)

    def _feed(self, description: str, price: int) -> Call:
        arguments = encode_arguments("(uint8,string,int256)", PRICE_DECIMALS, description, price)
        return Call(self.admin, None, self.feed_code + arguments, CREATION_GAS)

    def _call(self, to: str, signature: str, *arguments: object, gas: int = 0) -> Call:
        return Call(self.admin, to, encode_call(signature, *arguments), *([gas] if gas else []))

    async def _create(self, creations: Sequence[Call]) -> list[str]:
        return [str(receipt.contract_address).lower() for receipt in await submit(self.rpc, creations)]


def _number(address: str) -> int:
    return int(address, 16)
