"""The market at one timestamp: what every account's figures are computed from, worked out once.

Indexes are brought to the timestamp with the rules of the pool's revision. A figure that is missing is carried as the
reason why, and makes unknown only the accounts that need it.
"""

from __future__ import annotations

import msgspec

from keeper.core.ids import ZERO_ADDRESS, Address, to_hex
from keeper.venues.aave_v3.math import RAY, linear_interest, ray_mul
from keeper.venues.aave_v3.rules import RULES, RULES_3_0, Rules
from keeper.venues.aave_v3.state import Category, Following, Interest, PriceRow, Reserve, State


class Unknown(msgspec.Struct, frozen=True, gc=False):
    """A figure is missing."""

    reason: str


class ReserveNow(msgspec.Struct, frozen=True, gc=False):
    """A reserve at a timestamp.

    ``income`` and ``debt_index`` in ray; ``price`` in base currency per whole token, ``unit`` base units of the token;
    ratios 1e-4; ``liquidity`` the tokens that can leave, ``None`` when not known; ``in_grace`` while nobody is
    liquidated over it.
    """

    asset: Address
    index: int
    a_token: Address
    stable_token: Address
    variable_token: Address
    income: int
    debt_index: int
    price: int | Unknown
    unit: int
    ltv: int
    threshold: int
    bonus: int
    protocol_fee: int
    live: bool
    paused: bool
    in_grace: bool
    liquidity: int | None
    doubt: Unknown | None


class CategoryNow(msgspec.Struct, frozen=True, gc=False):
    """An efficiency mode; ``price`` is its price source's, zero when it has none.

    ``members`` and ``without_ltv`` have a bit for each reserve by its place: the assets that the ratios are for, and
    those of them that lend nothing.
    """

    ltv: int
    threshold: int
    bonus: int
    has_source: bool
    price: int | Unknown
    members: int
    without_ltv: int


NO_CATEGORY = CategoryNow(0, 0, 0, has_source=False, price=0, members=0, without_ltv=0)


class Market(msgspec.Struct, frozen=True):
    """Reserves by place and by asset, categories by number, at ``timestamp`` (seconds).

    ``doubt`` is set when nothing can be said at all. ``guarded`` is ``None`` without a sentinel, else whether it
    lets accounts above a health of 0.95 be liquidated.
    """

    timestamp: int
    rules: Rules
    doubt: Unknown | None
    guarded: bool | Unknown | None
    reserves: dict[int, ReserveNow]
    by_asset: dict[Address, ReserveNow]
    categories: dict[int, CategoryNow]


def market_at(state: State, timestamp: int) -> Market:
    """Return the market of a state at a timestamp (seconds, not before the state's block)."""
    rules, doubt = _rules(state)
    reserves = [_reserve(state, rules, asset, reserve, timestamp) for asset, reserve in state.listed()]
    categories = {key[0]: _category(state, rules, key[0], row) for key, row in sorted(state.categories.rows.items())}
    return Market(
        timestamp,
        rules,
        doubt,
        _guarded(state),
        {reserve.index: reserve for reserve in reserves},
        {reserve.asset: reserve for reserve in reserves},
        categories,
    )


def _rules(state: State) -> tuple[Rules, Unknown | None]:
    revision = state.market.revision
    if revision is None:
        return RULES_3_0, Unknown("the pool's revision is not known")
    if revision not in RULES:
        return RULES_3_0, Unknown(f"unsupported pool revision {revision}")
    return RULES[revision], None


def _guarded(state: State) -> bool | Unknown | None:
    market = state.market
    if market.sentinel == ZERO_ADDRESS:
        return None
    if market.sentinel_allows is None or market.sentinel_read_at != state.now.number:
        return Unknown("the price-oracle sentinel did not answer at this block")
    return market.sentinel_allows


def _reserve(state: State, rules: Rules, asset: Address, reserve: Reserve, timestamp: int) -> ReserveNow:
    interest = state.interest[asset]
    decimals = state.decimals.get(reserve.a_token)
    return ReserveNow(
        asset,
        reserve.index,
        reserve.a_token,
        reserve.stable_token,
        reserve.variable_token,
        income(interest, timestamp),
        debt_index(interest, rules, timestamp),
        price_of(state, asset),
        10 ** (decimals or 0),
        reserve.ltv,
        reserve.threshold,
        reserve.bonus,
        reserve.protocol_fee,
        reserve.active,
        reserve.paused,
        reserve.grace_until >= timestamp,
        state.liquidity.get(asset),
        _doubt(asset, reserve, decimals),
    )


def _doubt(asset: Address, reserve: Reserve, decimals: int | None) -> Unknown | None:
    if reserve.doubt:
        return Unknown(f"{to_hex(asset)}: {reserve.doubt}")
    return Unknown(f"{to_hex(asset)}: its decimals are not known") if decimals is None else None


def income(interest: Interest, timestamp: int) -> int:
    """Return the liquidity index at a timestamp (ReserveLogic.getNormalizedIncome)."""
    seconds = timestamp - interest.since
    if seconds == 0 or not interest.liquidity_rate:
        return int(interest.liquidity_index)
    return ray_mul(linear_interest(interest.liquidity_rate, seconds), interest.liquidity_index)


def debt_index(interest: Interest, rules: Rules, timestamp: int) -> int:
    """Return the variable borrow index at a timestamp (ReserveLogic.getNormalizedDebt)."""
    seconds = timestamp - interest.since
    if seconds == 0 or not interest.variable_rate:
        return int(interest.variable_index)
    return ray_mul(rules.compounded_interest(interest.variable_rate, seconds), interest.variable_index)


def _category(state: State, rules: Rules, number: int, row: Category) -> CategoryNow:
    has_source = row.price_source != ZERO_ADDRESS
    if rules.member_lists:
        price = Unknown("the efficiency mode had a price source before the pool was upgraded") if has_source else 0
        members, without_ltv = int(row.collateral), int(row.without_ltv)
    else:
        price = price_of(state, row.price_source) if has_source else 0
        members = sum(1 << reserve.index for _, reserve in state.listed() if reserve.category == number)
        without_ltv = 0
    return CategoryNow(row.ltv, row.threshold, row.bonus, has_source, price, members, without_ltv)


def price_of(state: State, asset: Address) -> int | Unknown:
    """Return the price of an asset or price source, or why it is not known now."""
    row = state.prices.get(asset)
    if row is not None and row.value is not None and _current(row, state.now.number):
        return int(row.value)
    return Unknown(f"{to_hex(asset)}: {_missing(row)}")


def _current(row: PriceRow, block: int) -> bool:
    return row.following is Following.FOLLOWED or row.at == block


def _missing(row: PriceRow | None) -> str:
    if row is None:
        return "its price was never read"
    return f"its price is unknown: {row.reason}" if row.value is None else f"its price was last read at block {row.at}"


def stable_balance(market: Market, principal: int, rate: int, since: int) -> int:
    """Return a stable debt at the market's timestamp (StableDebtToken.balanceOf)."""
    growth = market.rules.compounded_interest(rate, market.timestamp - since) if principal else RAY
    return ray_mul(principal, growth)
