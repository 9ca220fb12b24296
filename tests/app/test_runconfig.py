"""What the engine decides by is exactly what the operator wrote."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.app.runconfig import run_config
from keeper.core.codec import decoder, encoder
from keeper.core.errors import ConfigError
from keeper.core.ids import Address, Hash32
from keeper.core.runconfig import (
    ChainSpec,
    ExchangeSpec,
    IsolatedSpec,
    PartialLiquidationSpec,
    PreLiquidationSpec,
    RunConfig,
    SignerSpec,
    VenueSpec,
)
from keeper.core.units import BaseAmount, Bps, Price, Wad, Wei
from keeper.settings import LimitSettings, Settings, load_settings

SIGNER = Address(b"\xaa" * 20)
TOKEN = "0x" + "cd" * 20
FILE = f"""
mode = "live"

[journal]
url = "memory://"

[chains.local]
chain_id = 31337
http = ["http://127.0.0.1:8545/k3y"]
finality = 12
stale_after_seconds = 9
wrapped_native = "{TOKEN}"

[signers.main]
keystore = "keys/main.json"
password = "pa55word"
in_flight_max = 5
bump_after_blocks = 6
valid_for_blocks = 7
balance_wei_min = 8

[venues.aave]
protocol = "aave_v3"
chain = "local"
address = "0x{"ab" * 20}"
from_block = 3
prices = "events"

[strategies.partial_liquidation]
venues = ["aave"]
signer = "main"
objective = "max-profit"
target_health = 1.050000000000000001
slippage_bps = {{ {TOKEN} = 20 }}
slippage_bps_default = 30
dust_usd = 0.00000001

[limits]
profit_usd_min = -5.1
gas_price_gwei_max = 0.000000001
spend_usd_per_hour_max = 1_000_000.00000001
spend_usd_per_intent_max = 0.3
attempts_per_account_max = 4
head_age_seconds_max = 11
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings in which every figure is set, some as fine as their unit allows."""
    (tmp_path / "keeper.toml").write_text(FILE, encoding="utf-8")
    return load_settings(tmp_path / "keeper.toml", {})


@pytest.fixture
def config(settings: Settings) -> RunConfig:
    """What the engine gets of them."""
    return run_config(settings, live=True, signers={"main": SIGNER})


def test_chains_venues_and_signers_are_taken_over(config: RunConfig) -> None:
    """Names become what they stand for: a venue its chain's id, a signer its address."""
    native = Address(bytes.fromhex(TOKEN[2:]))
    root = Address(b"\xab" * 20)
    assert config.chains == (
        ChainSpec(name="local", chain_id=31337, finality_depth_blocks=12, stale_after_seconds=9, wrapped_native=native),
    )
    assert config.venues == (
        VenueSpec(name="aave", protocol="aave_v3", chain_id=31337, root=root, from_block=3, prices="events"),
    )
    assert config.signers == (
        SignerSpec(
            name="main",
            address=SIGNER,
            in_flight_max=5,
            bump_after_blocks=6,
            valid_for_blocks=7,
            balance_wei_min=Wei(8),
        ),
    )


def test_strategy_figures_are_exact(config: RunConfig) -> None:
    """Ratios become 1e-18, dollars 1e-8, to the last digit."""
    (strategy,) = config.strategies
    assert isinstance(strategy, PartialLiquidationSpec)
    assert (strategy.target_health, strategy.dust_base) == (Wad(1_050_000_000_000_000_001), BaseAmount(1))
    assert (strategy.slippage_bps, strategy.slippage_bps_default) == ({TOKEN: Bps(20)}, Bps(30))
    assert (strategy.venues, strategy.signer, strategy.objective) == (("aave",), "main", "max-profit")


def test_limits_are_exact(config: RunConfig) -> None:
    """Limits are integers of the engine's units, to the last digit and with their sign."""
    limits = config.limits
    assert limits.profit_base_min == BaseAmount(-510_000_000)
    assert limits.gas_price_wei_max == Wei(1)
    assert limits.spend_base_per_hour_max == BaseAmount(100_000_000_000_001)
    assert limits.spend_base_per_intent_max == BaseAmount(30_000_000)
    assert (limits.attempts_per_account_max, limits.head_age_seconds_max) == (4, 11)


@given(units=st.integers(-(10**24), 10**24))
def test_any_limit_is_exact(units: int) -> None:
    """Whatever multiple of 1e-8 USD is written, that many units are meant."""
    limits = LimitSettings(profit_usd_min=Decimal(units).scaleb(-8))
    settings = Settings.model_construct(chains={}, venues={}, signers={}, limits=limits)

    assert run_config(settings, live=False, signers={}).limits.profit_base_min == BaseAmount(units)


def test_the_chains_own_finality_is_no_depth(settings: Settings) -> None:
    """``finality = "tag"`` leaves the depth to the chain."""
    chains = {"local": settings.chains["local"].model_copy(update={"finality": "tag"})}
    changed = settings.model_copy(update={"chains": chains})

    (chain,) = run_config(changed, live=True, signers={"main": SIGNER}).chains
    assert chain.finality_depth_blocks is None


def test_without_a_strategy_it_only_watches(settings: Settings) -> None:
    """A configuration without strategies decides nothing."""
    strategies = settings.strategies.model_copy(update={"partial_liquidation": None})
    changed = settings.model_copy(update={"strategies": strategies})

    assert run_config(changed, live=True, signers={"main": SIGNER}).strategies == ()


@pytest.mark.parametrize("live", [True, False])
def test_live_is_what_the_caller_says(settings: Settings, live: bool) -> None:  # noqa: FBT001 - the one parameter
    """Live is a matter of the file and the command line together, so the caller decides."""
    assert run_config(settings, live=live, signers={"main": SIGNER}).live is live


def test_no_secret_enters_the_journal(config: RunConfig) -> None:
    """Neither a password nor a node's URL is part of what is journalled."""
    written = msgspec.json.encode(config, enc_hook=str)

    assert [secret for secret in (b"pa55word", b"k3y", b"8545", b"main.json") if secret in written] == []


def test_figures_finer_than_their_unit_are_refused(tmp_path: Path) -> None:
    """What the engine's unit cannot hold is refused before it could be rounded."""
    (tmp_path / "keeper.toml").write_text(FILE.replace("0.00000001", "0.000000001"), encoding="utf-8")

    with pytest.raises(ConfigError, match="more than 8 digits after the point"):
        load_settings(tmp_path / "keeper.toml", {})


def test_an_isolated_market_is_what_was_written(tmp_path: Path) -> None:
    """Its id as bytes, and what its loan token counts as in 1e-8 USD; another protocol has none."""
    isolated = f'protocol = "morpho_blue"\nmarket = "0x{"5c" * 32}"\nloan_usd = 0.5'
    text = FILE.replace('protocol = "aave_v3"', isolated).replace('prices = "events"', "")
    (tmp_path / "keeper.toml").write_text(text, encoding="utf-8")
    loaded = load_settings(tmp_path / "keeper.toml", {})
    (venue,) = run_config(loaded, live=False, signers={"main": SIGNER}).venues
    assert venue.isolated == IsolatedSpec(market=Hash32(b"\x5c" * 32), loan_price=Price(5 * 10**7))


def test_the_contracts_of_an_exchange_are_what_was_written(tmp_path: Path) -> None:
    """Every one of them, and the decimals; a venue without them has the field unset."""
    names = [name for name in ExchangeSpec.__struct_fields__ if name != "settlement_decimals"]
    told = "\n".join(f'{name} = "0x{place:02x}{"07" * 19}"' for place, name in enumerate(names))
    text = FILE.replace('protocol = "aave_v3"', 'protocol = "perp_v2"').replace('prices = "events"', "")
    (tmp_path / "keeper.toml").write_text(f"{text}\n[venues.aave.contracts]\n{told}\n", encoding="utf-8")
    loaded = load_settings(tmp_path / "keeper.toml", {})
    (venue,) = run_config(loaded, live=False, signers={"main": SIGNER}).venues
    addresses = {name: Address(bytes([place]) + b"\x07" * 19) for place, name in enumerate(names)}
    assert venue.contracts == ExchangeSpec(**addresses, settlement_decimals=6)
    assert venue.isolated is msgspec.UNSET


def test_a_contract_that_closes_early_is_a_venue_with_its_strategy(tmp_path: Path) -> None:
    """Its address goes with the market, and the strategy's figures are exact."""
    isolated = f'protocol = "morpho_blue"\nmarket = "0x{"5c" * 32}"\nloan_usd = 0.5\npre_liquidation = "0x{"7e" * 20}"'
    strategy = '[strategies.pre_liquidation]\nvenues = ["aave"]\nsigners = ["main"]\ntarget_health = 1.03\n'
    start, end = FILE.index("[strategies.partial_liquidation]"), FILE.index("[limits]")
    text = FILE[:start] + strategy + FILE[end:]
    text = text.replace('protocol = "aave_v3"', isolated).replace('prices = "events"', "")
    (tmp_path / "keeper.toml").write_text(text, encoding="utf-8")
    loaded = run_config(load_settings(tmp_path / "keeper.toml", {}), live=False, signers={"main": SIGNER})
    (venue,), (spec,) = loaded.venues, loaded.strategies
    assert not isinstance(venue.isolated, msgspec.UnsetType)
    assert venue.isolated.pre_liquidation == Address(b"\x7e" * 20)
    assert spec == PreLiquidationSpec(
        name="pre_liquidation",
        venues=("aave",),
        signer="main",
        target_health=Wad(103 * 10**16),
        headroom_bps=Bps(500),
        slippage_bps={},
        slippage_bps_default=Bps(50),
    )
    assert decoder(RunConfig).decode(encoder().encode(loaded)) == loaded
