"""What events cannot tell, asked by view calls at the end of a block and folded from their answers.

Four things are asked. The pool's revision, when it is not known, and with an upgrade that of every token. The
price-oracle sentinel's permission, at every block while there is a sentinel. What can leave a reserve, in each block
that moved it, because a seizure fails when the tokens are lent out: the pool's own count where it keeps one (since
v3.4), else the underlying balance of the aToken (a donation of tokens moves it without an event; it is then too low
until the reserve is touched). And prices.

Prices are read at every block when they are to be ``"read"``: adapters change their answer without any event. When
they come by ``"events"``, a price is read until the feed behind it is known and surely watched, and followed by
``AnswerUpdated`` from there:

* unknown: the oracle is asked for the source and the price;
* ``CANDIDATE``: the source is known from a read, but logs of blocks already fetched did not include it. A price that
  is answered *without* the source having been asked again was requested by a ledger that watched the source, so from
  the next block on nothing can be missed;
* ``FOLLOWED``: the last answer stands until the next;
* ``READ``: the oracle has no feed for it, or the feed answers nothing positive, so the price is the fallback
  oracle's, and is read at every block.

A source named by ``AssetSourceUpdated`` is followed at once: the block was fetched again with it.

The ledger that is asked may lag behind the block in question, so requests start from what *it* knows and what the
block's own logs add, those that wait for the pool's revision among them, because they are folded as soon as that is
read. Answers are matched by contract and calldata, never by position.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from keeper.core.facts import ContractRead, ReadRequest
from keeper.core.ids import ZERO_ADDRESS, Address
from keeper.core.units import BigInt
from keeper.venues.aave_v3.events import (
    AddressSet,
    CategorySet,
    Change,
    RatesUpdated,
    ReserveInitialized,
    SourceSet,
    Upgraded,
)
from keeper.venues.aave_v3.fold import UPGRADED
from keeper.venues.aave_v3.naming import renamed
from keeper.venues.aave_v3.rules import RULES, Rules
from keeper.venues.aave_v3.state import ONLY_ROW, Contracts, Following, PriceRow, Reserve, State
from keeper.venues.abi import WORD, address_word, selector_of

POOL_REVISION = selector_of("POOL_REVISION()")
ASSET_PRICE = selector_of("getAssetPrice(address)")
ASSET_SOURCE = selector_of("getSourceOfAsset(address)")
LIQUIDATION_ALLOWED = selector_of("isLiquidationAllowed()")
BALANCE_OF = selector_of("balanceOf(address)")
VIRTUAL_BALANCE = selector_of("getVirtualUnderlyingBalance(address)")
A_TOKEN_REVISION = selector_of("ATOKEN_REVISION()")
DEBT_TOKEN_REVISION = selector_of("DEBT_TOKEN_REVISION()")


def requests(state: State, changes: Sequence[Change], *, by_events: bool) -> tuple[ReadRequest, ...]:
    """Return the calls needed at the end of a block that makes these changes to (or after) this state."""
    market = state.market
    for change in changes:
        if isinstance(change, AddressSet):
            market = renamed(market, change)
    needed = [*_of_market(market, changes), *_of_tokens(state, changes), *_of_liquidity(state, market, changes)]
    if market.oracle != ZERO_ADDRESS:
        needed += _of_prices(state, market.oracle, changes, by_events=by_events)
    return tuple(needed)


def _of_market(market: Contracts, changes: Sequence[Change]) -> Iterable[ReadRequest]:
    if market.pool != ZERO_ADDRESS and (market.revision is None or _upgraded(changes)):
        yield ReadRequest(market.pool, POOL_REVISION)
    if market.sentinel != ZERO_ADDRESS:
        yield ReadRequest(market.sentinel, LIQUIDATION_ALLOWED)


def _upgraded(changes: Sequence[Change]) -> bool:
    return any(isinstance(change, Upgraded) for change in changes)


def _of_tokens(state: State, changes: Sequence[Change]) -> Iterable[ReadRequest]:
    """Ask every token for its revision when one of them, or the pool, may have been upgraded."""
    if _upgraded(changes):
        for _, reserve in state.listed():
            yield ReadRequest(reserve.a_token, A_TOKEN_REVISION)
            yield ReadRequest(reserve.variable_token, DEBT_TOKEN_REVISION)


def _of_liquidity(state: State, market: Contracts, changes: Sequence[Change]) -> Iterable[ReadRequest]:
    """Ask for what can leave a reserve: of the pool or of the asset, of both while the revision is not known."""
    anew = market.revision is None or _upgraded(changes)
    rules = RULES.get(market.revision or 0)
    counted = rules is not None and rules.counted_liquidity
    tokens = {asset: reserve.a_token for asset, reserve in state.listed()}
    tokens |= {change.asset: change.a_token for change in changes if isinstance(change, ReserveInitialized)}
    moved = dict.fromkeys(change.asset for change in changes if isinstance(change, RatesUpdated))
    unknown = dict.fromkeys(asset for asset in tokens if anew or asset not in state.liquidity.rows)
    for asset in unknown | moved:
        if asset in tokens and (anew or counted):
            yield ReadRequest(market.pool, _call(VIRTUAL_BALANCE, asset))
        if asset in tokens and (anew or not counted):
            yield ReadRequest(asset, _call(BALANCE_OF, tokens[asset]))


def _of_prices(state: State, oracle: Address, changes: Sequence[Change], *, by_events: bool) -> Iterable[ReadRequest]:
    for asset, row in _priced(state, oracle, changes).items():
        if by_events and row is None:
            yield ReadRequest(oracle, _call(ASSET_SOURCE, asset))
        if not by_events or row is None or row.value is None or row.following is not Following.FOLLOWED:
            yield ReadRequest(oracle, _call(ASSET_PRICE, asset))


def _priced(state: State, oracle: Address, changes: Sequence[Change]) -> dict[Address, PriceRow | None]:
    """Return what has to have a price after the changes, with what is known of it (nothing of another oracle's)."""
    named = state.priced()
    named += [change.asset for change in changes if isinstance(change, ReserveInitialized)]
    named += [change.price_source for change in changes if isinstance(change, CategorySet)]
    known = state.prices.rows if oracle == state.market.oracle else {}
    rows = {asset: known.get(asset) for asset in named if asset != ZERO_ADDRESS}
    for change in changes:
        if isinstance(change, SourceSet) and rows.get(change.asset) is not None:
            rows[change.asset] = PriceRow(None, 0, source=change.source)
    return rows


def _call(selector: bytes, argument: Address) -> bytes:
    return selector + address_word(argument)


def fold_revision(state: State, reads: Sequence[ContractRead]) -> None:
    """Fold the pool's revision, by which the rest is folded, if it was asked for."""
    market = state.market
    for read in reads:
        if read.target == market.pool and read.calldata == POOL_REVISION:
            state.contracts.set(ONLY_ROW, replace(market, revision=_small(_word(read))))


def fold_reads(state: State, reads: Sequence[ContractRead]) -> None:
    """Fold the answers that are about this market; the others are ignored."""
    rules = RULES.get(state.market.revision or 0)
    market = state.market
    sources = _sources(reads, market.oracle)
    priced = state.priced()
    counted = _by_argument(reads, market.pool, VIRTUAL_BALANCE)
    for asset, answer in _by_argument(reads, market.oracle, ASSET_PRICE).items():
        if asset in priced:
            state.prices.set(asset, _price(state, asset, answer, sources))
    for asset, reserve in state.listed():
        if rules is not None and rules.counted_liquidity:
            balance = counted.get(asset)
        else:
            balance = _by_argument(reads, asset, BALANCE_OF).get(reserve.a_token)
        if balance is not None:
            state.liquidity.set(asset, _word(balance))
        if rules is not None and reserve.doubt == UPGRADED:
            _trust_tokens(state, rules, asset, reserve, reads)
    if (answered := _market(state, reads)) != market:
        state.contracts.set(ONLY_ROW, answered)


def _market(state: State, reads: Sequence[ContractRead]) -> Contracts:
    market = state.market
    for read in reads:
        if read.target == market.sentinel and read.calldata == LIQUIDATION_ALLOWED:
            allows = _small(_word(read))
            market = replace(
                market, sentinel_allows=None if allows is None else bool(allows), sentinel_read_at=state.now.number
            )
    return market


def _trust_tokens(state: State, rules: Rules, asset: Address, reserve: Reserve, reads: Sequence[ContractRead]) -> None:
    """Follow a reserve again when both its tokens say that they are what the pool's rules are about."""
    answers = {(read.target, read.calldata): _word(read) for read in reads}
    revisions = (
        answers.get((reserve.a_token, A_TOKEN_REVISION)),
        answers.get((reserve.variable_token, DEBT_TOKEN_REVISION)),
    )
    if all(revision in known for revision, known in zip(revisions, rules.token_revisions, strict=True)):
        state.reserves.set(asset, replace(reserve, doubt=""))


def _sources(reads: Sequence[ContractRead], oracle: Address) -> dict[Address, Address]:
    answers = _by_argument(reads, oracle, ASSET_SOURCE)
    words = {asset: _word(answer) for asset, answer in answers.items()}
    return {asset: Address(word.to_bytes(WORD, "big")[12:]) for asset, word in words.items() if word is not None}


def _price(state: State, asset: Address, answer: ContractRead, sources: dict[Address, Address]) -> PriceRow:
    """Return a price after the oracle's answer, and how it is to be known from now on."""
    word = _word(answer)
    reason = "" if word is not None else f"the oracle answers {answer.error or 'nothing readable'}"
    source, following = _follow(state.prices.get(asset), sources.get(asset))
    return PriceRow(None if word is None else BigInt(word), state.now.number, reason, source, following)


def _follow(row: PriceRow | None, source: Address | None) -> tuple[Address, Following]:
    """Return the source and the way to follow it, given what stood and the source if it was asked for."""
    if source is not None and (row is None or row.following is not Following.FOLLOWED):
        return source, Following.READ if source == ZERO_ADDRESS else Following.CANDIDATE
    if row is None:
        return ZERO_ADDRESS, Following.READ
    return row.source, Following.FOLLOWED if row.following is Following.CANDIDATE else row.following


def _by_argument(reads: Sequence[ContractRead], target: Address, selector: bytes) -> dict[Address, ContractRead]:
    return {
        Address(read.calldata[16:36]): read
        for read in reads
        if read.target == target and read.calldata[:4] == selector and len(read.calldata) == 4 + WORD
    }


def _word(read: ContractRead) -> int | None:
    """Return the one word that a view answered, ``None`` when it reverted or answered something else."""
    output = read.output
    return int.from_bytes(output, "big") if output is not None and len(output) == WORD else None


def _small(value: int | None) -> int | None:
    return value if value is not None and value < 1 << 63 else None
