"""The contract's own view, for audits: ``market(id)`` once, and ``position(id, account)`` of each account.

It has no view of an account's health, so what is compared is everything that health is worked out from but the price:
the position, and the debt that all shares stand for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from keeper.core.facts import ContractRead, ReadRequest
from keeper.core.ids import ADDRESS_LENGTH, Address, Hash32
from keeper.core.venue import AuditFinding
from keeper.venues.abi import WORD, address_word, selector_of
from keeper.venues.morpho_blue.market import Position
from keeper.venues.morpho_blue.state import Totals

MARKET = selector_of("market(bytes32)")
POSITION = selector_of("position(bytes32,address)")
MARKET_WORDS = 6
POSITION_WORDS = 3


def requests(morpho: Address, market: Hash32, accounts: Sequence[Address]) -> tuple[ReadRequest, ...]:
    """Return the calls that tell of these accounts."""
    positions = (ReadRequest(morpho, POSITION + market + address_word(account)) for account in accounts)
    return (ReadRequest(morpho, MARKET + market), *positions) if accounts else ()


def findings(
    market: Hash32, reads: Sequence[ContractRead], totals: Totals, position_of: Callable[[Address], Position]
) -> Iterator[AuditFinding]:
    """Compare answers with our own figures; an account whose call or the market's was not answered is left out."""
    answered = {read.calldata: _words(read) for read in reads}
    whole = answered.get(MARKET + market, ())
    if len(whole) != MARKET_WORDS:
        return
    for calldata, theirs in answered.items():
        if calldata.startswith(POSITION + market) and len(theirs) == POSITION_WORDS:
            account = Address(calldata[-ADDRESS_LENGTH:])
            ours = position_of(account)
            held = (ours.supply_shares, ours.borrow_shares, ours.collateral)
            debts = (int(totals.borrow_assets), int(totals.borrow_shares))
            yield AuditFinding(account, _text((*held, *debts)), _text((*theirs, *whole[2:4])))


def _words(read: ContractRead) -> tuple[int, ...]:
    output = read.output or b""
    return tuple(int.from_bytes(output[at : at + WORD], "big") for at in range(0, len(output), WORD))


def _text(figures: tuple[int, ...]) -> str:
    names = ("supply_shares", "borrow_shares", "collateral", "total_borrow_assets", "total_borrow_shares")
    return " ".join(f"{name}={figure}" for name, figure in zip(names, figures, strict=True))
