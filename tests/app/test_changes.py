"""A run's recorded settings, changed: what is asked for and nothing else, or the one line that says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from keeper.app.changes import changed_config, config_of
from keeper.app.runconfig import run_config
from keeper.core.errors import ConfigError, KeeperError, UsageError
from keeper.core.facts import RunStarted
from keeper.core.ids import Address, content_id
from keeper.core.runconfig import RunConfig
from keeper.core.units import Bps, Wad, Wei
from keeper.settings import Settings, load_settings
from keeper.settings.changes import asked
from tests.app.test_runconfig import FILE, SIGNER, TOKEN

ROOT = Path(__file__).resolve().parents[2]
RISK = '\n[venues.aave.risk]\nmodel = "static"\nvol_percents = { 0x' + "ef" * 20 + " = 2.5 }\n"
FILES = {
    "every figure": FILE + RISK,
    "example": (ROOT / "config" / "keeper.toml").read_text(encoding="utf-8"),
    "two keys of one host": FILE.replace(
        '"http://127.0.0.1:8545/k3y"', '"https://node.example/k3y-one", "https://node.example/k3y-two"'
    ),
    "wide integers": FILE.replace("balance_wei_min = 8", f"balance_wei_min = {10**30}"),
    "early": FILE.replace('protocol = "aave_v3"', f'protocol = "morpho_blue"\nmarket = "0x{"5c" * 32}"\nloan_usd = 0.5')
    .replace('prices = "events"', f'pre_liquidation = "0x{"9d" * 20}"')
    .replace("[strategies.partial_liquidation]", "[strategies.pre_liquidation]")
    .replace('objective = "max-profit"', "")
    .replace("dust_usd = 0.00000001", ""),
}


def loaded(text: str, folder: Path) -> Settings:
    """Read settings of this text."""
    path = folder / "keeper.toml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path, {})


def started(settings: Settings, *, live: bool = True) -> RunStarted:
    """Return the fact that a run of these settings records."""
    config = run_config(settings, live=live, signers=dict.fromkeys(settings.signers, SIGNER))
    told = msgspec.json.encode(settings.without_secrets().redacted()).decode()
    return RunStarted(content_id("run"), "1", config, told, 0)


@pytest.fixture
def fact(tmp_path: Path) -> RunStarted:
    """A run whose every figure is set."""
    return started(loaded(FILES["every figure"], tmp_path))


def changed(fact: RunStarted, *assignments: str) -> RunConfig:
    """Change a run's settings."""
    return changed_config(fact, 7, asked(assignments))


def refusal(fact: RunStarted, *assignments: str) -> str:
    """Return the line with which a change is refused."""
    with pytest.raises(KeeperError) as caught:
        changed(fact, *assignments)
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize("name", FILES)
def test_recorded_settings_lead_to_the_recorded_configuration(name: str, tmp_path: Path) -> None:
    """Without secrets and URLs, read back, settings give the engine what they gave it at first, to the last bit."""
    fact = started(loaded(FILES[name], tmp_path))
    read_back = changed_config(
        msgspec.structs.replace(fact, config=msgspec.structs.replace(fact.config, risk=msgspec.UNSET)),
        1,
        asked(["limits.attempts_per_account_max=17"]),
    )

    assert changed(fact, "limits.attempts_per_account_max=17") == msgspec.structs.replace(
        fact.config, limits=msgspec.structs.replace(fact.config.limits, attempts_per_account_max=17)
    )
    assert read_back.risk is msgspec.UNSET


@pytest.mark.parametrize("name", FILES)
def test_settings_that_are_derived_anew_are_the_same(name: str, tmp_path: Path) -> None:
    """Every section comes out the same when it is derived from what the journal keeps, not only the one changed."""
    settings = loaded(FILES[name], tmp_path)
    fact = started(settings)
    other = msgspec.structs.replace(fact.config, chains=(), venues=(), strategies=(), risk=())
    unrelated = changed_config(msgspec.structs.replace(fact, config=other), 1, asked(["mode=dry-run"]))

    assert unrelated == msgspec.structs.replace(other, live=False)
    assert changed(fact, "mode=live") == fact.config


@pytest.mark.parametrize(
    ("assignment", "path", "value"),
    [
        ("limits.gas_price_gwei_max=400", ("limits", "gas_price_wei_max"), Wei(400 * 10**9)),
        ("limits.profit_usd_min = -0.00000001", ("limits", "profit_base_min"), -1),
        ("venues.aave.risk.model=portfolio", ("risk", 0, "model"), "portfolio"),
        ('venues.aave.risk.model="volatility"', ("risk", 0, "model"), "volatility"),
        ("strategies.partial_liquidation.target_health=1.1", ("strategies", 0, "target_health"), Wad(11 * 10**17)),
        (
            f"strategies.partial_liquidation.slippage_bps.{TOKEN}=7",
            ("strategies", 0, "slippage_bps"),
            {TOKEN: Bps(7)},
        ),
        ("signers.main.in_flight_max=1", ("signers", 0, "in_flight_max"), 1),
        (f"chains.local.wrapped_native=0x{'12' * 20}", ("chains", 0, "wrapped_native"), Address(b"\x12" * 20)),
        ("mode=dry-run", ("live",), False),
    ],
)
def test_a_key_means_what_it_means_in_the_file(fact: RunStarted, assignment: str, path: Any, value: object) -> None:  # noqa: ANN401 - names and places
    """A value is read in the file's unit and changes one figure of the configuration."""
    config = changed(fact, assignment)
    found: Any = config
    for part in path:
        found = found[part] if isinstance(part, int) else getattr(found, part)

    assert found == value
    assert changed(fact, assignment, "limits.attempts_per_account_max=4") == config


def test_a_section_that_was_left_out_can_be_asked_for(tmp_path: Path) -> None:
    """A venue without a second opinion gets one, with the defaults of the rest."""
    fact = started(loaded(FILE, tmp_path))
    assert fact.config.risk is msgspec.UNSET
    risk = changed(fact, "venues.aave.risk.model=portfolio").risk

    assert isinstance(risk, tuple)
    assert (risk[0].venue, risk[0].model, risk[0].horizon_seconds) == ("aave", "portfolio", 900)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("limits.gas_price_gwei=1", '--set: limits.gas_price_gwei: unknown key; did you mean "gas_price_gwei_max"?'),
        ("limit.gas_price_gwei_max=1", '--set: limit: unknown key; did you mean "limits"?'),
        ("limits.gas_price_gwei_max=much", '--set: limits.gas_price_gwei_max = "much": must be a number; write for'),
        (
            "venues.aav.risk.model=static",
            "--set: venues.aav.risk.model: there is no section [venues.aav]; did you mean",
        ),
        ("venues.aave.risk.model=fancy", "--set: venues.aave.risk.model = \"fancy\": must be 'static',"),
        ("strategies.partial_liquidation.target_health=1", "must be greater than 1"),
        ('strategies.partial_liquidation.venues=["b"]', "there is no section [venues.b]"),
        ("limits=1", "--set: limits: must be a section"),
        ("limits.gas.price=1", "--set: limits.gas: unknown key; "),
        ("limits.gas_price_gwei_max", "--set: takes a key, an equals sign and a value; give it as"),
        ("=1", "--set: takes a key"),
        ("a b=1", "--set: takes a key"),
        ('limits.kill_switch_file="x', "--set limits.kill_switch_file: the value is not valid TOML"),
        ("limits.kill_switch_file=x\nmode=1", "is not valid TOML"),
        ("limits.attempts_per_account_max=" + "9" * 5_000, "limits.attempts_per_account_max"),
    ],
)
def test_a_wrong_change_is_one_line(fact: RunStarted, assignment: str, message: str) -> None:
    """A wrong key, unit or value is named with what to do, as it is for a file."""
    line = refusal(fact, assignment)

    assert message in line
    assert "\n" not in line


def test_a_key_is_changed_once(fact: RunStarted) -> None:
    """Two values for one key are a mistake."""
    assert refusal(fact, "mode=live", "mode=dry-run") == "--set mode: is given twice; leave one of them out"


def test_a_wrong_secret_is_not_shown(fact: RunStarted) -> None:
    """Neither a password nor a node's URL is repeated in a message, and a right one changes nothing."""
    assert "s3cr3t" not in refusal(fact, "chains.local.http=s3cr3t")
    assert "s3cr3t" not in refusal(fact, "signers.main.pasword=s3cr3t")
    assert "s3cr3t" not in refusal(fact, "signers.main.password.s3cr3t")
    assert changed(fact, "signers.main.password=s3cr3t") == fact.config


@pytest.mark.parametrize("told", ["{}", "", "[]", "null"])
def test_a_journal_without_settings_needs_a_file(fact: RunStarted, told: str) -> None:
    """Where nothing was kept of the settings, the line says that a whole file is needed."""
    line = refusal(msgspec.structs.replace(fact, settings_redacted_json=told), "mode=live")

    assert line.startswith(
        "the settings recorded at sequence 7: the journal has kept no settings of it; give the whole"
    )
    assert "--config FILE" in line


def test_settings_of_another_version_need_a_file(fact: RunStarted) -> None:
    """A key that this version does not know is the journal's affair and no mistake in what was asked."""
    kept = json.loads(fact.settings_redacted_json)
    kept["limits"]["of_another_time"] = 1
    line = refusal(msgspec.structs.replace(fact, settings_redacted_json=json.dumps(kept)), "mode=live")

    assert line == (
        "the settings recorded at sequence 7: limits.of_another_time: unknown key, in this version; "
        "give the whole configuration with --config FILE"
    )


def test_what_is_not_asked_for_stays_as_recorded(fact: RunStarted) -> None:
    """A figure that this version would derive otherwise is the recorded one, unless it is what is changed."""
    risk = fact.config.risk
    assert isinstance(risk, tuple)
    old = msgspec.structs.replace(fact.config, risk=(msgspec.structs.replace(risk[0], quantile=9.0),))
    found = changed(msgspec.structs.replace(fact, config=old), "venues.aave.risk.safety_factor=2").risk

    assert isinstance(found, tuple)
    assert (found[0].quantile, found[0].safety_factor) == (9.0, 2.0)


def test_a_file_stands_for_the_whole(fact: RunStarted, tmp_path: Path) -> None:
    """Another file is taken as it is, with the recorded addresses; live is what both say, or what is asked for."""
    live = loaded(FILES["every figure"], tmp_path)
    dry = live.model_copy(update={"mode": "dry-run"})
    recorded_dry = started(live, live=False)

    assert config_of(live, fact, mode_asked=False) == fact.config
    assert [
        config_of(settings, told, mode_asked=asked_for).live
        for settings, told, asked_for in (
            (live, fact, False),
            (dry, fact, False),
            (live, recorded_dry, False),
            (live, recorded_dry, True),
        )
    ] == [True, False, False, True]


def test_a_signer_that_the_journal_does_not_know_is_refused(fact: RunStarted, tmp_path: Path) -> None:
    """Its address stands in a keystore that nobody opens here."""
    other = loaded(
        FILES["every figure"].replace("signers.main", "signers.other").replace('"main"', '"other"'), tmp_path
    )

    with pytest.raises(ConfigError, match="signer other: is not in this journal, so its address is not known"):
        config_of(other, fact, mode_asked=False)


def test_bare_words_are_texts_and_the_rest_is_toml() -> None:
    """What TOML reads is what it reads; a word, a path or an address without quotes is a text."""
    texts = ["a.b=1", "a.c=1.50", "a.d=true", "a.e=portfolio", "a.f=/run/x", "a.g=0xab", "a.h=[1]", 'a."i j"={ k = 2 }']
    found = {path: str(value) for path, (_, value) in asked(texts).items()}

    assert list(found.values()) == ["1", "1.50", "True", "portfolio", "/run/x", "0xab", "[1]", "{'k': 2}"]
    assert list(found)[-1] == ("a", "i j")
    with pytest.raises(UsageError):
        asked(["a=b c"])
