"""A market read at one final block, instead of folded from its deployment.

What is to be read is a set of *items*, each a few view calls whose answers make rows. One item leads to others: the
provider names the pool, the pool its reserves, a reserve its tokens. When only the accounts are left, the logs of the
listed tokens are searched for everyone who ever received any, which gives the last items. Both ways to the same state
end in the same rows; the rows of the reading itself are gone when it is complete.

That nobody was left out is proved: the scaled balances that were read must add up to each token's own total. The
stable-debt tokens have no such total (they compound it at an average rate); but whoever owes one has supplied
something, and the configuration of an account says whether it owes. Where there is no stable debt that is not asked:
before v3.1 a liquidation could leave the configuration saying so after the last debt was gone.

Calls cannot tell when a position last changed, so the epoch of each account is the block that was read. Nor do they
tell whether a token was upgraded before it: the pool's revision chooses the rules, as it does for every later block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from msgspec.structs import replace

from keeper.core.errors import invariant
from keeper.core.facts import BlockHeader, ContractRead, RawLog, ReadRequest
from keeper.core.ids import ADDRESS_LENGTH, ZERO_ADDRESS, Address, to_hex
from keeper.core.reading import HolderSearch, ReadingProgress
from keeper.core.units import BigInt
from keeper.venues.aave_v3.codec import BYTE_LIMIT, decode
from keeper.venues.aave_v3.events import ModeSet, ScaledMinted, ScaledTransferred, StableMinted
from keeper.venues.aave_v3.items import SOURCE_VIEW, VIEWS, Item, Kind, Words, address_of, check, words_of
from keeper.venues.aave_v3.reads import fold_reads
from keeper.venues.aave_v3.rules import RULES, Rules
from keeper.venues.aave_v3.state import (
    ONLY_ROW,
    BlockRow,
    Category,
    Contracts,
    Interest,
    ReadingRow,
    Reserve,
    StableDebt,
    State,
)
from keeper.venues.abi import WORD, topic_of

HOLDER_TOPICS = tuple(
    sorted(
        map(
            topic_of,
            (
                "Mint(address,address,uint256,uint256,uint256)",
                "BalanceTransfer(address,address,uint256,uint256)",
                "Mint(address,address,uint256,uint256,uint256,uint256,uint256,uint256)",
                "UserEModeSet(address,uint8)",
            ),
        )
    )
)
"""Whoever holds a token received it by one of these; whoever chose an efficiency mode did so by the last."""


class MarketReading:
    """Implements :class:`keeper.core.venue.VenueReading` for Aave v3.

    Args:
        state: The ledger's, which is emptied and built anew.
        root: The PoolAddressesProvider.
        from_block: Where the search for holders begins.
        by_events: Whether the sources of prices are wanted, to follow their feeds.
        on_change: Told when what is derived from rows must be forgotten.
    """

    def __init__(
        self, state: State, root: Address, *, from_block: int, by_events: bool, on_change: Callable[[], None]
    ) -> None:
        self._state = state
        self._root = root
        self._from_block = from_block
        self._views = {**VIEWS} | ({Kind.PRICE: (*VIEWS[Kind.PRICE], SOURCE_VIEW)} if by_events else {})
        self._on_change = on_change
        self._takers: dict[Kind, Callable[[Item, list[Words]], None]] = {
            Kind.CONTRACTS: self._take_contracts,
            Kind.POOL: self._take_pool,
            Kind.CATEGORY: self._take_category,
            Kind.ASSET: self._take_asset,
            Kind.TOTAL: self._take_total,
            Kind.USER: self._take_user,
            Kind.SCALED: self._take_scaled,
            Kind.STABLE: self._take_stable,
            Kind.MEMBERS: self._take_members,
            Kind.GRACE: self._take_grace,
        }

    @property
    def header(self) -> BlockHeader | None:
        """The block that is being read, ``None`` when no reading is under way."""
        row = self._state.reading.get(ONLY_ROW)
        return None if row is None else row.header

    @property
    def progress(self) -> ReadingProgress:
        """How far the reading is."""
        return ReadingProgress(self._row.searched_to, len(self._state.holders.rows), len(self._state.unread.rows))

    @property
    def _row(self) -> ReadingRow:
        row = self._state.reading.get(ONLY_ROW)
        if row is None:
            invariant(condition=False, thing="market", reason="is not being read")
            raise AssertionError
        return row

    # What is wanted next.

    def begin(self, header: BlockHeader, *, search_anew: bool) -> None:
        """Forget the market and read it at a block; holders found so far are kept unless they are searched anew."""
        before = self._state.reading.get(ONLY_ROW)
        keep = before is not None and not search_anew and before.searched_to <= header.number
        holders = list(self._state.holders.rows) if keep else []
        searched_to = before.searched_to if before is not None and keep else self._from_block - 1
        self._state.tables.clear()
        self._state.tables.begin_block(header.number)
        self._state.block.set(ONLY_ROW, BlockRow(header.number, header.timestamp))
        self._state.reading.set(ONLY_ROW, ReadingRow(replace(header, logs_bloom=b""), searched_to))
        for holder in holders:
            self._state.holders.set(holder, 0)
        self._want(Kind.CONTRACTS, self._root)
        self._on_change()

    def items(self, count_max: int) -> tuple[bytes, ...]:
        """Return up to so many items to read next; none when holders are to be searched, or all is read."""
        return tuple(islice(self._state.unread.rows, count_max))

    def search(self) -> HolderSearch | None:
        """Return where holders are to be searched next, ``None`` when items are to be read first or it is done."""
        row = self._row
        if self._state.unread.rows or row.searched_to >= row.header.number:
            return None
        addresses = {self._state.market.pool, *self._scaled_tokens(), *self._stable_tokens()} - {ZERO_ADDRESS}
        return HolderSearch(row.searched_to + 1, tuple(sorted(addresses)), HOLDER_TOPICS)

    def holders(self, logs: Iterable[RawLog]) -> tuple[bytes, ...]:
        """Return the holders that logs name and that are not known: token and account joined, sorted.

        Raises:
            NodeMalformed: a log is not what its event promises.
        """
        found: set[bytes] = set()
        for log in logs:
            match decode(log):
                case ScaledMinted(user=user) | StableMinted(user=user) | ModeSet(user=user):
                    found.add(log.address + user)
                case ScaledTransferred(recipient=user):
                    found.add(log.address + user)
        return tuple(sorted(found - self._state.holders.rows.keys()))

    def requests(self, item: bytes) -> tuple[ReadRequest, ...]:
        """Return the calls of an item."""
        kind, target, subject = Item.unpack(item)
        argument = bytes(WORD - ADDRESS_LENGTH) + subject
        return tuple(
            ReadRequest(target, view.selector + argument if view.takes_subject else view.selector)
            for view in self._views[kind]
        )

    def check(self, items: Sequence[bytes], reads: Sequence[ContractRead]) -> None:
        """Check answers before they are recorded.

        Raises:
            NodeMalformed: a call reverted that must not, or an answer has another shape.
        """
        for item, answers in self._matched(items, reads):
            for view, answer in zip(self._views[item.kind], answers, strict=True):
                check(view, answer)

    def shortfall(self) -> str | None:
        """Return what shows that somebody was left out, ``None`` when nobody was."""
        sums = dict.fromkeys(self._state.totals.rows, 0)
        for key, balance in self._state.scaled.rows.items():
            sums[key[:ADDRESS_LENGTH]] += balance
        for token, total in sorted(self._state.totals.rows.items()):
            if sums[token] != total:
                return f"the balances of {to_hex(token)} add up to {sums[token]}, its total is {total}"
        return next((f"the debt of {to_hex(user)} was not found" for user in self._indebted_without_debt()), None)

    def _indebted_without_debt(self) -> Iterator[bytes]:
        """Yield the accounts whose configuration says that they owe an asset of which no debt was read."""
        listed = self._state.listed() if self._rules is None or self._rules.stable_debt else []
        for user, bits in sorted(self._state.bitmaps.rows.items()):
            for _, row in listed:
                found = row.variable_token + user in self._state.scaled.rows
                found = found or row.stable_token + user in self._state.stable.rows
                if bits >> 2 * row.index & 1 and not found:
                    yield user

    # Taking what was read.

    def found(self, last: int, holders: Sequence[bytes]) -> None:
        """Take the holders found in the blocks up to ``last``; at the last one they become items."""
        for holder in holders:
            self._state.holders.set(holder, 0)
        row = replace(self._row, searched_to=last)
        self._state.reading.set(ONLY_ROW, row)
        if last == row.header.number:
            self._want_holders()

    def take(self, items: Sequence[bytes], reads: Sequence[ContractRead]) -> None:
        """Take the answers to items, in their order."""
        for item, answers in self._matched(items, reads):
            self._state.unread.set(item.pack(), None)
            taker = self._takers.get(item.kind)
            if taker is None:
                fold_reads(self._state, answers)
            else:
                taker(item, [words_of(answer.output or b"") for answer in answers])

    def complete(self) -> None:
        """End the reading: from here on the market is folded block by block."""
        unread = len(self._state.unread.rows)
        invariant(not unread and self.search() is None, "market", f"has {unread} items left to read")
        for table in (self._state.holders, self._state.totals, self._state.reading):
            for key in list(table.rows):
                table.set(key, None)
        self._on_change()

    def _matched(
        self, items: Sequence[bytes], reads: Sequence[ContractRead]
    ) -> Iterable[tuple[Item, Sequence[ContractRead]]]:
        rest = iter(reads)
        for raw in items:
            answers = list(islice(rest, len(self._views[Kind(raw[0])])))
            asked = [(request.target, request.calldata) for request in self.requests(raw)]
            given = [(answer.target, answer.calldata) for answer in answers]
            invariant(given == asked, "market", "was given answers to other calls than an item has")
            yield Item.unpack(raw), answers

    def _want(self, kind: Kind, target: Address, subject: Address = ZERO_ADDRESS) -> None:
        self._state.unread.set(Item(kind, target, subject).pack(), 0)

    def _want_holders(self) -> None:
        scaled, stable = set(self._scaled_tokens()), set(self._stable_tokens())
        for holder in sorted(self._state.holders.rows):
            token, user = Address(holder[:ADDRESS_LENGTH]), Address(holder[ADDRESS_LENGTH:])
            self._want(Kind.USER, self._state.market.pool, user)
            if token in scaled:
                self._want(Kind.SCALED, token, user)
            elif token in stable:
                self._want(Kind.STABLE, token, user)

    def _scaled_tokens(self) -> list[Address]:
        return [token for _, row in self._state.listed() for token in (row.a_token, row.variable_token)]

    def _stable_tokens(self) -> list[Address]:
        return [row.stable_token for _, row in self._state.listed() if row.stable_token != ZERO_ADDRESS]

    @property
    def _rules(self) -> Rules | None:
        return RULES.get(self._state.market.revision or 0)

    # One method for each kind.

    def _take_contracts(self, _: Item, answers: list[Words]) -> None:
        pool, configurator, oracle, sentinel = (address_of(words[0]) for words in answers)
        self._state.contracts.set(ONLY_ROW, Contracts(pool, configurator, oracle, sentinel))
        if sentinel != ZERO_ADDRESS:
            self._want(Kind.SENTINEL, sentinel)
        if pool != ZERO_ADDRESS:
            self._want(Kind.POOL, pool)
            for number in range(1, BYTE_LIMIT):
                self._want(Kind.CATEGORY, pool, address_of(number))

    def _take_pool(self, item: Item, answers: list[Words]) -> None:
        (revision,), (_, _, *assets) = answers
        self._state.contracts.set(ONLY_ROW, replace(self._state.market, revision=revision))
        for asset in assets:
            self._want(Kind.ASSET, item.target, address_of(asset))
        if self._rules is not None and self._rules.member_lists:
            for number in range(1, BYTE_LIMIT):
                self._want(Kind.MEMBERS, item.target, address_of(number))

    def _take_category(self, item: Item, answers: list[Words]) -> None:
        _, ltv, threshold, bonus, source, *_ = answers[0]
        if threshold:  # the configurator refuses a category without one
            key = item.subject[-1:]
            row = self._state.categories.get(key) or Category()
            row = replace(row, ltv=ltv, threshold=threshold, bonus=bonus, price_source=address_of(source))
            self._state.categories.set(key, row)
            self._want_price(address_of(source))

    def _take_members(self, item: Item, answers: list[Words]) -> None:
        (collateral,), (without_ltv,) = answers
        if collateral or without_ltv:
            key = item.subject[-1:]
            row = self._state.categories.get(key) or Category()
            row = replace(row, collateral=BigInt(collateral), without_ltv=BigInt(without_ltv))
            self._state.categories.set(key, row)

    def _take_asset(self, item: Item, answers: list[Words]) -> None:
        words, asset = answers[0], item.subject
        a_token, stable_token, variable_token = map(address_of, words[8:11])
        bits = words[0]
        row = Reserve(
            index=words[7],
            a_token=a_token,
            stable_token=stable_token,
            variable_token=variable_token,
            ltv=_field(bits, 0, 16),
            threshold=_field(bits, 16, 16),
            bonus=_field(bits, 32, 16),
            protocol_fee=_field(bits, 152, 16),
            category=_field(bits, 168, 8),
            active=bool(_field(bits, 56, 1)),
            paused=bool(_field(bits, 60, 1)),
        )
        index, rate, variable_index, variable_rate = (BigInt(word) for word in words[1:5])
        self._state.reserves.set(asset, row)
        self._state.interest.set(asset, Interest(index, rate, variable_index, variable_rate, words[6]))
        self._state.decimals.set(a_token, _field(bits, 48, 8))
        if self._rules is not None and self._rules.counted_liquidity:
            self._want(Kind.COUNTED, item.target, asset)
            self._want(Kind.GRACE, item.target, asset)
        else:
            self._want(Kind.LIQUIDITY, asset, a_token)
        self._want(Kind.TOTAL, a_token)
        self._want(Kind.TOTAL, variable_token)
        self._want_price(asset)

    def _take_grace(self, item: Item, answers: list[Words]) -> None:
        row = self._state.reserves[item.subject]
        self._state.reserves.set(item.subject, replace(row, grace_until=answers[0][0]))

    def _want_price(self, asset: Address) -> None:
        oracle = self._state.market.oracle
        if ZERO_ADDRESS not in (oracle, asset):
            self._want(Kind.PRICE, oracle, asset)

    def _take_total(self, item: Item, answers: list[Words]) -> None:
        self._state.totals.set(item.target, answers[0][0])

    def _take_user(self, item: Item, answers: list[Words]) -> None:
        (bits,), (mode,) = answers
        self._state.bitmaps.set(item.subject, bits or None)
        self._state.modes.set(item.subject, mode or None)
        if bits or mode:
            self._state.mark_epoch(item.subject, 0)

    def _take_scaled(self, item: Item, answers: list[Words]) -> None:
        balance = answers[0][0]
        if balance:
            self._state.scaled.set(item.target + item.subject, balance)
            self._state.mark_epoch(item.subject, 0)

    def _take_stable(self, item: Item, answers: list[Words]) -> None:
        (principal,), (rate,), (since,) = answers
        if principal:
            row = StableDebt(BigInt(principal), BigInt(rate), since)
            self._state.stable.set(item.target + item.subject, row)
            self._state.mark_epoch(item.subject, 0)


def _field(bits: int, place: int, width: int) -> int:
    """Return a field of a reserve's configuration (ReserveConfiguration of v3.0)."""
    return bits >> place & (1 << width) - 1
