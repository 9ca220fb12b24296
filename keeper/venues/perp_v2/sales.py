"""Sales of collateral for debt, account by account, in this protocol's words and in those of every venue.

A taker's figures are our own; those of one that provides liquidity are what the contracts said at the block. The
settlement token is the debt, the token sold is the collateral. What is repaid includes the insurance fund's fee, which
is therefore no fee on top: ``protocol_fee`` is nothing.

What is left to the preflight: the liquidator's own balance and allowance, and tokens that refuse a transfer.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from keeper.core.facts import RawLog
from keeper.core.ids import ADDRESS_LENGTH, Address
from keeper.core.margin import Bucket
from keeper.core.units import BaseAmount, Bps, TokenAmount, Wad
from keeper.core.venue import LiquidationSeen, Pair, Preview
from keeper.venues.perp_v2 import collateral as rules
from keeper.venues.perp_v2.breakdown import sale_buckets
from keeper.venues.perp_v2.collateral import Sale
from keeper.venues.perp_v2.events import CollateralLiquidated
from keeper.venues.perp_v2.fold import takers
from keeper.venues.perp_v2.liquidation import Refused
from keeper.venues.perp_v2.margin import Figures, account_of, collateral_value, figures_of
from keeper.venues.perp_v2.market import CollateralNow, Now, Unknown
from keeper.venues.perp_v2.math import RATIO, WAD, divide, from_settlement, mul_ratio, to_settlement
from keeper.venues.perp_v2.state import MakerRow, Most, PerpContracts, State, Terms

WAD_PER_BASE = WAD // BaseAmount.ONE
NOT_READ = "the contracts gave no figures of its collateral at this block"
NOT_SETTLEMENT = "unknown: nothing but the settlement token is repaid"


class Standing(msgspec.Struct, frozen=True, gc=False):
    """Where an account stands: may its collateral be sold? Its value, what that has to be, and its debt, 1e-18."""

    is_open: bool
    value: int
    requirement: int
    debt: int


class Goods(msgspec.Struct, frozen=True, gc=False):
    """What is sold, on which terms, and the most of it."""

    collateral: CollateralNow
    terms: Terms
    most: Most


class Sales:
    """What may be sold, of the accounts of a state."""

    def __init__(self, state: State, contracts: PerpContracts, now: Callable[[], Now | Unknown]) -> None:
        self._state = state
        self._now = now
        self._contracts = contracts
        self._decimals = contracts.settlement_decimals

    def debtors(self) -> list[Address]:
        """Return everyone who has collateral and owes settlement tokens without regard to positions."""
        tokens, decimals = self._state.collaterals.rows, self._decimals
        owners = {Address(key[ADDRESS_LENGTH:]) for key in self._state.balances.rows if key[:ADDRESS_LENGTH] in tokens}
        settlement = self._contracts.settlement
        return [
            one
            for one in sorted(owners)
            if from_settlement(self._state.balance(settlement, one), decimals) + self._state.owed_to(one) < 0
        ]

    # In the protocol's words.

    def is_open(self, account: Address) -> bool | Unknown:
        """Return ``isLiquidatable``: may any collateral of the account be sold?"""
        if not self._state.pledged(account):
            return False
        standing = self._standing(account)
        return standing if isinstance(standing, Unknown) else standing.is_open

    def _standing(self, account: Address) -> Standing | Unknown:
        now = self._now()
        if isinstance(now, Unknown):
            return now
        if account in self._state.providers():
            return self._standing_of_maker(account)
        figures, terms = self._figures(now, account), now.terms
        if isinstance(figures, Unknown):
            return figures
        if isinstance(terms, Unknown):
            return terms
        is_open = rules.is_open(now, terms, figures, self._threshold(terms, account), self._decimals)
        return Standing(
            is_open, figures.settlement_value + figures.pledged, figures.requirement, rules.debt_of(figures)
        )

    def _threshold(self, terms: Terms, account: Address) -> int:
        own = self._state.threshold(account)
        return int(terms.threshold) if own is None else own

    def buckets(self, account: Address) -> tuple[Bucket, ...]:
        """Return what decides about a sale; none without collateral, and of one whose figures are not our own."""
        now = self._now()
        if isinstance(now, Unknown) or isinstance(now.terms, Unknown) or not self._state.pledged(account):
            return ()
        figures = self._figures(now, account)
        if isinstance(figures, Unknown):
            return ()
        return sale_buckets(now, now.terms, figures, self._threshold(now.terms, account), self._contracts)

    def _standing_of_maker(self, account: Address) -> Standing | Unknown:
        row = self._maker(account)
        known = (None,) if row is None else (row.seizable, row.value, row.requirement, row.settlement)
        if None in known or row is None:
            return Unknown(NOT_READ)
        debt = from_settlement(max(-int(row.settlement or 0), 0), self._decimals)
        return Standing(bool(row.seizable), int(row.value or 0), int(row.requirement or 0), debt)

    def _maker(self, account: Address) -> MakerRow | None:
        row = self._state.makers.get(account)
        return row if row is not None and row.at == self._state.now.number else None

    def _figures(self, now: Now, account: Address) -> Figures | Unknown:
        held = account_of(self._state, self._contracts, account)
        return held if isinstance(held, Unknown) else figures_of(now, held, self._decimals)

    def most(self, account: Address, token: Address) -> Most | Refused | Unknown:
        """Return ``getMaxRepaidSettlementAndLiquidatableCollateral``."""
        goods = self._goods(account, token)
        return goods.most if isinstance(goods, Goods) else goods

    def _goods(self, account: Address, token: Address) -> Goods | Refused | Unknown:
        now = self._now()
        if isinstance(now, Unknown):
            return now
        collateral, terms = now.collaterals.get(token), now.terms
        if collateral is None:
            return Refused(rules.NOT_A_COLLATERAL)
        if isinstance(collateral, Unknown):
            return collateral
        if isinstance(terms, Unknown):
            return terms
        if not rules.is_sellable(terms, collateral):
            return Refused(rules.BARE_REVERT)
        most = self._most(now, terms, collateral, account, token)
        return Goods(collateral, terms, most) if isinstance(most, Most) else most

    def _most(
        self, now: Now, terms: Terms, collateral: CollateralNow, account: Address, token: Address
    ) -> Most | Refused | Unknown:
        if account in self._state.providers():
            row = self._maker(account)
            return (None if row is None else dict(row.most).get(token)) or Unknown(NOT_READ)
        figures = self._figures(now, account)
        if isinstance(figures, Unknown):
            return figures
        return rules.most_of(terms, collateral, figures, self._state.balance(token, account), self._decimals)

    def foretell(
        self, trader: Address, token: Address, amount: int, *, in_settlement: bool
    ) -> Sale | Refused | Unknown:
        """Return what ``liquidateCollateral`` would do, its refusals in the contract's order."""
        if self._contracts.vault in self._state.paused.rows:
            return Refused(rules.PAUSED)
        is_open = self.is_open(trader)
        if isinstance(is_open, Unknown):
            return is_open
        if not is_open:
            return Refused(rules.NOT_LIQUIDATABLE)
        goods = self._goods(trader, token)
        if not isinstance(goods, Goods):
            return goods
        wanted = (amount, self._decimals)
        done = rules.sale_of(goods.terms, goods.collateral, goods.most, *wanted, in_settlement=in_settlement)
        if isinstance(done, Sale) and trader == self._contracts.insurance_fund:
            return Refused(rules.INSURANCE_FUND)
        return done

    # In the words of every venue.

    def pairs(self, account: Address) -> tuple[Pair, ...]:
        """Return what may be sold now, in the tokens' order."""
        standing = self._standing(account)
        contracts = self._contracts
        if isinstance(standing, Unknown) or not standing.is_open or account == contracts.insurance_fund:
            return ()
        if contracts.vault in self._state.paused.rows:
            return ()
        found = [(token, self._goods(account, token)) for token in self._state.pledged(account)]
        return tuple(
            self._pair(standing, account, token, goods)
            for token, goods in found
            if isinstance(goods, Goods) and goods.most.repaid and goods.most.collateral
        )

    def _pair(self, standing: Standing, account: Address, token: Address, goods: Goods) -> Pair:
        collateral = goods.collateral
        return Pair(
            self._contracts.settlement,
            token,
            TokenAmount(goods.most.repaid),
            Bps(RATIO * Bps.ONE // (RATIO - collateral.discount)),
            Bps(collateral.ratio * Bps.ONE // RATIO),
            BaseAmount(standing.debt // WAD_PER_BASE),
            BaseAmount(collateral_value(collateral, self._state.balance(token, account)) // WAD_PER_BASE),
        )

    def preview(self, account: Address, debt: Address, token: Address, cover: int) -> Preview:
        """Return what a sale for exactly ``cover`` would do."""
        standing, goods = self._standing(account), self._goods(account, token)
        told = self.foretell(account, token, cover, in_settlement=True)
        if debt != self._contracts.settlement:
            told = Refused(NOT_SETTLEMENT)
        if isinstance(told, Sale) and isinstance(standing, Standing) and isinstance(goods, Goods):
            return self._accepted(standing, goods, account, token, told)
        reason = (
            told.error
            if isinstance(told, Refused)
            else f"unknown: {told.reason if isinstance(told, Unknown) else NOT_READ}"
        )
        nothing, worthless = TokenAmount(0), BaseAmount(0)
        amounts = (TokenAmount(cover), nothing, nothing, nothing, worthless, worthless, worthless)
        return Preview(debt, token, *amounts, None, reason)

    def _accepted(self, standing: Standing, goods: Goods, account: Address, token: Address, done: Sale) -> Preview:
        collateral, held = goods.collateral, self._state.balance(token, account)
        repaid = from_settlement(done.paid - done.fee, self._decimals)
        counted = [
            mul_ratio(collateral_value(collateral, each), collateral.ratio) for each in (held, held - done.collateral)
        ]
        value = to_settlement(standing.value + repaid - counted[0] + counted[1], self._decimals)
        value, need = from_settlement(value, self._decimals), standing.requirement
        paid = TokenAmount(done.paid)
        return Preview(
            self._contracts.settlement,
            token,
            paid,
            paid,
            TokenAmount(done.collateral),
            TokenAmount(0),
            BaseAmount(from_settlement(done.paid, self._decimals) // WAD_PER_BASE),
            BaseAmount(collateral_value(collateral, done.collateral) // WAD_PER_BASE),
            BaseAmount(self._debt_left(standing, account, token, done) // WAD_PER_BASE),
            Wad(divide(value * WAD, need)) if need > 0 else None,
            None,
        )

    def _debt_left(self, standing: Standing, account: Address, token: Address, done: Sale) -> int:
        """Return what the account owes afterwards: nothing when it has nothing left, and the insurance fund pays."""
        state = self._state
        sold_out = state.pledged(account) == [token] and state.balance(token, account) == done.collateral
        if sold_out and account not in (*takers(state), *state.providers()):
            return 0
        return max(standing.debt - from_settlement(done.paid - done.fee, self._decimals), 0)

    def value_base(self, token: Address, amount: int) -> BaseAmount | None:
        """Value the settlement token as one dollar, a collateral at the vault's price; ``None`` when it has none."""
        if token == self._contracts.settlement:
            return BaseAmount(from_settlement(amount, self._decimals) // WAD_PER_BASE)
        now = self._now()
        collateral = None if isinstance(now, Unknown) else now.collaterals.get(token)
        if collateral is None or isinstance(collateral, Unknown):
            return None
        return BaseAmount(collateral_value(collateral, amount) // WAD_PER_BASE)


def seen(venue: str, settlement: Address, log: RawLog, change: CollateralLiquidated) -> LiquidationSeen:
    """Return a sale that happened; what was repaid includes the insurance fund's fee."""
    parties = (change.trader, change.liquidator, settlement, change.token)
    amounts = (TokenAmount(change.repaid + change.fee), TokenAmount(change.collateral))
    return LiquidationSeen(venue, *parties, *amounts, log.tx_hash)
