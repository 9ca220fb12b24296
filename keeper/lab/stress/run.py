"""One run: borrowers, a venue under a policy, a market, rivals, and our keeper with the shipped engine.

A step is a block. In it arbitrage and the oracle work, the venue renews its terms, borrowers defend themselves, calls
that wait are carried out until the block is full, and what they seize is sold at once. Debt without collateral is
written off. Then everybody looks at the new block, and the engine decides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import takewhile
from typing import NamedTuple, cast

import msgspec
import numpy as np

from keeper.core.decisions import Verdict
from keeper.core.facts import BlockHeader, RawLog
from keeper.core.ids import Address, Hash32, content_id, to_hex
from keeper.core.units import BaseAmount, Bps, Wad
from keeper.lab.simulator.market import POOL, TOPIC, USD, Emitted, Reverted, amounts, health_wad
from keeper.lab.stress.borrowers import populate, split
from keeper.lab.stress.market import GWEI, Market
from keeper.lab.stress.our_keeper import ENDLESS, OUR_ADDRESS, Mined, OurKeeper, Signed, gas_used
from keeper.lab.stress.paths import STEP_SECONDS, STEPS_PER_HOUR, Path, checked, stream
from keeper.lab.stress.policies import Policy, policy
from keeper.lab.stress.requirements import FLOOR, Requirement
from keeper.lab.stress.results import HOURS_PER_STEP, Result, Samples
from keeper.lab.stress.rivals import Call, Sight, rivals
from keeper.lab.stress.scenarios import World, scenario
from keeper.lab.stress.venue import COIN_TOKENS, COIN_UNITS, LIQUIDATION_GAS, USD_UNITS, LendingPool, Rules
from keeper.risk.waterfall import loss_waterfall

START_UNIX = 1_600_000_000
DEFENCE_STEPS_MAX = 2 * STEPS_PER_HOUR
"""How long a borrower may take to answer, at most."""
CALL_AGE_MAX = 3
"""Blocks after which a rival gives a call up."""
EMPTY_USD = 1.0
"""Collateral of less secures nothing."""
NOBODY = Hash32(bytes(32))
"""The transaction of what the venue and its borrowers do."""


class _Waiting(NamedTuple):
    """A call before it is carried out, ours or a rival's."""

    rank: float
    sender: Address
    data: bytes
    signed: Signed | None = None


class Run:
    """The state of one run.

    Args:
        path: Its prices.
        world: The scenario's.
        rule: The policy.
        seed: Of all chance.
    """

    def __init__(self, path: Path, world: World, rule: Policy, seed: int) -> None:
        self._path = checked(path)
        self._world = world
        start = path.prices_usd[0]
        population = populate(world.borrowers, seed, start, 1 - FLOOR)
        people = split(population, start) if rule.margin == "isolated" else population
        self._people = people
        self._market = Market(path, world, seed, people.held.sum(axis=0))
        self._requirement = Requirement(rule, path, start)
        rules = Rules(rule)
        self._rule = rule
        self._dutch, self._insured = rule.bonus == "dutch", rule.insured
        self._accounts = [Address((row + 1).to_bytes(20, "big")) for row in range(len(people.owed_usd))]
        self._seen = 0
        self._pool = LendingPool(rules)
        self._keeper = OurKeeper(rule, rules, START_UNIX)
        self._rivals = rivals(world.rivals, world.rival_latency_max, stream(seed, "rivals"))
        self._ranks = stream(seed, "ranks")
        self._answers = stream(seed, "defence").integers(1, DEFENCE_STEPS_MAX + 1, size=len(people.owed_usd))
        self._alarmed: dict[int, int] = {}
        self._calls: list[Call] = []
        self._logs: list[RawLog] = []
        self._tip = BlockHeader(0, content_id("block", 0), content_id("nothing"), START_UNIX, GWEI, b"")
        self.samples = Samples()
        self.seized: list[tuple[Address, Hash32 | None]] = []
        """Every liquidation: of whom, and by which of our intents."""
        self.repaid_usd = self.profit_usd = self.defended_usd = self.owed_start_usd = self.sold_short_usd = 0.0
        self.deficits_usd = [0.0]

    def run(self) -> None:
        """Run it to its end."""
        self._open()
        for step in range(1, self._path.steps):
            self._step(step)

    # The steps

    def _open(self) -> None:
        pool, start = self._pool, self._path.prices_usd[0]
        pool.now_unix = START_UNIX
        self._emit(pool.price(start))
        self._emit(pool.require(self._requirement.thresholds_bps))
        for account, held, owed in zip(self._accounts, self._people.held, self._people.owed_usd, strict=True):
            for token, coins in zip(COIN_TOKENS, held, strict=True):
                if coins > 0:
                    self._emit(pool.write(account, token, max(1, round(coins * COIN_UNITS)), 0))
            self._emit(pool.write(account, USD, 0, max(1, round(owed * USD_UNITS))))
        for sender in (OUR_ADDRESS, *(each.address for each in self._rivals)):
            pool.tokens[sender + USD] = pool.allowed[sender + USD] = ENDLESS
        self._keeper.block(self._tip, tuple(self._logs), ())
        self.owed_start_usd = float(self._keeper.ledger.book().owed_usd.sum())
        self._note()

    def _step(self, step: int) -> None:
        market, pool = self._market, self._pool
        market.begin_step(step)
        pool.now_unix = START_UNIX + step * STEP_SECONDS
        self._logs, header = [], self._header(step)
        self._emit(pool.price(market.feed.prices_usd))
        if step % STEPS_PER_HOUR == 0:
            self._renew()
        self._defend(step)
        self._flag()
        mined = self._carry_out(header)
        self._write_off()
        self._tip = header
        self._tell_costs()
        self._keeper.block(header, tuple(self._logs), mined)
        self._look(header)
        self._note()

    def _header(self, step: int) -> BlockHeader:
        fee = self._market.chain.base_fee_wei(step)
        return BlockHeader(step, content_id("block", step), self._tip.hash, self._pool.now_unix, fee, b"")

    def _renew(self) -> None:
        """Renew the venue's requirement."""
        self._requirement.renew(self._market.feed.prices_usd)
        if self._requirement.thresholds_bps != self._pool.thresholds_bps:
            self._emit(self._pool.require(self._requirement.thresholds_bps))

    def _tell_costs(self) -> None:
        """Let our operator tell the strategy what selling costs now."""
        market = self._market
        if self._rule.at_any_price:
            return
        below = np.maximum(0.0, 1 - market.prices_usd / market.feed.prices_usd)
        coins = range(len(below))
        steep = [market.impact.cost_per_million(coin, float(market.prices_usd[coin])) for coin in coins]
        self._keeper.reload(
            [round(float(share) * Bps.ONE) for share in below],
            [round(share * Bps.ONE) for share in steep],
            self._pool.now_unix,
        )

    def _defend(self, step: int) -> None:
        """Let borrowers who saw their health fall repay from elsewhere, once, when they have had time to."""
        model, book = self._world.borrowers, self._keeper.ledger.book()
        thresholds = np.array(self._pool.thresholds_bps) / Bps.ONE
        health = book.health(self._market.feed.prices_usd, thresholds)
        for row in np.flatnonzero(self._people.defends & (health < model.defence_health)):
            since = self._alarmed.setdefault(int(row), step)
            if step - since == self._answers[row]:
                owed = float(book.owed_usd[row])
                repaid = owed * (1 - float(health[row]) / model.defended_health)
                self.defended_usd += repaid
                cents = max(0, round((owed - repaid) * USD_UNITS))
                self._emit(self._pool.write(book.accounts[row], USD, 0, cents))

    def _carry_out(self, header: BlockHeader) -> list[Mined]:
        """Carry out the calls that wait, by rank and as many as the block holds; ours in order of their nonces."""
        room, mined, done = self._market.chain.calls(header.number), [], set()
        for each in self._ranked(header):
            if room == 0:
                break
            if each.signed is not None:
                mined.append(self._ours(each.signed, header))
                room -= 1
                continue
            done.add(each.data)
            if self._execute(each.sender, each.data, content_id("rival", header.number, len(self.seized))) is None:
                room -= 1  # a rival's call that would revert is a bundle that no block takes
        self._keeper.included(len(mined))
        fresh = [call for call in self._calls if header.number - call.due < CALL_AGE_MAX]
        self._calls = [call for call in fresh if call.due > header.number or call.data not in done]
        return mined

    def _ranked(self, header: BlockHeader) -> list[_Waiting]:
        sent = self._keeper.send(header, self._world.our_latency + 1, self._refusals())
        ready = list(takewhile(lambda signed: signed.fee_wei_max >= header.base_fee_wei, sent))
        due = [call for call in self._calls if call.due <= header.number]
        ranks = self._ranks.random(len(due) + len(ready)).tolist()
        ours = [
            _Waiting(rank, OUR_ADDRESS, each.intent.data, each)
            for rank, each in zip(sorted(ranks[len(due) :]), ready, strict=True)
        ]
        others = [_Waiting(rank, call.sender, call.data) for rank, call in zip(ranks[: len(due)], due, strict=True)]
        return sorted([*ours, *others], key=lambda waiting: waiting.rank)

    def _refusals(self) -> dict[Hash32, str]:
        """Return why our calls that are not signed yet would fail now, as their simulations would tell."""
        found = {intent.intent_id: self._refusal(intent.data) for intent in self._keeper.waiting()}
        return {intent_id: refusal for intent_id, refusal in found.items() if refusal is not None}

    def _refusal(self, data: bytes) -> str | None:
        """Return why a call would fail: the account is healthy, or the sale of what it seizes would bring a loss."""
        _, raw, _, coin_token, cover = msgspec.msgpack.decode(data)
        pool, account, token = self._pool, Address(raw), Address(coin_token)
        tokens, terms = pool.of(account), pool.terms(account)
        health = health_wad(tokens, pool.prices, terms)
        if health is None or health >= Wad.ONE:
            return "HEALTHY"
        repaid, seized = amounts(tokens, pool.prices, USD, token, cover, terms)
        coin, market = COIN_TOKENS.index(token), self._market
        paid_usd = market.impact.quoted(coin, float(market.prices_usd[coin]), seized / COIN_UNITS)
        return None if self._rule.at_any_price or paid_usd >= repaid / USD_UNITS else "LOSS"

    def _ours(self, signed: Signed, header: BlockHeader) -> Mined:
        revert = self._execute(OUR_ADDRESS, signed.intent.data, signed.tx_hash, signed.intent.intent_id)
        self.profit_usd -= self._gas_usd(header) * gas_used(revert) / LIQUIDATION_GAS
        return Mined(signed, header.base_fee_wei, revert)

    def _execute(self, sender: Address, data: bytes, tx_hash: Hash32, intent_id: Hash32 | None = None) -> str | None:
        """Carry out a call and the sale of what it seizes, both or neither; return why they fail, if they do."""
        refusal = self._refusal(data)
        if refusal is not None:
            return refusal
        try:
            emitted = self._pool.execute(sender, POOL, data)
        except Reverted as refused:
            return refused.name
        self._emit(emitted, tx_hash)
        fields = cast("tuple[str, bytes, bytes, bytes, bytes, int, int]", emitted[0].fields)
        coin, repaid_usd = COIN_TOKENS.index(Address(fields[4])), fields[5] / USD_UNITS
        paid_usd = self._market.sell(coin, fields[6] / COIN_UNITS)
        short_usd = max(0.0, repaid_usd - paid_usd)  # the venue's, where it sells at any price; else there is none
        self.sold_short_usd += short_usd
        self.repaid_usd += repaid_usd
        self.seized.append((Address(fields[1]), intent_id))
        if intent_id is not None:
            self.profit_usd += paid_usd - repaid_usd + short_usd
        return None

    # The venue's own work

    def _write_off(self) -> None:
        """Take debt that nothing secures any more from its account: a deficit, as on Aave v3.3."""
        deficit = 0.0
        for account in dict.fromkeys(account for account, _ in self.seized[self._seen :]):
            tokens, prices = self._pool.of(account), self._pool.prices
            owed = tokens[USD].debt
            secured = sum(position.collateral * prices[token] for token, position in tokens.items())
            if owed and secured < EMPTY_USD * BaseAmount.ONE:
                deficit += owed / USD_UNITS
                self._emit(self._pool.write(account, USD, 0, 0))
        self._seen = len(self.seized)
        self.deficits_usd.append(deficit)

    def _flag(self) -> None:
        """Note who is unsafe since when, where the bonus depends on it."""
        if not self._dutch:
            return
        book, thresholds = self._keeper.ledger.book(), np.array(self._pool.thresholds_bps) / Bps.ONE
        rows = np.flatnonzero(book.health(self._market.feed.prices_usd, thresholds) < 1)
        unsafe = {book.accounts[row] for row in rows}
        for account in sorted(unsafe ^ self._pool.unsafe_since.keys()):
            self._emit(self._pool.flag(account, unsafe=account in unsafe))

    def _look(self, header: BlockHeader) -> None:
        """Let rivals look at the new block."""
        unsafe = self._keeper.ledger.suspects()
        if unsafe:
            market = self._market
            sight = Sight(
                header.number,
                unsafe,
                market.feed.prices_usd,
                market.prices_usd,
                self._gas_usd(header),
                self._rule.at_any_price,
            )
            for rival in self._rivals:
                self._calls += rival.calls(self._pool, market.impact, sight)

    def _gas_usd(self, header: BlockHeader) -> float:
        return LIQUIDATION_GAS * header.base_fee_wei / 10**18 * float(self._market.feed.prices_usd[1])

    def _emit(self, emitted: Iterable[Emitted], tx_hash: Hash32 | None = None) -> None:
        for each in emitted:
            place, data = len(self._logs), msgspec.msgpack.encode(each.fields)
            self._logs.append(RawLog(each.address, (TOPIC,), data, place, tx_hash or NOBODY))

    # What is noted

    def _note(self) -> None:
        market, book, samples = self._market, self._keeper.ledger.book(), self.samples
        prices, thresholds = market.prices_usd, np.array(self._pool.thresholds_bps) / Bps.ONE
        values = book.held * prices
        value, owed = values.sum(axis=1), book.owed_usd
        average = np.divide(values @ thresholds, value, out=np.full(len(value), 1 - FLOOR), where=value > 0)
        coins = values.sum(axis=0)
        samples.undisturbed_usd.append(market.undisturbed_usd)
        samples.market_usd.append(prices)
        samples.requirement.append(self._requirement.held)
        samples.repaid_usd.append(self.repaid_usd)
        samples.under_water.append(int(np.count_nonzero(book.health(prices, thresholds) < 1)))
        samples.locked.append(float(owed @ (1 / average - 1) / max(float(owed.sum()), 1e-9)))
        capacity = float(coins.sum()) * (1 - FLOOR)
        samples.withdrawn.append(float(coins @ (1 - FLOOR - thresholds)) / capacity if capacity > 0 else 0.0)

    @property
    def shortfall_usd(self) -> float:
        """What debts exceed their collateral by at the end, at the market's price."""
        book = self._keeper.ledger.book()
        return float(np.maximum(0.0, book.owed_usd - book.held @ self._market.prices_usd).sum())

    @property
    def keeper(self) -> OurKeeper:
        """Our keeper, with its engine."""
        return self._keeper

    def result(self, scenario_name: str, seed: int) -> Result:
        """Return what the run came to."""
        samples, book = self.samples, self._keeper.ledger.book()
        fund_usd = self._world.fund_share * self.owed_start_usd if self._insured else 0.0
        deficits = np.array([*self.deficits_usd, self.sold_short_usd, self.shortfall_usd])
        borne = loss_waterfall(deficits, equities_usd=np.zeros(len(deficits)), fund_usd=fund_usd)
        market, path = np.array(samples.market_usd), np.array(samples.undisturbed_usd)
        stressed = self._market.stress >= np.quantile(self._market.stress, 0.9)
        return Result(
            scenario=scenario_name,
            policy=self._rule.name,
            seed=seed,
            liquidations=len(self.seized),
            ours=sum(intent_id is not None for _, intent_id in self.seized),
            repaid_usd=self.repaid_usd,
            bad_debt_usd=math.fsum(deficits),
            insurance_usd=math.fsum(borne.fund_usd),
            socialised_usd=math.fsum(borne.socialised_usd),
            extra_drop=float(np.max(1 - market / path)),
            depressed=float(np.mean(1 - market[:, 1] / path[:, 1])),
            drop=float(1 - market[:, 1].min() / market[0, 1]),
            margin_locked=float(np.mean(samples.locked)),
            withdrawn=float(np.mean(samples.withdrawn)),
            withdrawn_stressed=float(np.mean(np.array(samples.withdrawn)[stressed])),
            under_water_hours=sum(samples.under_water) * HOURS_PER_STEP,
            profit_usd=self.profit_usd,
            defended_usd=self.defended_usd,
            owed_start_usd=self.owed_start_usd,
            owed_end_usd=float(book.owed_usd.sum()),
            admitted=len(self._keeper.admitted),
            outbid=self._keeper.verdicts[Verdict.OUTBID],
            state_hash=to_hex(self._keeper.engine.state_hash()),
        )


def stress(scenario_name: str, policy_name: str, seed: int) -> Run:
    """Run a policy in a scenario by a seed, and return the whole run.

    Raises:
        UsageError: the scenario or the policy is not known.
    """
    chosen, rule = scenario(scenario_name), policy(policy_name)
    run = Run(chosen.path(seed), chosen.world, rule, seed)
    run.run()
    return run


def stress_result(scenario_name: str, policy_name: str, seed: int) -> Result:
    """Run a policy in a scenario by a seed, and return what it came to."""
    return stress(scenario_name, policy_name, seed).result(scenario_name, seed)
