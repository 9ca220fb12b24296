"""A small Morpho market made of logs and answers, for truths that need no node."""

from __future__ import annotations

from eth_abi.abi import encode

from keeper.core.facts import BlockHeader, ContractRead, RawLog, ReadRequest
from keeper.core.ids import ZERO_ADDRESS, Address, Hash32
from keeper.core.runconfig import IsolatedSpec, VenueSpec
from keeper.core.units import Price
from keeper.venues.abi import topic_of
from keeper.venues.morpho_blue import reads
from keeper.venues.morpho_blue.ledger import MorphoLedger
from keeper.venues.morpho_blue.math import WAD
from tests.venues.event_logs import address, header, types_of

MORPHO, ORACLE, IRM = (address(number) for number in range(1, 4))
USDC, WETH = address(0x20), address(0x10)
ALICE, BOB, LIQUIDATOR, RECIPIENT = (address(number) for number in (0xA11CE, 0xB0B, 0x11D, 0xFEE))
MARKET, OTHER_MARKET = Hash32(b"\x11" * 32), Hash32(b"\x22" * 32)
LLTV = 86 * WAD // 100
PRICE = 2_000 * 10**24
RATE = 10**9
SPEC = VenueSpec(
    name="morpho",
    protocol="morpho_blue",
    chain_id=1,
    root=MORPHO,
    from_block=0,
    prices="read",
    isolated=IsolatedSpec(market=MARKET, loan_price=Price(10**8)),
)

CREATE = "CreateMarket(bytes32,(address,address,address,address,uint256))"
SET_FEE = "SetFee(bytes32,uint256)"
SET_RECIPIENT = "SetFeeRecipient(address)"
ACCRUE = "AccrueInterest(bytes32,uint256,uint256,uint256)"
SUPPLY = "Supply(bytes32,address,address,uint256,uint256)"
WITHDRAW = "Withdraw(bytes32,address,address,address,uint256,uint256)"
BORROW = "Borrow(bytes32,address,address,address,uint256,uint256)"
REPAY = "Repay(bytes32,address,address,uint256,uint256)"
PLEDGE = "SupplyCollateral(bytes32,address,address,uint256)"
UNPLEDGE = "WithdrawCollateral(bytes32,address,address,address,uint256)"
LIQUIDATE = "Liquidate(bytes32,address,address,uint256,uint256,uint256,uint256,uint256)"
AUTHORIZE = "SetAuthorization(address,address,address,bool)"
PRE_LIQUIDATE = "PreLiquidate(bytes32,address,address,uint256,uint256,uint256)"
INDEXED = {
    CREATE: (0,),
    SET_FEE: (0,),
    SET_RECIPIENT: (0,),
    ACCRUE: (0,),
    SUPPLY: (0, 1, 2),
    WITHDRAW: (0, 2, 3),
    BORROW: (0, 2, 3),
    REPAY: (0, 1, 2),
    PLEDGE: (0, 1, 2),
    UNPLEDGE: (0, 2, 3),
    LIQUIDATE: (0, 1, 2),
    AUTHORIZE: (0, 1, 2),
    PRE_LIQUIDATE: (0, 1, 2),
}
"""Which of an event's arguments are topics (EventsLib): here not always the first ones."""


def morpho_log(signature: str, *values: object, at: Address = MORPHO, log_index: int = 0) -> RawLog:
    """Return the log of an event; ``MARKET`` is not left out."""
    types, indexed = types_of(signature), INDEXED[signature]
    topics = [encode([types[place]], [values[place]]) for place in indexed]
    rest = [place for place in range(len(types)) if place not in indexed]
    data = encode([types[place] for place in rest], [values[place] for place in rest])
    return RawLog(at, (topic_of(signature), *topics), data, log_index, Hash32(bytes([log_index % 256]) * 32))


def created(irm: Address = IRM) -> RawLog:
    """Return the log that creates the market."""
    return morpho_log(CREATE, MARKET, (USDC, WETH, ORACLE, irm, LLTV))


class Chain:
    """A ledger and the chain that feeds it: one block at a time, twelve seconds apart.

    ``at_target`` is what the model says of its rate at target utilization: ``None`` is a model without such a thing.
    """

    def __init__(self, spec: VenueSpec = SPEC) -> None:
        self.ledger = MorphoLedger(spec)
        self.number = 0
        self.price: int | None = PRICE
        self.rate: int | None = RATE
        self.at_target: int | None = None
        self.decimals: int | None = 6
        self.asked: tuple[ReadRequest, ...] = ()

    def head(self) -> BlockHeader:
        """Return the header of the newest block."""
        return header(self.number, 12 * self.number)

    def block(self, *logs: RawLog) -> MorphoLedger:
        """Add a block with these logs (numbered in order) and the answers to what the ledger asks."""
        self.number += 1
        numbered = [RawLog(log.address, log.topics, log.data, index, log.tx_hash) for index, log in enumerate(logs)]
        self.asked = self.ledger.reads(numbered)
        self.ledger.begin_block(self.head())
        for log in numbered:
            self.ledger.apply_log(log)
        self.ledger.apply_reads([self.answer(request) for request in self.asked])
        return self.ledger

    def answer(self, request: ReadRequest) -> ContractRead:
        """Return what the chain answers to a request."""
        value = {
            reads.PRICE: self.price,
            reads.DECIMALS: self.decimals,
            reads.RATE_AT_TARGET: self.at_target,
            reads.BORROW_RATE_VIEW: self.rate,
        }[request.calldata[:4]]
        if value is None:
            return ContractRead(request.target, request.calldata, None, "execution reverted")
        return ContractRead(request.target, request.calldata, value.to_bytes(32, "big"), None)


def opened(*, debt: int = 1_500 * 10**6, irm: Address = IRM) -> Chain:
    """Return a market in which Bob lends and Alice put up one WETH, worth 2000, and owes USDC."""
    chain = Chain()
    chain.block(created(irm))
    lent = morpho_log(SUPPLY, MARKET, BOB, BOB, 10**10, 10**16)
    pledged = morpho_log(PLEDGE, MARKET, ALICE, ALICE, WAD)
    borrowed = morpho_log(BORROW, MARKET, ALICE, ALICE, ALICE, debt, debt * 10**6)
    chain.block(*(log for log in (_still(irm), lent, pledged, borrowed) if log is not None))
    return chain


def _still(irm: Address) -> RawLog | None:
    """Return the accrual of nothing that a market with a model logs first."""
    return None if irm == ZERO_ADDRESS else morpho_log(ACCRUE, MARKET, RATE, 0, 0)
