"""The venue of a pre-liquidation contract: its market of Morpho, followed like any other, with another line.

Accounts are the borrowers who authorised the contract: nobody else's debt can be closed by it. One of them is
*liquidatable* when its debt is past the contract's line. Past the market's own line it stays so, though this venue's
call is refused then and it has no pair here: what is beyond both lines is not healthy, and is the market's venue's.

What the contract is, the chain says: its terms are asked for once, with its Morpho and market, which must be ours. They
are for ever. Its oracle is asked at every block, if it is not the market's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace

from keeper.core.errors import ConfigError
from keeper.core.facts import ContractRead, RawLog, ReadRequest
from keeper.core.ids import Address, to_hex
from keeper.core.margin import MarginBreakdown, MarginKind
from keeper.core.risk import MoveOf
from keeper.core.runconfig import VenueSpec
from keeper.core.units import BaseAmount, BigInt, TokenAmount, Wad
from keeper.core.venue import (
    AccountMargin,
    AuditFinding,
    Call,
    Epoch,
    Health,
    LiquidationSeen,
    Pair,
    Preview,
    Status,
    VenueTotals,
    owed_within,
)
from keeper.venues.abi import WORD, address_word, approval_call, selector_of
from keeper.venues.morpho_blue import calls, pre_liquidation
from keeper.venues.morpho_blue.breakdown import breakdown_of
from keeper.venues.morpho_blue.codec import (
    PRE_LIQUIDATE,
    SET_AUTHORIZATION,
    decode_authorization,
    decode_pre_liquidation,
)
from keeper.venues.morpho_blue.ledger import HEALTHY, LIQUIDATABLE, NOTHING, MorphoLedger
from keeper.venues.morpho_blue.liquidation import Form, Outcome
from keeper.venues.morpho_blue.market import Market, Position, Unknown
from keeper.venues.morpho_blue.math import ORACLE_PRICE_SCALE
from keeper.venues.morpho_blue.pre_liquidation import NO_TERMS, Zone, pre_liquidate, standing
from keeper.venues.morpho_blue.reads import PRICE, figure
from keeper.venues.morpho_blue.state import ONLY_ROW, PreState, PriceRow, Terms

PRE_LIQUIDATION_GAS = 500_000
"""Measured 157,000 to 182,000 on the local market; oracles and tokens of a real one cost more than ours."""
TERMS = selector_of("preLiquidationParams()")
MORPHO = selector_of("MORPHO()")
ID = selector_of("ID()")
IS_AUTHORIZED = selector_of("isAuthorized(address,address)")
TERMS_WORDS = 6
AUTHORIZED = 1


class PreLiquidationLedger(MorphoLedger):
    """Implements :class:`keeper.core.venue.Ledger` for a pre-liquidation contract of a market of Morpho Blue."""

    liquidation_gas = PRE_LIQUIDATION_GAS
    _state: PreState

    def __init__(self, spec: VenueSpec) -> None:
        isolated = spec.isolated
        if isinstance(isolated, msgspec.UnsetType) or isinstance(isolated.pre_liquidation, msgspec.UnsetType):
            raise ConfigError(f"venues.{spec.name}", "names no pre_liquidation", "name the contract")
        super().__init__(spec, PreState())
        self._contract = isolated.pre_liquidation
        self.protections = None  # the account's line is here, but its care is the business of the market's own venue
        self.topics = tuple(sorted((*self.topics, SET_AUTHORIZATION, PRE_LIQUIDATE)))

    @property
    def spender(self) -> Address:
        """The pre-liquidation contract, which pulls the repaid tokens and hands them on."""
        return self._contract

    # What ingestion asks.

    def watched(self) -> tuple[Address, ...]:
        """Morpho, and the contract."""
        return tuple(sorted((self._morpho, self._contract)))

    def discover(self, logs: Iterable[RawLog]) -> tuple[Address, ...]:
        """Return nothing: no log makes another contract necessary.

        Raises:
            NodeMalformed: a log of the market or the contract is not what its event promises.
        """
        logs = tuple(logs)
        for log in logs:
            if log.address == self._morpho:
                decode_authorization(log, self._contract)
            if log.address == self._contract:
                decode_pre_liquidation(log, self._id)
        return super().discover(logs)

    def reads(self, logs: Iterable[RawLog]) -> tuple[ReadRequest, ...]:
        """Return the market's calls, and the contract's terms or its oracle's price."""
        of_market = super().reads(logs)
        terms = self._state.terms.get(ONLY_ROW)
        if terms is None:
            return (*of_market, *(ReadRequest(self._contract, each) for each in (TERMS, MORPHO, ID)))
        price = ReadRequest(terms.oracle, PRICE)
        return of_market if price in of_market else (*of_market, price)

    # Folding.

    def apply_log(self, log: RawLog) -> LiquidationSeen | None:
        """Fold one log; a pre-liquidation is returned, a liquidation by Morpho itself is not this venue's.

        Raises:
            NodeMalformed: the log is not what its event promises (refused before by :meth:`discover`).
        """
        if log.address == self._contract:
            done = decode_pre_liquidation(log, self._id)
            return None if done is None else self._seen(log, done)
        if log.address == self._morpho:
            change = decode_authorization(log, self._contract)
            if change is not None:
                self._state.authorized.set(change.account, AUTHORIZED if change.allowed else None)
                self._state.mark_epoch(change.account, log.log_index)
                self._accounts = None
        super().apply_log(log)
        return None

    def apply_reads(self, reads: Sequence[ContractRead]) -> None:
        """Fold the block's reads; those of other venues are ignored."""
        super().apply_reads(reads)
        answers = {(read.target, read.calldata): read for read in reads}
        if self._state.terms.get(ONLY_ROW) is None:
            told = [answers.get((self._contract, each)) for each in (TERMS, MORPHO, ID)]
            self._state.terms.set(ONLY_ROW, self._terms([(read and read.output) or b"" for read in told]))
        terms = self._state.terms.get(ONLY_ROW)
        price = None if terms is None else answers.get((terms.oracle, PRICE))
        if price is not None:
            value, reason = figure(price)
            self._state.pre_price.set(ONLY_ROW, PriceRow(value, self._state.now.number, reason))

    def _terms(self, told: Sequence[bytes]) -> Terms | None:
        """Return the terms of a contract of our market, ``None`` of any other, which is asked again."""
        written, morpho, market = told
        ours = morpho == address_word(self._morpho) and market == self._id
        if not ours or len(written) != TERMS_WORDS * WORD:
            return None
        words = [written[at : at + WORD] for at in range(0, len(written), WORD)]
        line, *factors = (BigInt(int.from_bytes(each, "big")) for each in words[:-1])
        return Terms(line, factors[0], factors[1], factors[2], factors[3], Address(words[-1][12:]))

    # Looking.

    def accounts(self) -> tuple[Address, ...]:
        """Every account with debt that authorised the contract, sorted."""
        if self._accounts is None:
            authorized = self._state.authorized.rows
            self._accounts = tuple(account for account in self._fold.debtors() if account in authorized)
        return self._accounts

    def zone(self, at_timestamp: int | None = None) -> Zone:
        """Return the market as the contract sees it, at the block's timestamp or a later one (seconds)."""
        market, terms = self.market(at_timestamp), self._state.terms.get(ONLY_ROW)
        if market.doubt is not None or terms is None:
            unknown = Unknown(f"{to_hex(self._contract)} has not said that it is of this market, and its terms")
            return Zone(market, NO_TERMS, 0, market.doubt or unknown)
        row = self._state.pre_price.get(ONLY_ROW)
        if row is None or row.at != self._state.now.number or not row.value:
            return Zone(market, terms, 0, Unknown(f"the price of the contract's oracle {_why_not(row)}"))
        return Zone(market, terms, int(row.value), None)

    def owes(self, account: Address) -> bool:
        """Tell whether the account is one of :meth:`accounts`."""
        return account in self._state.authorized.rows and account in self._state.borrow_shares.rows

    def suspects(self) -> tuple[Address, ...]:
        """Everyone: the line is the contract's own, and its forms are not written."""
        return self.accounts()

    def near(self, move_of: MoveOf) -> tuple[Address, ...]:  # noqa: ARG002 - nobody is screened here
        """Everyone who authorised the contract and owes."""
        return self.accounts()

    def totals(self) -> VenueTotals:
        """Add everyone up."""
        return VenueTotals.of(map(self.margin, self.accounts()))

    def owed_within(self, bounds: Sequence[float]) -> tuple[BaseAmount, ...]:
        """Return what is owed within each distance of the line."""
        return owed_within(map(self.margin, self.accounts()), bounds)

    def margin(self, account: Address) -> AccountMargin:
        """Return the account's margin at the current block's timestamp.

        The figure is the debt at which the zone begins over the debt, rounded down. Of an account that authorised
        nobody here nothing is at stake: it is healthy, without a figure.
        """
        epoch = Epoch(*self._state.epoch(account))
        position = self.position(account)
        if not self._is_authorized(account) or not position.borrow_shares:
            return AccountMargin(self.name, account, epoch, HEALTHY, None, NOTHING, NOTHING)
        zone = self.zone()
        found = standing(zone, position)
        if isinstance(found, Unknown):
            unknown = Health(Status.UNKNOWN, found.reason)
            return AccountMargin(self.name, account, epoch, unknown, None, NOTHING, NOTHING)
        health = LIQUIDATABLE if found.debt > found.line else HEALTHY
        figure_wad = None if found.health is None else Wad(found.health)
        values = (zone.market.value(found.value), zone.market.value(found.debt))
        return AccountMargin(self.name, account, epoch, health, figure_wad, *values)

    def breakdown(self, account: Address) -> MarginBreakdown:
        """Return the account's margin term by term, by the contract's line and price."""
        zone = self.zone()
        market = zone.market
        if zone.doubt is not None or market.params is None:
            return MarginBreakdown(MarginKind.ISOLATED, (), zone.doubt.reason if zone.doubt else "")
        params = replace(market.params, lltv=zone.terms.pre_lltv)
        held = self.position(account) if self._is_authorized(account) else Position(0, 0, 0)
        return breakdown_of(replace(market, params=params, price=zone.price), held)

    def _is_authorized(self, account: Address) -> bool:
        return account in self._state.authorized.rows

    def pairs(self, account: Address) -> tuple[Pair, ...]:
        """Return the market's one pair when the contract lets the account's debt be repaid now."""
        zone, position = self.zone(), self.position(account)
        return pre_liquidation.pairs(zone, self._ceiling(), position, authorized=self._is_authorized(account))

    def preview(
        self,
        account: Address,
        debt_asset: Address,
        collateral_asset: Address,
        cover: TokenAmount,
        at_timestamp: int | None = None,
    ) -> Preview:
        """Return what the contract would do at the block's timestamp, or a later one (seconds)."""
        return pre_liquidation.preview(
            self.zone(at_timestamp),
            self._ceiling(at_timestamp),
            self.position(account),
            (debt_asset, collateral_asset),
            int(cover),
            authorized=self._is_authorized(account),
        )

    def outcome(self, account: Address, form: Form, at_timestamp: int | None = None) -> Outcome | str:
        """Return what the contract would do if it were called in this very form, or its error."""
        zone, position = self.zone(at_timestamp), self.position(account)
        return pre_liquidate(zone, position, form, authorized=self._is_authorized(account))

    def _collateral_value(self, market: Market, assets: int) -> BaseAmount | None:
        """Value collateral by the contract's oracle, as the contract does."""
        zone = self.zone()
        return None if zone.doubt is not None else market.value(assets * zone.price // ORACLE_PRICE_SCALE)

    # Auditing.

    def audit_reads(self, accounts: Sequence[Address]) -> tuple[ReadRequest, ...]:
        """Return the calls of the market, of each account's position, and of the contract's authority over it."""
        asked = (
            ReadRequest(self._morpho, IS_AUTHORIZED + address_word(account) + address_word(self._contract))
            for account in accounts
        )
        return (*super().audit_reads(accounts), *asked)

    def audit_findings(self, reads: Sequence[ContractRead]) -> tuple[AuditFinding, ...]:
        """Compare positions, the market's debt and the contract's authority with ours, all in one finding of each."""
        told = dict(filter(None, map(self._authority, reads)))
        return tuple(
            AuditFinding(
                each.account,
                f"{each.ours} authorized={self._is_authorized(each.account)}",
                f"{each.theirs} authorized={told[each.account]}",
            )
            for each in super().audit_findings(reads)
            if each.account in told
        )

    def _authority(self, read: ContractRead) -> tuple[Address, bool] | None:
        """Return whom an answer is about and whether it lets the contract act, ``None`` for any other answer."""
        asked, output = read.calldata, read.output or b""
        ours = asked.startswith(IS_AUTHORIZED) and asked.endswith(address_word(self._contract))
        if read.target != self._morpho or not ours or len(output) != WORD:
            return None
        return Address(asked[4 + 12 : 4 + WORD]), bool(int.from_bytes(output, "big"))

    # Acting.

    def liquidation_call(self, account: Address, preview: Preview) -> Call:
        """Return the transaction that executes a preview."""
        form = pre_liquidation.form_of(self.zone(), self._ceiling(), self.position(account), int(preview.cover))
        return calls.pre_liquidation_call(self._contract, account, form)

    def approval_call(self, token: Address, amount: TokenAmount) -> Call:
        """Return the transaction that lets the contract take a token from the signer."""
        return approval_call(token, self._contract, amount)


def _why_not(row: PriceRow | None) -> str:
    if row is None:
        return "was never read"
    return "is zero" if row.value is not None and not row.value else f"is unknown: {row.reason or f'read at {row.at}'}"
