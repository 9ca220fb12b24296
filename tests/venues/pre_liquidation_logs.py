"""The small Morpho market of :mod:`tests.venues.morpho_logs` with a pre-liquidation contract beside it."""

from __future__ import annotations

from msgspec.structs import replace

from keeper.core.facts import ContractRead, ReadRequest
from keeper.core.ids import Address, Hash32
from keeper.core.runconfig import IsolatedSpec
from keeper.core.units import Price
from keeper.venues.abi import address_word, word
from keeper.venues.morpho_blue import pre_ledger, reads
from keeper.venues.morpho_blue.math import WAD
from keeper.venues.morpho_blue.pre_ledger import PreLiquidationLedger
from tests.venues import morpho_logs as logs
from tests.venues.event_logs import address
from tests.venues.morpho_logs import ALICE, BOB, MARKET, Chain, morpho_log

CONTRACT, OWN_ORACLE = address(0x7E), address(0x7F)
LINE = 80 * WAD // 100
FACTORS = (5 * WAD // 100, 50 * WAD // 100, 101 * WAD // 100, 10_438 * WAD // 10_000)
ISOLATED = IsolatedSpec(market=MARKET, loan_price=Price(10**8), pre_liquidation=CONTRACT)
SPEC = replace(logs.SPEC, name="early", isolated=ISOLATED)
INSIDE = 1_660 * 10**6
"""83 % of the 2000 that one WETH is worth: in the middle between 80 and 86."""


class PreChain(Chain):
    """A chain whose ledger is that of the contract, which says that it is of this Morpho and market."""

    ledger: PreLiquidationLedger

    def __init__(self, oracle: Address = logs.ORACLE) -> None:
        super().__init__()
        self.ledger = PreLiquidationLedger(SPEC)
        self.oracle = oracle
        self.own_price: int | None = logs.PRICE
        self.morpho: Address = logs.MORPHO
        self.of_market: Hash32 = MARKET

    def answer(self, request: ReadRequest) -> ContractRead:
        """Return what the chain answers to a request."""
        told = {
            pre_ledger.TERMS: b"".join(map(word, (LINE, *FACTORS))) + address_word(self.oracle),
            pre_ledger.MORPHO: address_word(self.morpho),
            pre_ledger.ID: bytes(self.of_market),
        }.get(request.calldata)
        if told is not None:
            return ContractRead(request.target, request.calldata, told, None)
        if request == ReadRequest(OWN_ORACLE, reads.PRICE):
            output = None if self.own_price is None else word(self.own_price)
            return ContractRead(request.target, request.calldata, output, None if output else "execution reverted")
        return super().answer(request)

    def authorize(
        self, account: Address, *, allowed: bool = True, contract: Address = CONTRACT
    ) -> PreLiquidationLedger:
        """Add a block in which an account authorises a contract, or no longer."""
        self.block(morpho_log(logs.AUTHORIZE, account, account, contract, allowed))
        return self.ledger


def drifted(debt: int = INSIDE, oracle: Address = logs.ORACLE) -> PreChain:
    """Return a market in which Alice put up one WETH, owes so much, and has authorised the contract."""
    chain = PreChain(oracle)
    chain.block(logs.created())
    chain.block(
        morpho_log(logs.ACCRUE, MARKET, logs.RATE, 0, 0),
        morpho_log(logs.SUPPLY, MARKET, BOB, BOB, 10**10, 10**16),
        morpho_log(logs.PLEDGE, MARKET, ALICE, ALICE, WAD),
        morpho_log(logs.BORROW, MARKET, ALICE, ALICE, ALICE, debt, debt * 10**6),
        morpho_log(logs.AUTHORIZE, ALICE, ALICE, CONTRACT, True),
    )
    return chain
