"""What SIGHUP may change, and that everything else needs a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.app.reload import RELOADABLE, check_reload
from keeper.core.errors import ConfigError
from keeper.settings import Settings, load_settings

FILE = """
[journal]
url = "memory://"

[chains.local]
chain_id = 31337
http = ["http://127.0.0.1:8545/k3y"]

[signers.main]
keystore = "keys/main.json"

[venues.aave]
protocol = "aave_v3"
chain = "local"
address = "0xabababababababababababababababababababab"

[strategies.partial_liquidation]
venues = ["aave"]
signer = "main"

[limits]
profit_usd_min = 5
"""
RISK = "\n[venues.aave.risk]"
TOKEN = "0x" + "cd" * 20


def settings_of(folder: Path, text: str = FILE) -> Settings:
    """Return the settings of a file."""
    file = folder / "keeper.toml"
    file.write_text(text, encoding="utf-8")
    return load_settings(file, {})


@pytest.mark.parametrize(
    ("after", "line", "changed"),
    [
        ("[limits]", "gas_price_gwei_max = 80", "limits.gas_price_gwei_max"),
        ("[signers.main]", "in_flight_max = 9", "signers.main.in_flight_max"),
        ("[signers.main]", "bump_after_blocks = 9", "signers.main.bump_after_blocks"),
        ("[signers.main]", "valid_for_blocks = 9", "signers.main.valid_for_blocks"),
        (
            "[strategies.partial_liquidation]",
            f"slippage_bps = {{ {TOKEN} = 20 }}",
            "strategies.partial_liquidation.slippage_bps",
        ),
        (RISK, "horizon_seconds = 60", "venues.aave.risk.horizon_seconds"),
        (RISK, 'model = "static"', "venues.aave.risk.model"),
        ("[journal]", "", ""),
    ],
)
def test_bounds_and_parameters_may_change(tmp_path: Path, after: str, line: str, changed: str) -> None:
    """A file that differs in bounds or parameters is taken, and says in which."""
    text = FILE + RISK
    read = settings_of(tmp_path, text.replace(after, f"{after}\n{line}"))
    assert check_reload(settings_of(tmp_path, text), read) == tuple(filter(None, [changed]))


def test_a_second_opinion_may_begin_and_end(tmp_path: Path) -> None:
    """The section as a whole may come and go."""
    without, with_it = settings_of(tmp_path), settings_of(tmp_path, FILE + RISK)

    assert check_reload(without, with_it) == check_reload(with_it, without) == ("venues.aave.risk",)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("[journal]", 'mode = "live"\n[journal]', "mode"),
        ("8545/k3y", "8545/another", "chains.local.http"),
        ('url = "memory://"', 'url = "sqlite:///elsewhere.db"', "journal.url"),
        ("chain_id = 31337", "chain_id = 31337\nfinality = 5", "chains.local.finality"),
        ("keys/main.json", "keys/other.json", "signers.main.keystore"),
        ("0xabab", "0xabac", "venues.aave.address"),
        ("[signers.main]", '[signers.second]\nkeystore = "s.json"\n[signers.main]', "signers.second"),
        ("[limits]", '[limits]\nkill_switch_file = "STOP"', "limits.kill_switch_file"),
    ],
)
def test_what_the_parts_are_built_from_may_not(tmp_path: Path, old: str, new: str, named: str) -> None:
    """A file that differs in anything else is refused as a whole, by the names of the keys, secrets not shown."""
    read = settings_of(tmp_path, FILE.replace(old, new).replace("profit_usd_min = 5", "profit_usd_min = 6"))
    with pytest.raises(ConfigError) as caught:
        check_reload(settings_of(tmp_path), read)
    assert str(caught.value) == (
        f"{named}: cannot change while the keeper runs, so nothing was applied; put it back, or restart the keeper"
    )


def test_documented() -> None:
    """``config/README.md`` names every key that may change."""
    text = Path("config/README.md").read_text(encoding="utf-8")
    section = text[text.index("**While it runs.**") :].split("\n\n")[0]
    ways = {path: (path[-1], ".".join(path), ".".join(path[:-1])) for path in RELOADABLE}
    missing = [path for path, names in ways.items() if not any(f"`{name}`" in section for name in names)]
    assert missing == []
