"""What cannot be answered about how prices move, what instruments are worth, and what margin they need."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
from scipy.sparse import csr_array

from keeper.core.units import Rounding
from keeper.risk.account import AccountRisk, GmxLimits
from keeper.risk.backtest import Model
from keeper.risk.cross import Depeg, MarketRules, OptionRatios, PerpetualRatios, StandardRules, UnitMargins
from keeper.risk.cross_model import CrossAccount, CrossMarginModel, IsolatedMarginModel, IsolatedPosition
from keeper.risk.garch import GarchParams
from keeper.risk.grouping import GroupedBook
from keeper.risk.instruments import Contract, Instruments, Kind, Portfolio, Underlying
from keeper.risk.portfolio_model import PortfolioMarginModel
from keeper.risk.regimes import RegimeModel
from keeper.risk.scaling import SkewScale
from keeper.risk.scenario_forms import ScenarioForms
from keeper.risk.scenarios import DERIVE_TEST, Scenario, VolRule, VolShock, deribit
from keeper.risk.surface import VolSurface
from keeper.risk.tiers import BINANCE_2025, CollateralFactor, LiquidityTier
from keeper.risk.volatility import MaintenanceRule
from tests.risk.bad_rows import Table
from tests.risk.markets import book, listing

NAN = math.nan
TWO, THREE = [0.5, 0.5], [0.5, 0.5, 0.5]
CHANCE = np.random.default_rng(7)
MARKET, OTHER = listing(CHANCE, 4), listing(CHANCE, 6)
HELD = book(CHANCE, MARKET, 2, 3)
LONG = Portfolio(abs(HELD.quantities), HELD.cash_usd)
BOOK = GroupedBook.of(MARKET, HELD)
OPTION = MARKET.names[int(np.argmax(MARKET.is_option))]
RULES = StandardRules({name: MarketRules() for name in MARKET.underlyings})
LIMITS = GmxLimits(0.01, 0.005)
GARCH = GarchParams(0.0, 1e-5, 0.1, 0.85)
RETURNS = CHANCE.normal(0, 0.03, 200)
STILL = np.zeros(200)
CHAIN = [[0.9, 0.1], [0.2, 0.8]]
REGIMES = RegimeModel(np.full(2, 0.5), np.array(CHAIN), np.zeros(2), np.array([1.0, 4.0]))
SURFACE = VolSurface([0.1, 0.2], [100.0, 100.0], [[90.0, 110.0]] * 2, [[0.5, 0.5]] * 2)
NOT_PSD = [[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]]
USUAL = VolRule(up=0.45, down=0.30)
SKEW = SkewScale(100.0, 2.0, 0.01, 0.5)
RULE = MaintenanceRule(1.5, 3.0, 0.05, 0.5, 86_400.0)
FACTORS, SHOCKS = np.array([0.9, 1.1]), np.array([0, 1])
ETHER = [Underlying(name="ETH", spot_usd=2_000.0)]
LIST: dict[str, Any] = {
    "name": "ETH-C",
    "kind": Kind.OPTION,
    "underlying": "ETH",
    "strike_usd": 2_000.0,
    "forward_variable_usd": 2_000.0,
}
TIER = LiquidityTier(50_000, 600_000, 10, 20)


def rules(**changes: Any) -> StandardRules:  # noqa: ANN401 - any of them, bad ones too
    """Return the usual rules with one of them replaced in every market."""
    return StandardRules({name: MarketRules(**changes) for name in MARKET.underlyings})


def option(**changes: Any) -> Instruments:  # noqa: ANN401 - any of them, bad ones too
    """Return one option, some of it replaced."""
    return Instruments.of([Contract(**{**LIST, "expiry_years": 0.1, "vol_annual": 0.8, **changes})], ETHER)


ROWS: Table = {
    "account.AccountRisk": [lambda f: f(NAN, 1, 1), lambda f: f(1, -1, 1), lambda f: f(1, 1, math.inf)],
    "account.compare_risk": [lambda f: f(AccountRisk(1, 1, NAN), AccountRisk(1, 1, 1))],
    "account.riskiest_first": [lambda f: f([AccountRisk(1, 1, 1), AccountRisk(1, 1, -1)])],
    "account.sum_by_account": [
        lambda f: f([0.5], [[1, 1, 1]], 1),
        lambda f: f([1], [[1, 1, 1]], 1),
        lambda f: f([0], [[1, 1]], 1),
        lambda f: f([0], [[1, 1, 1], [1, 1, 1]], 1),
        lambda f: f([], np.zeros((0, 3)), -1),
    ],
    "account.liquidatable_accounts": [lambda f: f([[1, 1]]), lambda f: f([[1, 1, -1]]), lambda f: f([[NAN, 1, 1]])],
    "account.gmx_counted_impact": [lambda f: f(-1, -1, LIMITS), lambda f: f(-1, 1, GmxLimits(0.01, -1))],
    "account.gmx_liquidatable": [
        lambda f: f(-1, 0, 0, 0, 1, LIMITS),
        lambda f: f(9, 0, 0, 0, 1, GmxLimits(NAN, 0.1)),
        lambda f: f(9, 0, 0, 0, 1, GmxLimits(0.1, 0.1, -1)),
    ],
    "account.perp_v2_risk": [lambda f: f(NAN, 1), lambda f: f(1, -1)],
    "account.perp_v2_penalty": [lambda f: f(1, -1), lambda f: f(NAN, 1)],
    "backtest.kupiec": [
        lambda f: f(2, 1, 0.01),
        lambda f: f(0, 0, 0.01),
        lambda f: f(1, 9, 1.0),
        lambda f: f(0.5, 9, 0.1),
    ],
    "backtest.christoffersen": [lambda f: f([1], 0.01), lambda f: f([0.5, 1], 0.01), lambda f: f([0, 1], 0)],
    "backtest.exceptions_probability": [lambda f: f(2, 1, 0.01), lambda f: f(1, 9, -0.1)],
    "backtest.traffic_light": [lambda f: f(251), lambda f: f(-1), lambda f: f(1, 9, 1.1)],
    "backtest.var_forecasts": [
        lambda f: f(RETURNS, Model.FHS, 1.0, 100),
        lambda f: f(RETURNS, Model.FHS, 0.99, 200),
        lambda f: f(RETURNS, Model.FHS, 0.99, 29),
        lambda f: f(STILL, Model.EWMA_NORMAL, 0.99, 100),
        lambda f: f([], Model.HISTORICAL, 0.99, 100),
    ],
    "backtest.backtest": [lambda f: f(RETURNS, Model.FHS, 0.99, 199), lambda f: f(RETURNS, Model.FHS, 0.4, 100)],
    "correlation.sample_correlation": [lambda f: f([[1, 2]]), lambda f: f([[1, 2], [1, 3]]), lambda f: f([1, 2])],
    "correlation.shrunk": [
        lambda f: f(NOT_PSD, 0.5),
        lambda f: f(np.eye(2), 1.1),
        lambda f: f(np.eye(2), 0.5, "mean"),
    ],
    "correlation.ledoit_wolf_weight": [lambda f: f([[1, 2]]), lambda f: f([[1, 2], [2, 1], [3, 3]], "mean")],
    "correlation.require_psd": [
        lambda f: f("rho", NOT_PSD),
        lambda f: f("rho", [[1, 0.5], [0.4, 1]]),
        lambda f: f("rho", [[2, 0], [0, 1]]),
        lambda f: f("rho", [[1, 0.5]]),
    ],
    "correlation.nearest_psd": [lambda f: f("rho", NOT_PSD), lambda f: f("rho", np.eye(2), -1)],
    "cross.UnitMargins.of": [lambda f: f(MARKET, StandardRules({}), initial=True)],
    "cross.UnitMargins.counted": [
        lambda f: f(UnitMargins.of(MARKET, StandardRules({}), initial=True), HELD.quantities)
    ],
    "cross.standard_margin": [
        lambda f: f(OTHER, LONG, RULES, initial=True),
        lambda f: f(MARKET, Portfolio(-LONG.quantities, LONG.cash_usd), RULES, initial=True),
        lambda f: f(MARKET, LONG, rules(perpetual=PerpetualRatios(NAN, 0.1)), initial=False),
        lambda f: f(MARKET, LONG, rules(option=OptionRatios(max_spot=-1)), initial=True),
        lambda f: f(MARKET, LONG, rules(collateral=CollateralFactor(1.1)), initial=False),
        lambda f: f(MARKET, LONG, StandardRules(RULES.markets, Depeg(NAN, 2)), initial=True),
        lambda f: f(MARKET, LONG, StandardRules(RULES.markets, stable_price_usd=0), initial=True),
    ],
    "cross_model.CrossMarginModel.breakdown": [
        lambda f: f(CrossMarginModel(MARKET, RULES), CrossAccount({"unknown": 1.0}, 0.0)),
        lambda f: f(CrossMarginModel(MARKET, RULES), CrossAccount({OPTION: NAN}, 0.0)),
        lambda f: f(CrossMarginModel(MARKET, RULES), CrossAccount({OPTION: 1.0}, NAN)),
    ],
    "cross_model.IsolatedMarginModel.breakdown": [
        lambda f: f(IsolatedMarginModel(MARKET, RULES), [IsolatedPosition("unknown", 1.0, 0.0)]),
        lambda f: f(IsolatedMarginModel(MARKET, RULES), [IsolatedPosition(OPTION, 1.0, NAN)]),
    ],
    "forecast_contest.qlike_losses": [lambda f: f(0, 1), lambda f: f(TWO, THREE)],
    "forecast_contest.squared_losses": [lambda f: f(-1, 1), lambda f: f(TWO, THREE)],
    "forecast_contest.diebold_mariano": [
        lambda f: f(np.ones(9), np.zeros(9)),
        lambda f: f(np.ones(10), np.zeros(11)),
        lambda f: f(np.ones(10), np.zeros(10)),
    ],
    "forecast_contest.regime_variances": [
        lambda f: f(REGIMES, []),
        lambda f: f(REGIMES._replace(means=np.zeros(3)), [1]),
    ],
    "forecast_contest.walk_forward": [
        lambda f: f(RETURNS, first=99),
        lambda f: f(RETURNS, first=195),
        lambda f: f(RETURNS, first=100.5),
        lambda f: f(RETURNS, first=100, refit_every=0),
    ],
    "garch.garch_variances": [
        lambda f: f([], GARCH, "mean-squared-residual"),
        lambda f: f(RETURNS, GARCH, "first"),
        lambda f: f(RETURNS, GARCH._replace(beta=0.95), 1.0),
        lambda f: f(RETURNS, GARCH._replace(omega=0.0), 1.0),
        lambda f: f(RETURNS, GARCH, NAN),
    ],
    "garch.garch_update": [
        lambda f: f(GARCH, -1, 1),
        lambda f: f(GARCH._replace(alpha=NAN), 1, 1),
        lambda f: f(GARCH, TWO, THREE),
    ],
    "garch.garch_log_likelihood": [lambda f: f(RETURNS, GARCH, nu=2), lambda f: f(RETURNS, GARCH._replace(mu=NAN))],
    "garch.long_run_variance": [lambda f: f(GARCH._replace(beta=0.9)), lambda f: f(GARCH._replace(omega=-1.0))],
    "garch.garch_forecast": [lambda f: f(GARCH, -1, 1), lambda f: f(GARCH, 1, -1), lambda f: f(GARCH, TWO, [1, 2, 3])],
    "garch.garch_cumulative": [lambda f: f(GARCH, 1, 0), lambda f: f(GARCH, 1, 2.5)],
    "garch.fit_garch": [lambda f: f(STILL), lambda f: f(RETURNS[:99]), lambda f: f(RETURNS, backcast=-1.0)],
    "greeks.black76": [
        lambda f: f(0, 1, 1, 0.8, True),
        lambda f: f(1, -1, 1, 0.8, True),
        lambda f: f(1, 1, 0, 0.8, True),
        lambda f: f(1, 1, 1, -0.8, True),
        lambda f: f(1, 1, 1, 0.8, 0.5),
        lambda f: f(1, 1, 1, 0.8, True, 0),
        lambda f: f(TWO, THREE, 1, 0.8, True),
        lambda f: f(1, 1, 1, TWO, True, THREE),
    ],
    "greeks.black76_greeks": [
        lambda f: f(1, 1, 1, 0, True),
        lambda f: f(1, 1, 1, 80, True),
        lambda f: f(1, 1, 1, 0.8, True, -1e3),
        lambda f: f(1, 1, 1, 0.8, TWO, THREE),
    ],
    "greeks.black_scholes_greeks": [
        lambda f: f(1, 1, 1, 0, True),
        lambda f: f(1, 1, -1, 0.8, True),
        lambda f: f(1, 1, 1, 0.8, True, 5e3),
        lambda f: f(TWO, 1, THREE, 0.8, True),
    ],
    "greeks.inverse_greeks": [
        lambda f: f(0, 1, 1, 0.8, True),
        lambda f: f(1, 1, 1, 80, True),
        lambda f: f(1, 1, 1, 0, True),
    ],
    "greeks.instrument_greeks": [lambda f: f(option(vol_annual=80.0)), lambda f: f(option(expiry_years=0.0))],
    "greeks.bucketed": [lambda f: f(OTHER, HELD)],
    "greeks.attribution": [
        lambda f: f(MARKET, OTHER, HELD),
        lambda f: f(MARKET, MARKET, HELD, 0.1),
        lambda f: f(MARKET, MARKET, HELD, NAN),
    ],
    "grouping.GroupedBook.of": [lambda f: f(OTHER, HELD)],
    "grouping.GroupedBook.valued_in": [lambda f: f(BOOK, OTHER)],
    "grouping.GroupedBook.by_account": [lambda f: f(BOOK, np.ones(1)), lambda f: f(BOOK, np.full(len(BOOK), NAN))],
    "grouping.GroupedBook.over_pairs": [lambda f: f(BOOK, np.ones(1)), lambda f: f(BOOK, np.full(len(BOOK.legs), NAN))],
    "inputs.number": [
        lambda f: f("x", None),
        lambda f: f("x", "much"),
        lambda f: f("x", 1e101),
        lambda f: f("x", 0, above=0),
    ],
    "inputs.whole": [lambda f: f("x", 0.5), lambda f: f("x", NAN), lambda f: f("x", 0, least=1)],
    "inputs.integer": [
        lambda f: f("x", 1.0),
        lambda f: f("x", True),
        lambda f: f("x", None),
        lambda f: f("x", 0, least=1),
    ],
    "inputs.array": [lambda f: f("x", [1, None]), lambda f: f("x", [[1], [1, 2]]), lambda f: f("x", [1], ndim=2)],
    "inputs.history": [lambda f: f("x", [], shortest=1), lambda f: f("x", [[1]], shortest=1)],
    "inputs.places": [lambda f: f("x", [0.5], 2), lambda f: f("x", [2], 2), lambda f: f("x", [-1], 2)],
    "inputs.flags": [lambda f: f("x", [0.5]), lambda f: f("x", [NAN])],
    "inputs.aligned": [lambda f: f("x", np.ones(2), np.ones(3))],
    "instruments.Instruments": [lambda _: MARKET.replaced(vol_annual=np.full(len(MARKET), 80.0))],
    "instruments.Instruments.of": [
        lambda _: option(expiry_years=-0.1),
        lambda _: option(expiry_years=math.inf),
        lambda _: option(vol_annual=0.0),
        lambda _: option(vol_annual=NAN),
        lambda _: option(strike_usd=0.0),
        lambda _: option(underlying="BTC"),
        lambda _: option(confidence=1.1),
        lambda _: option(rate_annual=50.0),
        lambda _: option(kind=Kind.SPOT, expiry_years=math.inf, mark_price_usd=-1.0),
        lambda f: f([Contract(**LIST, expiry_years=0.1, vol_annual=0.8)] * 2, ETHER),
        lambda f: f([], [Underlying(name="ETH", spot_usd=0.0)]),
    ],
    "instruments.Instruments.index": [lambda f: f(MARKET, "unknown")],
    "instruments.Instruments.replaced": [
        lambda f: f(MARKET, mark_price_usd=[1.0]),
        lambda f: f(MARKET, kind=MARKET.kind + 0.5),
        lambda f: f(MARKET, is_call=np.full(len(MARKET), 0.5)),
        lambda f: f(MARKET, spot_usd=[NAN, 1.0]),
    ],
    "instruments.Buckets.by": [lambda f: f(option(expiry_years=NAN).underlying, np.ones(1))],
    "instruments.Buckets.summing": [lambda f: f(MARKET.buckets, np.ones(1))],
    "instruments.Portfolio": [
        lambda f: f(csr_array([[NAN]]), np.zeros(1)),
        lambda f: f(csr_array([[1.0]]), np.zeros(2)),
        lambda f: f(csr_array([[1.0]]), np.array([math.inf])),
    ],
    "instruments.Portfolio.of": [
        lambda f: f(MARKET, [({"unknown": 1.0}, 0.0)]),
        lambda f: f(MARKET, [({OPTION: NAN}, 0.0)]),
    ],
    "instruments.Portfolio.held_in": [lambda f: f(HELD, OTHER)],
    "opinion.worst_losses": [
        lambda f: f({"ETH": 5}, {"ETH": -1}),
        lambda f: f({"ETH": 5}, {}),
        lambda f: f({"ETH": 5.5}, {"ETH": 1}),
    ],
    "opinion.joint_losses": [
        lambda f: f({"ETH": 5, "BTC": 5}, {"ETH": 9, "BTC": 9}, lambda _one, _other: 1.5),
        lambda f: f({"ETH": 5, "BTC": 5}, {"ETH": 9, "BTC": 9}, lambda _one, _other: NAN),
        lambda f: f({"ETH": 5}, {"BTC": 9}, lambda _one, _other: 0.5),
    ],
    "opinion.loss_beyond_collateral": [
        lambda f: f([-1], [1], [1]),
        lambda f: f([1], [1, 1], [1]),
        lambda f: f([1], [1], [-1]),
    ],
    "passage.liquidation_probability": [
        lambda f: f(-1, 0.8, 1),
        lambda f: f(1.1, -0.8, 1),
        lambda f: f(1.1, 0.8, 0),
        lambda f: f([1.1, 1.2], THREE, 1),
    ],
    "passage.end_point_probability": [lambda f: f(NAN, 0.8, 1), lambda f: f(1.1, 0.8, -1)],
    "passage.ratio_vol": [lambda f: f(0.8, 0.8, 1.1), lambda f: f(-0.8, 0.8, 1), lambda f: f(TWO, THREE, 1)],
    "passage.ruin_probability": [
        lambda f: f(np.zeros((0, 1)), [0.1], 0.1),
        lambda f: f([[0.1]], [[0.1]], 0.1),
        lambda f: f([[0.1]], [0.1], [0.1, 0.1]),
        lambda f: f([[0.1]], [NAN], 0.1),
    ],
    "passage.inventory_shortfall": [
        lambda f: f(1, [0.1], 1, 0.99),
        lambda f: f([1, 1], [0.1, 0.2], 1, 0.99),
        lambda f: f(1, [0.1, 0.2], 1, 1),
        lambda f: f(1, [500.0, 0.2], 86_400, 0.99),
    ],
    "portfolio.derive_table": [lambda f: f(MARKET, DERIVE_TEST, 0)],
    "portfolio.derive_margins": [lambda f: f(OTHER, BOOK, DERIVE_TEST), lambda f: f(MARKET, BOOK, DERIVE_TEST, NAN)],
    "portfolio.expiry_weights": [lambda f: f(OTHER, BOOK, DERIVE_TEST)],
    "portfolio.static_contingency": [lambda f: f(OTHER, BOOK, DERIVE_TEST)],
    "portfolio.confidence_contingency": [lambda f: f(OTHER, BOOK, DERIVE_TEST)],
    "portfolio.grid_margins": [
        lambda f: f(OTHER, BOOK, deribit(25_000.0)),
        lambda f: f(MARKET, BOOK, deribit(25_000.0), in_coins=True),
    ],
    "portfolio_model.PortfolioMarginModel": [lambda f: f(OTHER, HELD, DERIVE_TEST)],
    "portfolio_model.PortfolioMarginModel.breakdown": [lambda f: f(PortfolioMarginModel(MARKET, HELD, DERIVE_TEST), 2)],
    "regimes.RegimeModel.filter": [lambda f: f(REGIMES, []), lambda f: f(REGIMES._replace(initial=np.zeros(2)), [1.0])],
    "regimes.stationary": [lambda f: f(np.eye(2)), lambda f: f([[0.9, 0.2], [0.2, 0.8]]), lambda f: f([[1.0, 0.0]])],
    "regimes.expected_durations": [lambda f: f([[1, 0], [0.2, 0.8]]), lambda f: f([[1.1, -0.1], [0.2, 0.8]])],
    "regimes.gaussian_log_densities": [
        lambda f: f([], 1, 1),
        lambda f: f([1.0], [1, 2], [1, 1, 1]),
        lambda f: f([1.0], [1, 2], [1, 0]),
        lambda f: f(TWO, np.ones((2, 1, 1)), 1),
    ],
    "regimes.hamilton_filter": [
        lambda f: f([[0, 0, 0]], CHAIN),
        lambda f: f([[0, 0]], CHAIN, [0.5, 0.6]),
        lambda f: f(np.zeros((0, 2)), CHAIN),
    ],
    "regimes.switching_autoregression": [
        lambda f: f([1, 2], CHAIN, [0, 1], 1, [0.1, 0.1]),
        lambda f: f([1, 2], CHAIN, [0, 1], [1, 1, 1], [0.1]),
        lambda f: f(np.ones(20), CHAIN, [0, 1], 1, np.full(10, 0.1)),
    ],
    "regimes.fit_regimes": [
        lambda f: f(STILL),
        lambda f: f(RETURNS[:99]),
        lambda f: f(RETURNS, 2.5),
        lambda f: f(RETURNS, start=REGIMES._replace(means=np.array([NAN, 1]))),
        lambda f: f(RETURNS, iterations_most=1),
    ],
    "regimes.regime_multiplier": [lambda f: f(1.1, 2), lambda f: f(0.5, 0.9)],
    "revaluation.price_table": [
        lambda f: f(MARKET, FACTORS - 2, SHOCKS, USUAL),
        lambda f: f(MARKET, FACTORS, SHOCKS[:1], USUAL),
        lambda f: f(MARKET, FACTORS, SHOCKS + 2, USUAL),
        lambda f: f(MARKET, FACTORS * NAN, SHOCKS, USUAL),
    ],
    "revaluation.coin_table": [
        lambda f: f(MARKET, FACTORS, SHOCKS, USUAL),
        lambda f: f(option(), FACTORS - 2, SHOCKS, USUAL),
    ],
    "revaluation.shocked_forwards": [lambda f: f(MARKET, FACTORS - 2), lambda f: f(MARKET, FACTORS[:, None])],
    "scaling.SkewScale.initial_ratio": [
        lambda f: f(SKEW._replace(skew_scale=0.0), 1),
        lambda f: f(SKEW._replace(minimum_ratio=NAN), 1),
    ],
    "scaling.SkewScale.margin_usd": [
        lambda f: f(SKEW, 1, -1, initial=True),
        lambda f: f(SKEW._replace(maintenance_scalar=1.1), 1, 1, initial=False),
        lambda f: f(SKEW._replace(minimum_margin_usd=-1.0), 1, 1, initial=True),
        lambda f: f(SKEW, TWO, THREE, initial=True),
    ],
    "scaling.drift_liability_weight": [
        lambda f: f(0.1, -1, 1),
        lambda f: f(0.1, 0.1, -1),
        lambda f: f(TWO, 0.1, THREE),
    ],
    "scaling.drift_asset_weight": [lambda f: f(-0.1, 1, 1), lambda f: f(TWO, 0.1, THREE)],
    "scenario_forms.ScenarioForms.account": [lambda f: f(ScenarioForms([], len(option(vol_annual=-1.0))), 0)],
    "scenario_forms.scenario_prices": [lambda f: f(MARKET, DERIVE_TEST, 0)],
    "scenario_forms.scenario_forms": [lambda f: f(OTHER, BOOK, DERIVE_TEST)],
    "scenarios.VolRule": [
        lambda f: f(up=NAN, down=0.3),
        lambda f: f(up=0.4, down=-0.3),
        lambda f: f(up=0.4, down=0.3, floor_days=0.0),
    ],
    "scenarios.VolRule.multipliers": [lambda f: f(USUAL, 0), lambda f: f(USUAL, [NAN])],
    "scenarios.VolRule.shocked": [
        lambda f: f(USUAL, np.array([-1.0]), np.ones(1), SHOCKS),
        lambda f: f(USUAL, np.ones(1), np.ones(2), SHOCKS),
        lambda f: f(USUAL, np.ones(1), np.ones(1), SHOCKS + 2),
    ],
    "scenarios.ScenarioSet": [
        lambda f: f(names=(), spot_moves=(), vol_shocks=(), shares=()),
        lambda f: f(names=("a",), spot_moves=(-1.0,), vol_shocks=(VolShock.UP,), shares=(1.0,)),
        lambda f: f(names=("a",), spot_moves=(0.1,), vol_shocks=(VolShock.UP,), shares=(1.1,)),
    ],
    "scenarios.ScenarioSet.of": [lambda f: f([]), lambda f: f([Scenario(NAN, VolShock.UP)])],
    "scenarios.grid": [lambda f: f((NAN,)), lambda f: f((-1.0,))],
    "scenarios.DeriveParameters": [
        lambda _: msgspec.structs.replace(DERIVE_TEST, basis_moves=(NAN, 0.05)),
        lambda _: msgspec.structs.replace(DERIVE_TEST, static_discount=1.1),
        lambda _: msgspec.structs.replace(DERIVE_TEST, initial_factor=0.9),
    ],
    "scenarios.GridParameters": [
        lambda _: msgspec.structs.replace(deribit(1.0), maintenance_share=1.1),
        lambda _: msgspec.structs.replace(deribit(1.0), dampener_usd=-1.0),
    ],
    "scenarios.derive_scenarios": [lambda f: f((), ()), lambda f: f((-1.0,), (0.1,))],
    "scenarios.deribit": [lambda f: f(-1), lambda f: f(NAN)],
    "scenarios.span16": [
        lambda f: f(-0.1, 0.1),
        lambda f: f(0.1, -5),
        lambda f: f(0.5, 0.1),
        lambda f: f(0.1, 0.1, cover=1.1),
    ],
    "surface.VolSurface": [
        lambda f: f([0.1], [100.0], [[90.0, 110.0]], [[0.5, NAN]]),
        lambda f: f([0.1, 0.2], [100.0, 100.0], [[90.0, 110.0]], [[0.5, 0.5]]),
        lambda f: f([0.1], [100.0], [[100.0]], [[0.5]]),
        lambda f: f([0.1, 0.2], [100.0, 100.0], [[90.0, 110.0]] * 2, [[0.9, 0.9], [0.3, 0.3]]),
        lambda f: f([0.2, 0.1], [100.0, 100.0], [[90.0, 110.0]] * 2, [[0.5, 0.5]] * 2),
    ],
    "surface.VolSurface.forward": [lambda f: f(SURFACE, 0), lambda f: f(SURFACE, [NAN])],
    "surface.VolSurface.vol": [
        lambda f: f(SURFACE, 0.1, 500),
        lambda f: f(SURFACE, 9, 100),
        lambda f: f(SURFACE, TWO, THREE),
    ],
    "surface.VolSurface.atm_vol": [lambda f: f(SURFACE, 0), lambda f: f(SURFACE, 1e9)],
    "tail.checked_level": [lambda f: f(1), lambda f: f(0.4), lambda f: f(99)],
    "tail.normal_var_z": [lambda f: f(1), lambda f: f(NAN)],
    "tail.normal_es_z": [lambda f: f(1), lambda f: f(-0.1)],
    "tail.student_var_z": [lambda f: f(0.99, 2), lambda f: f(1, 4)],
    "tail.student_es_z": [lambda f: f(0.99, 2), lambda f: f(0.99, NAN)],
    "tail.parametric_var": [
        lambda f: f([1], [[-1]], 0.99),
        lambda f: f([1, 1], [[1, 2], [2, 1]], 0.99),
        lambda f: f([1, 1], [[1, 0.5], [0.4, 1]], 0.99),
        lambda f: f([1, 1], [[1]], 0.99),
        lambda f: f([], np.zeros((0, 0)), 0.99),
        lambda f: f([1], [[1]], 0.99, 0),
    ],
    "tail.parametric_es": [lambda f: f([1], [[1]], 1), lambda f: f([1], [[1]], 0.99, 1, 2)],
    "tail.historical_var": [lambda f: f([1], 0.99), lambda f: f([1, NAN], 0.99)],
    "tail.historical_es": [lambda f: f([], 0.99), lambda f: f([1, 2], 1.1)],
    "tail.tails": [lambda f: f([1, 2], 0.99), lambda f: f([[1]], 0.99)],
    "tail.spot_losses": [lambda f: f([[1]], [[1, 1]]), lambda f: f([[1]], [[1e4]]), lambda f: f([1], [[1]])],
    "tail.residuals": [
        lambda f: f([]),
        lambda f: f(STILL),
        lambda f: f(RETURNS, 1),
        lambda f: f([0.1, *np.zeros(13_000)]),
    ],
    "tail.fhs_scenarios": [
        lambda f: f(RETURNS),
        lambda f: f(np.zeros((9, 0)), window=5),
        lambda f: f(RETURNS, window=1),
    ],
    "tail.fhs_var": [lambda f: f(RETURNS, 0.99), lambda f: f(RETURNS, 1.1, window=100)],
    "tail.fhs_es": [lambda f: f(RETURNS, 0.99, window=201), lambda f: f(RETURNS, 0.99, 0, 100)],
    "tail.fhs_paths": [
        lambda f: f(RETURNS, [[100]], window=100),
        lambda f: f(RETURNS, [[0.5]], window=100),
        lambda f: f(RETURNS, [[0]]),
        lambda f: f(RETURNS, [[0]], window=NAN),
    ],
    "tiers.Brackets.of": [
        lambda f: f([1, 1], [0.1, 0.2, 0.3]),
        lambda f: f([1], [0.2, 0.1]),
        lambda f: f([1], [0.1, 1.1]),
        lambda f: f([1], [0.1]),
        lambda f: f([1], [0.1, 0.2], NAN),
        lambda f: f([1], [0.1, 0.2], 1),
    ],
    "tiers.Brackets.of_leverage": [lambda f: f([1], [40, 0.5]), lambda f: f([1], [20, 40])],
    "tiers.Brackets.margin_usd": [lambda f: f(BINANCE_2025, -1), lambda f: f(BINANCE_2025, 6e7)],
    "tiers.Brackets.check_amounts": [
        lambda f: f(BINANCE_2025, [0, 50, 1_300, 16_300, 266_300, 1]),
        lambda f: f(BINANCE_2025, [0]),
    ],
    "tiers.share_ppm": [
        lambda f: f(-1, 1, Rounding.FLOOR),
        lambda f: f(1, NAN, Rounding.CEIL),
        lambda f: f(0.5, 1, Rounding.FLOOR),
    ],
    "tiers.LiquidityTier.initial_fraction_ppm": [
        lambda f: f(TIER, -1),
        lambda f: f(TIER._replace(initial_ppm=10**7), 1),
    ],
    "tiers.LiquidityTier.initial": [lambda f: f(TIER, -1), lambda f: f(TIER._replace(initial_ppm=-5), 1)],
    "tiers.LiquidityTier.maintenance": [lambda f: f(TIER, -1), lambda f: f(TIER._replace(maintenance_ppm=-5), 1)],
    "tiers.CollateralFactor.secures_usd": [
        lambda f: f(CollateralFactor(1.1), 1, initial=True),
        lambda f: f(CollateralFactor(NAN), 1, initial=False),
        lambda f: f(CollateralFactor(0.8), -1, initial=False),
    ],
    "volatility.ewma_variances": [
        lambda f: f([]),
        lambda f: f(STILL),
        lambda f: f(RETURNS, 1),
        lambda f: f(RETURNS, 0.9, 0),
    ],
    "volatility.ewma_update": [lambda f: f(-1, 1), lambda f: f(1, 1, 0), lambda f: f(TWO, THREE)],
    "volatility.annualised": [lambda f: f(-1), lambda f: f([NAN])],
    "volatility.horizon_seconds": [lambda f: f(-1, 1, 1), lambda f: f(1, NAN, 1), lambda f: f(1, 1, None)],
    "volatility.horizon_vol": [lambda f: f(-1, 1), lambda f: f(1, -1), lambda f: f(TWO, THREE)],
    "volatility.combined_vol": [lambda f: f(-1, 1, 1, 1), lambda f: f(1, 1, 1, -1), lambda f: f(TWO, THREE, 1, 1)],
    "volatility.scaled_maintenance": [
        lambda f: f(RULE._replace(multiplier=0.0), 1),
        lambda f: f(RULE._replace(floor=0.6), 1),
        lambda f: f(RULE._replace(cap=1.1), 1),
        lambda f: f(RULE, -1),
    ],
    "volatility.decayed": [lambda f: f(1, 1, -1, 1), lambda f: f(1, 1, 1, 0), lambda f: f(TWO, THREE, 1, 1)],
    "volatility.next_maintenance": [
        lambda f: f(RULE, NAN, 1, 1),
        lambda f: f(RULE._replace(half_life_seconds=0.0), 1, 1, 1),
    ],
}
"""By the name of what is asked."""
