"""``keeper replay --set`` and ``--config``: other settings over a journal, for people and for programs."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from keeper.app.runconfig import run_config
from keeper.core.facts import RunStarted
from keeper.core.ids import content_id
from keeper.engine.what_if import LIMITS
from keeper.settings import load_settings
from keeper.venues import PROTOCOLS
from tests.cli.conftest import Keeper
from tests.cli.history_file import JournalFile, write_history
from tests.engine.history import BREACH, CHAIN, History, admitted
from tests.engine.toy import ETH, NATIVE, POOL, ToyLedger

SECRET = "s3cr3tk3y"
FILE = f"""
mode = "live"

[journal]
url = "memory://"

[chains.local]
chain_id = {CHAIN}
http = ["https://node.example/{SECRET}", "https://node.example/{SECRET}2"]
wrapped_native = "0x{NATIVE.hex()}"

[signers.main]
keystore = "keys/main.json"
password = "{SECRET}"
balance_wei_min = 0

[venues.toy]
protocol = "aave_v3"
chain = "local"
address = "0x{POOL.hex()}"

[venues.toy.risk]
model = "static"
move_percent = 3
step_percent_max = 90

[strategies.partial_liquidation]
venues = ["toy"]
signer = "main"
slippage_bps_default = 0
dust_usd = 0

[limits]
gas_price_gwei_max = 5
head_age_seconds_max = 60
"""
"""A market of the toy venue, by the name of a protocol that a file may have."""


class Run(History):
    """A history whose runs say which settings they had."""

    told = "{}"

    def start(self) -> list[object]:  # type: ignore[override]  # the decisions are of no use here
        """Begin a run."""
        return [*self.step(RunStarted(content_id("run"), "0.1.0", self.config, self.told, self.unix_ms))]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file that the run had."""
    path = tmp_path / "keeper.toml"
    path.write_text(FILE, encoding="utf-8")
    return path


@pytest.fixture
def run(file: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run in which ETH falls until ALICE is liquidatable, with gas too dear for the limit."""
    monkeypatch.setitem(PROTOCOLS, "aave_v3", ToyLedger)
    settings = load_settings(file, {})
    run = Run(run_config(settings, live=True, signers={"main": b"\xaa" * 20}))  # type: ignore[dict-item]  # an address
    run.told = msgspec.json.encode(settings.redacted()).decode()
    assert SECRET not in run.told
    run.market()
    for price in range(2_300, 1_900, -50):
        run.block(("price", ETH, price * 10**8 // 10**4))
    assert admitted(run.block(("price", ETH, BREACH))) == []
    run.block()
    return run


@pytest.fixture
def journal(run: Run, tmp_path: Path) -> JournalFile:
    """The run in a file."""
    return write_history(tmp_path / "journal.db", run.records)


def test_a_higher_ceiling_is_answered_for_people(keeper: Keeper, journal: JournalFile) -> None:
    """The answer names the change, what was left out, the tables, the differences and what it does not say; exit 0."""
    outcome = keeper("replay", "--journal", journal.url, "--set", "limits.gas_price_gwei_max=400")

    assert (outcome.code, outcome.err) == (0, "")
    assert "changed   limits.gas_price_wei_max 5000000000 -> 400000000000" in outcome.out
    assert re.search(r"^only changed +1 +1 +\$[\d,.]+ +\$[\d,.]+$", outcome.out, re.MULTILINE)
    assert re.search(r"^gas_price_above_max +1 +0$", outcome.out, re.MULTILINE)
    assert re.search(r"IntentAdmitted +only changed +0x", outcome.out)
    assert outcome.out.rstrip().split("\n")[-len(LIMITS) :] == list(LIMITS)


def test_the_document_has_everything(keeper: Keeper, journal: JournalFile) -> None:
    """Programs get every difference with both decisions, and the sums; money is text."""
    asked = ("replay", "--journal", journal.url, "--set", "limits.gas_price_gwei_max=400", "--limit", "0", "--json")
    outcome = keeper(*asked)
    document = outcome.document

    assert (outcome.code, sorted(document)) == (
        0,
        [
            "changes",
            "code_versions",
            "compared",
            "expired",
            "facts",
            "facts_per_second",
            "journal",
            "last_sequence",
            "limits",
            "moot",
            "seconds",
            "skipped",
        ],
    )
    assert document["changes"] == [
        {"path": "limits.gas_price_wei_max", "recorded": "5000000000", "changed": "400000000000"}
    ]
    compared = document["compared"]
    assert sorted(compared) == [
        "changed",
        "differences",
        "extra",
        "kinds",
        "margin_calls",
        "missing",
        "recorded",
        "refusals",
    ]
    assert sorted(compared["extra"]) == ["intents", "positions", "profit_base", "repaid_base"]
    assert isinstance(compared["extra"]["profit_base"], str)
    assert {each["how"] for each in compared["differences"]} == {"only_recorded", "only_changed"}
    assert all(
        sorted(each) == ["cause", "changed", "fields", "how", "kind", "recorded", "subject"]
        for each in compared["differences"]
    )
    assert document["limits"] == list(LIMITS)


def test_larger_moves_call_earlier(keeper: Keeper, journal: JournalFile) -> None:
    """A risk setting tells by how many blocks the margin call comes earlier, in both forms."""
    asked = ("replay", "--journal", journal.url, "--set", "venues.toy.risk.move_percent=6")
    text, document = keeper(*asked).out, keeper(*asked, "--json").document
    moved = document["compared"]["margin_calls"]["moved"]
    blocks = [each["blocks"] for each in moved if each["blocks"] is not None]

    assert len(blocks) == 1
    assert blocks[0] < 0
    assert f" {blocks[0]:+}" in text
    assert "1 earlier, 0 later, 0 only recorded, 1 only changed" in text


def test_differences_are_cut_where_told(keeper: Keeper, journal: JournalFile) -> None:
    """The first differences are shown, and how many more there are."""
    asked = ("replay", "--journal", journal.url, "--set", "venues.toy.risk.move_percent=6")
    [whole, cut] = [keeper(*asked, "--limit", limit).out for limit in ("1000", "1")]
    count = len(keeper(*asked, "--json").document["compared"]["differences"])

    assert f"… and {count - 1} more differences: --limit {count}, or --json" in cut
    assert "more differences" not in whole


def test_what_decides_nothing_changes_nothing(keeper: Keeper, journal: JournalFile) -> None:
    """A key that no decision is made by is said to be one, and nothing differs."""
    outcome = keeper("replay", "--journal", journal.url, "--set", "log.level=debug")

    assert outcome.code == 0
    assert "changed   nothing that decisions are made by" in outcome.out
    assert "no decision differs" in outcome.out


def test_a_whole_file_instead(keeper: Keeper, journal: JournalFile, file: Path) -> None:
    """The run's own file changes nothing; one with a single other limit is that change, and --set stands above it."""
    same = keeper("replay", "--journal", journal.url, "--config", file)
    other = file.with_name("other.toml")
    other.write_text(FILE.replace("gas_price_gwei_max = 5", "gas_price_gwei_max = 400"), encoding="utf-8")
    changed = keeper("replay", "--journal", journal.url, "--config", other, "--json").document
    undone = keeper("replay", "--journal", journal.url, "--config", other, "--set", "limits.gas_price_gwei_max=5")

    assert "no decision differs" in same.out
    assert changed["compared"]["extra"]["intents"] == 1
    assert "no decision differs" in undone.out


def test_an_unknown_key_is_exit_code_2(keeper: Keeper, journal: JournalFile) -> None:
    """A key that does not exist is one line that says which was meant."""
    outcome = keeper("replay", "--journal", journal.url, "--set", "limits.gas_price_gwei_min=1")

    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith('keeper: --set: limits.gas_price_gwei_min: unknown key; did you mean "gas_price_')


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        (f"venues.toy.address=0x{'77' * 20}", "venue toy: was changed since this journal was begun"),
        ("venues.toy.from_block=3", "venue toy: was changed since this journal was begun"),
        ("chains.local.chain_id=1", "venue toy: was changed since this journal was begun"),
    ],
)
def test_another_history_is_exit_code_2(keeper: Keeper, journal: JournalFile, assignment: str, message: str) -> None:
    """What the daemon would refuse to go on under is refused here with the same words."""
    outcome = keeper("replay", "--journal", journal.url, "--set", assignment)

    assert (outcome.code, message in outcome.err) == (2, True)


def test_an_old_journal_asks_for_a_file(keeper: Keeper, run: Run, tmp_path: Path, file: Path) -> None:
    """A journal that has kept no settings needs --config, and with it can be asked."""
    body = msgspec.structs.replace(run.records[0].body, settings_redacted_json="{}")
    records = [msgspec.structs.replace(run.records[0], body=body), *run.records[1:]]
    journal = write_history(tmp_path / "old.db", records)
    refused = keeper("replay", "--journal", journal.url, "--set", "limits.gas_price_gwei_max=400")
    told = keeper("replay", "--journal", journal.url, "-c", file, "--set", "limits.gas_price_gwei_max=400", "--json")

    assert (refused.code, "give the whole configuration with --config FILE" in refused.err) == (2, True)
    assert told.document["compared"]["extra"]["intents"] == 1


def test_no_secret_shows(keeper: Keeper, journal: JournalFile, file: Path) -> None:
    """Neither the file's keys and passwords nor one that was given in a change is printed."""
    url = f'chains.local.http=["https://other.example/{SECRET}"]'
    outcomes = [
        keeper("replay", "--journal", journal.url, "--set", url, "--json"),
        keeper("replay", "--journal", journal.url, "--config", file, "--set", url),
        keeper("replay", "--journal", journal.url, "--config", file, "--set", f"signers.main.password={SECRET}"),
        keeper("replay", "--journal", journal.url, "--set", f"signers.main.pasword={SECRET}"),
    ]

    assert [outcome.code for outcome in outcomes] == [0, 0, 0, 2]
    assert [outcome for outcome in outcomes if SECRET in outcome.out + outcome.err] == []


def test_another_version_is_named(keeper: Keeper, run: Run, tmp_path: Path) -> None:
    """A journal of another version may differ by itself, and the answer says how to see that."""
    body = msgspec.structs.replace(run.records[0].body, code_version="0.0.9")
    journal = write_history(tmp_path / "old.db", [msgspec.structs.replace(run.records[0], body=body), *run.records[1:]])
    outcome = keeper("replay", "--journal", journal.url, "--set", "limits.attempts_per_account_max=9")

    assert "recorded by version 0.0.9: replay without changes first" in outcome.out


def test_it_stops_where_told(keeper: Keeper, journal: JournalFile) -> None:
    """``--until`` holds for what if too; a snapshot is no beginning of one."""
    asked = ("replay", "--journal", journal.url, "--set", "limits.gas_price_gwei_max=400")
    stopped = keeper(*asked, "--until", "block:3", "--json").document
    refused = keeper(*asked, "--from-snapshot")

    assert stopped["compared"]["extra"]["intents"] == 0
    assert (refused.code, "begins at the first record" in refused.err) == (2, True)


def test_without_a_change_it_is_the_replay_as_ever(keeper: Keeper, journal: JournalFile) -> None:
    """Nothing asked for: every decision is as recorded, exit 0, and the document is the replay's."""
    outcome = keeper("replay", "--journal", journal.url, "--json")

    assert (outcome.code, outcome.document["divergence"]) == (0, None)
