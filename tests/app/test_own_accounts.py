"""Own accounts and hedges from the file to the engine: what is refused, what it means, which tokens are read."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from keeper.app.holdings import tokens_of
from keeper.app.reload import check_reload
from keeper.app.runconfig import run_config
from keeper.core.errors import ConfigError
from keeper.core.ids import Address
from keeper.core.runconfig import DeltaHedgeSpec, RunConfig, SelfProtectSpec
from keeper.core.units import BaseAmount, Bps, Wad
from keeper.settings import Settings, load_settings
from tests.venues.morpho_logs import SPEC, USDC, WETH, Chain, created

MAIN, SECOND, OTHER = (Address(bytes([number]) * 20) for number in (0xAA, 0xBB, 0xCC))
ADDRESSES = {"main": MAIN, "second": SECOND}
FILE = f"""
[journal]
url = "memory://"

[chains.local]
chain_id = 31337
http = ["http://127.0.0.1:8545"]

[signers.main]
keystore = "main.json"

[signers.second]
keystore = "second.json"

[venues.aave]
protocol = "aave_v3"
chain = "local"
address = "0x{"ab" * 20}"

[venues.early]
protocol = "morpho_blue"
chain = "local"
address = "0x{"cd" * 20}"
market = "0x{"11" * 32}"
loan_usd = 1
pre_liquidation = "0x{"ef" * 20}"

[strategies.self_protect]
venues = ["aave"]
signers = ["main", "second"]
"""


def loaded(folder: Path, *changes: tuple[str, str]) -> Settings:
    """Load the file with changes."""
    text = FILE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "keeper.toml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path, {})


def with_lines(lines: str) -> tuple[str, str]:
    """Return the change that adds lines to the section."""
    return ("[strategies.self_protect]", f"[strategies.self_protect]\n{lines}")


def spec_of(settings: Settings) -> SelfProtectSpec:
    """Return what the engine is told."""
    (spec,) = run_config(settings, live=False, signers=ADDRESSES).strategies
    assert isinstance(spec, SelfProtectSpec)
    return spec


def test_the_defaults_protect_the_signers_own_accounts(tmp_path: Path) -> None:
    """Below 1.15 an account is brought to 1.3, by repaying or else by topping up."""
    assert spec_of(loaded(tmp_path)) == SelfProtectSpec(
        name="self_protect",
        venues=("aave",),
        signer="main",
        more_signers=("second",),
        accounts=(MAIN, SECOND),
        floor_health=Wad(115 * 10**16),
        target_health=Wad(13 * 10**17),
        actions=("repay", "top-up"),
    )


def test_every_key_arrives(tmp_path: Path) -> None:
    """Accounts, lines and the order of actions are the operator's."""
    lines = f'accounts = ["0x{"CC" * 20}"]\nfloor_health = 1.1\ntarget_health = 1.2\nactions = ["reduce", "repay"]'
    spec = spec_of(loaded(tmp_path, with_lines(lines)))
    assert (spec.accounts, spec.actions) == ((OTHER,), ("reduce", "repay"))
    assert (spec.floor_health, spec.target_health) == (Wad(11 * 10**17), Wad(12 * 10**17))


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("floor_health = 1.3", "strategies.self_protect.target_health = 1.3: is not above floor_health = 1.3"),
        ("floor_health = 1", "floor_health = 1: must be greater than 1"),
        ('actions = ["borrow"]', "actions = [\"borrow\"]: 'borrow' is none of 'repay', 'top-up', 'reduce'"),
        ('actions = ["repay", "repay"]', "names the same thing twice"),
        ("actions = []", "must be a list of at least one name"),
        ('accounts = "0x"', 'accounts = "0x": must be a list of addresses'),
        (f'accounts = ["0x{"11" * 20}", "0x{"11" * 20}"]', "names the same thing twice"),
        ('signer = "main"', "strategies.self_protect.signer: give exactly one of signer and signers"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, lines: str, told: str) -> None:
    """One line says which key, and why."""
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, with_lines(lines))
    assert told in str(caught.value)


def test_a_venue_that_knows_no_protection_is_refused(tmp_path: Path) -> None:
    """A pre-liquidation contract is a line of the market's, not a place to repay."""
    with pytest.raises(ConfigError, match=r"accounts of venues.early cannot be protected"):
        loaded(tmp_path, ('["aave"]', '["early"]'))


def test_a_venue_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A name must be that of a section."""
    with pytest.raises(ConfigError, match=r"there is no section \[venues.eave\]"):
        loaded(tmp_path, ('["aave"]', '["eave"]'))


def test_lines_may_change_while_it_runs_and_accounts_not(tmp_path: Path) -> None:
    """Bounds are read anew at each head; whose accounts and tokens are looked at is a matter of a start."""
    running = loaded(tmp_path)
    changed = loaded(tmp_path, with_lines('floor_health = 1.1\ntarget_health = 1.4\nactions = ["repay"]'))
    assert set(check_reload(running, changed)) == {
        f"strategies.self_protect.{key}" for key in ("floor_health", "target_health", "actions")
    }
    with pytest.raises(ConfigError, match=r"strategies.self_protect.accounts"):
        check_reload(running, loaded(tmp_path, with_lines(f'accounts = ["0x{"CC" * 20}"]')))


def test_a_signer_is_read_for_what_it_may_add(tmp_path: Path) -> None:
    """A liquidator of Morpho repays the loan token; who cares for an account may need the collateral too."""
    chain = Chain(replace(SPEC, name="aave"))
    config: RunConfig = run_config(loaded(tmp_path), live=False, signers=ADDRESSES)
    assert tokens_of(config, "second")(chain.ledger) == ()
    chain.block(created())
    assert tokens_of(config, "second")(chain.ledger) == (USDC, WETH)
    assert tokens_of(config, "nobody")(chain.ledger) == (USDC,)


PERP = f"""
[venues.perp]
protocol = "perp_v2"
chain = "local"
address = "0x{"12" * 20}"

[venues.perp.contracts]
account_balance = "0x{"01" * 20}"
exchange = "0x{"02" * 20}"
vault = "0x{"03" * 20}"
config = "0x{"04" * 20}"
collateral_manager = "0x{"05" * 20}"
registry = "0x{"06" * 20}"
insurance_fund = "0x{"07" * 20}"
quote = "0x{"08" * 20}"
settlement = "0x{"09" * 20}"

[strategies.delta_hedge]
venues = ["aave"]
signer = "second"
hedge_venue = "perp"
exposures = {{ 0x{"CC" * 20} = "0x{"dd" * 20}" }}
"""
CARE = FILE[FILE.index("[strategies.self_protect]") :]


def with_hedge(folder: Path, *changes: tuple[str, str]) -> Settings:
    """Load the file with a hedge in place of the care of accounts, and changes."""
    return loaded(folder, (CARE, PERP), *changes)


def test_a_hedge_arrives(tmp_path: Path) -> None:
    """One signer, its own account, the map, a band of a thousand dollars."""
    (spec,) = run_config(with_hedge(tmp_path), live=False, signers=ADDRESSES).strategies
    assert spec == DeltaHedgeSpec(
        name="delta_hedge",
        venues=("aave",),
        signer="second",
        accounts=(SECOND,),
        hedge_venue="perp",
        exposures=((OTHER, Address(b"\xdd" * 20)),),
        band_base=BaseAmount(1_000 * 10**8),
        slippage_bps=Bps(50),
    )
    assert spec.signers == ("second",)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            'hedge_venue = "perp"',
            'hedge_venue = "aave"',
            'hedge_venue = "aave": venues.aave is no exchange of perpetuals',
        ),
        ('hedge_venue = "perp"', 'hedge_venue = "prep"', "there is no section [venues.prep]"),
        (
            'signer = "second"',
            'signers = ["main", "second"]',
            "delta_hedge.signers: the hedge is one signer's position",
        ),
        ('protocol = "perp_v2"\nchain = "local"', 'protocol = "perp_v2"\nchain = "other"', "on another chain"),
        ("exposures = {", "exposures = {}\nignored = {", "must be a table of one address or more to an address"),
    ],
)
def test_a_hedge_that_cannot_be_is_refused(tmp_path: Path, old: str, new: str, told: str) -> None:
    """One line says which key, and why."""
    other = '[chains.other]\nchain_id = 5\nhttp = ["http://127.0.0.1:8546"]\n\n[signers.main]'
    with pytest.raises(ConfigError) as caught:
        with_hedge(tmp_path, ("[signers.main]", other), (old, new))
    assert told in str(caught.value)


def test_the_band_may_change_while_it_runs(tmp_path: Path) -> None:
    """What is looked at may not."""
    running = with_hedge(tmp_path)
    lines = ('hedge_venue = "perp"', 'hedge_venue = "perp"\nband_usd = 5\nslippage_bps = 7')
    changed = with_hedge(tmp_path, lines)
    assert set(check_reload(running, changed)) == {
        "strategies.delta_hedge.band_usd",
        "strategies.delta_hedge.slippage_bps",
    }


def test_a_signer_is_read_for_what_it_may_hedge(tmp_path: Path) -> None:
    """Once, with the first of the venues."""
    config = run_config(with_hedge(tmp_path), live=False, signers=ADDRESSES)
    first, second = Chain(replace(SPEC, name="aave")).ledger, Chain(replace(SPEC, name="perp")).ledger
    assert (tokens_of(config, "second")(first), tokens_of(config, "second")(second)) == ((OTHER,), ())
    assert tokens_of(config, "main")(first) == ()
