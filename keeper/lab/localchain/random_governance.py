"""What governance and the world might do to a market next: risk parameters, pauses, categories, prices, time.

Drawn like :mod:`keeper.lab.localchain.random_actions`, for the market's administrator. A pause or a freeze comes with
the call that takes it back, so that a market does not stand still for long.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from keeper.lab.localchain.aave import AaveMarket, Asset
from keeper.lab.localchain.assets import BLUE_CHIPS, PRICE_DECIMALS, STABLECOINS, Category
from keeper.lab.localchain.prices import VOLATILE, price_call
from keeper.lab.localchain.random_actions import Action
from keeper.lab.localchain.transactions import Call, encode_call

ZERO = "0x" + "00" * 20
MINUTE, HOUR, DAY = 60, 3_600, 86_400
BPS = 10_000
GRACE_SECONDS_MAX = 4 * HOUR


@dataclass(frozen=True, slots=True)
class Change:
    """One act of governance, and the act that takes it back if it must not last."""

    action: Action
    undo: Action | None = None


def _configure(market: AaveMarket, kind: str, signature: str, *arguments: object) -> Action:
    return Action(kind, Call(market.admin, market.configurator, encode_call(signature, *arguments)))


def _collateral(chance: random.Random, market: AaveMarket) -> Change:
    """Move loan to value, threshold and bonus of an asset around where they began."""
    asset = chance.choice(market.assets)
    threshold = asset.spec.threshold_bps + chance.randint(-600, 400)
    ltv = min(threshold, asset.spec.ltv_bps + chance.randint(-600, 300)) if chance.random() < 0.9 else 0  # noqa: PLR2004 - a share
    bonus = chance.randint(10_100, 11_000)
    signature = "configureReserveAsCollateral(address,uint256,uint256,uint256)"
    return Change(_configure(market, "collateral", signature, asset.token, ltv, threshold, bonus))


def _category(chance: random.Random, market: AaveMarket) -> Change:
    """Edit a category; the stablecoins get a price source of their own half of the time."""
    category: Category = chance.choice(market.categories)
    threshold = category.threshold_bps + chance.randint(-100, 50)
    ltv = min(threshold, category.ltv_bps + chance.randint(-150, 50))
    bonus = chance.randint(10_050, 10_200)
    with_source = category.number == STABLECOINS and chance.random() < 0.5  # noqa: PLR2004 - the docstring's share
    source = market.category_feed if with_source else ZERO
    signature = "setEModeCategory(uint8,uint16,uint16,uint16,address,string)"
    return Change(
        _configure(market, "category", signature, category.number, ltv, threshold, bonus, source, category.label)
    )


def _membership(chance: random.Random, market: AaveMarket) -> Change:
    """Move an asset into its natural category or out of any."""
    asset = chance.choice(market.assets)
    natural = BLUE_CHIPS if asset.symbol in VOLATILE else STABLECOINS
    number = chance.choice((0, natural, natural))
    return Change(_configure(market, "membership", "setAssetEModeCategory(address,uint8)", asset.token, number))


def _reserve_factor(chance: random.Random, market: AaveMarket) -> Change:
    asset = chance.choice(market.assets)
    factor_bps = chance.randint(0, 4_000)
    return Change(_configure(market, "reserve_factor", "setReserveFactor(address,uint256)", asset.token, factor_bps))


def _protocol_fee(chance: random.Random, market: AaveMarket) -> Change:
    """Set an asset's share of the liquidation bonus that goes to the treasury, a third of the time to none."""
    asset = chance.choice(market.assets)
    fee_bps = chance.choice((0, chance.randint(1, BPS), 1_000))
    signature = "setLiquidationProtocolFee(address,uint256)"
    return Change(_configure(market, "protocol_fee", signature, asset.token, fee_bps))


def _pause(chance: random.Random, market: AaveMarket) -> Change:
    return _switch(market, "pause", "setReservePause(address,bool)", chance.choice(market.assets))


def _freeze(chance: random.Random, market: AaveMarket) -> Change:
    return _switch(market, "freeze", "setReserveFreeze(address,bool)", chance.choice(market.assets))


def _switch(market: AaveMarket, kind: str, signature: str, asset: Asset) -> Change:
    on = _configure(market, kind, signature, asset.token, True)
    return Change(on, _configure(market, f"un{kind}", signature, asset.token, False))


def _category_price(chance: random.Random, market: AaveMarket) -> Change:
    """Move the price source that the stablecoin category sometimes has."""
    price = round(10**PRICE_DECIMALS * chance.uniform(0.985, 1.015))
    return Change(Action("category_price", price_call(market, market.category_feed, price)))


def _mint_to_treasury(_: random.Random, market: AaveMarket) -> Change:
    data = encode_call("mintToTreasury(address[])", [asset.token for asset in market.assets])
    return Change(Action("mint_to_treasury", Call(market.admin, market.pool, data)))


def _category_36(chance: random.Random, market: AaveMarket) -> Change:
    """Edit a category, which has no price source."""
    category: Category = chance.choice(market.categories)
    threshold = category.threshold_bps + chance.randint(-100, 50)
    ltv = min(threshold, category.ltv_bps + chance.randint(-150, 50))
    bonus = chance.randint(10_050, 10_200)
    signature = "setEModeCategory(uint8,uint16,uint16,uint16,string)"
    return Change(_configure(market, "category", signature, category.number, ltv, threshold, bonus, category.label))


def _membership_36(chance: random.Random, market: AaveMarket) -> Change:
    """Let an asset be collateral or be borrowed in a category, or lend nothing there; mostly undone later."""
    asset = chance.choice(market.assets)
    natural = BLUE_CHIPS if asset.symbol in VOLATILE else STABLECOINS
    number = chance.choice((natural, natural, STABLECOINS, BLUE_CHIPS))
    role = chance.choice(("Collateral", "Collateral", "Borrowable", "Ltvzero"))
    on = chance.random() < (0.5 if role == "Ltvzero" else 0.7)
    signature = f"setAsset{role}InEMode(address,uint8,bool)"
    back = _configure(market, f"membership_{role.lower()}", signature, asset.token, number, not on)
    return Change(_configure(market, f"membership_{role.lower()}", signature, asset.token, number, on), back)


def _pause_36(chance: random.Random, market: AaveMarket) -> Change:
    """Pause an asset; it comes back with a grace period, in which nobody is liquidated over it."""
    asset = chance.choice(market.assets)
    signature = "setReservePause(address,bool,uint40)"
    grace = chance.choice((0, chance.randint(1, HOUR), GRACE_SECONDS_MAX))
    on = _configure(market, "pause", signature, asset.token, True, 0)
    return Change(on, _configure(market, "unpause", signature, asset.token, False, grace))


def _end_grace(chance: random.Random, market: AaveMarket) -> Change:
    signature = "disableLiquidationGracePeriod(address)"
    return Change(_configure(market, "end_grace", signature, chance.choice(market.assets).token))


CHANGES: tuple[tuple[int, Callable[[random.Random, AaveMarket], Change]], ...] = (
    (5, _collateral),
    (4, _category),
    (4, _membership),
    (2, _reserve_factor),
    (3, _protocol_fee),
    (2, _pause),
    (2, _freeze),
    (4, _category_price),
    (1, _mint_to_treasury),
)
CHANGES_36 = (
    (5, _collateral),
    (4, _category_36),
    (6, _membership_36),
    (2, _reserve_factor),
    (3, _protocol_fee),
    (6, _pause_36),
    (1, _end_grace),
    (2, _freeze),
    (1, _mint_to_treasury),
)


def governance(chance: random.Random, market: AaveMarket) -> Change:
    """Draw one act of governance."""
    changes = CHANGES if market.version == "3.0" else CHANGES_36
    (draw,) = chance.choices([draw for _, draw in changes], [weight for weight, _ in changes])
    return draw(chance, market)


def next_prices(chance: random.Random, market: AaveMarket, prices: Mapping[str, int]) -> dict[str, int]:
    """Draw the prices that change now, by ticker: a noisy walk that is drawn back to where it began."""
    return {
        asset.symbol: _walked(chance, asset, prices[asset.symbol])
        for asset in market.assets
        if chance.random() < (0.6 if asset.symbol in VOLATILE else 0.15)
    }


def _walked(chance: random.Random, asset: Asset, price: int) -> int:
    volatile = asset.symbol in VOLATILE
    pull = 0.05 * math.log(asset.price / price)
    jump = chance.choice((-0.2, 0.15)) if volatile and chance.random() < 0.06 else 0.0  # noqa: PLR2004 - a share
    return max(1, round(price * math.exp(pull + jump + chance.gauss(0, 0.045 if volatile else 0.003))))


def seconds_until_next_block(chance: random.Random) -> int:
    """Draw the time to the next block: mostly seconds, sometimes none, hours, or weeks."""
    spans = ((0, 0), (1, MINUTE), (MINUTE, 12 * HOUR), (DAY, 20 * DAY))
    (span,) = chance.choices(spans, (5, 80, 13, 2))
    return chance.randint(*span)
