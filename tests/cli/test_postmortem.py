"""``keeper postmortem``: windows, figures for programs, a summary for people, and the proof."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from keeper.core.decisions import IntentAdmitted, LiquidationObserved
from keeper.core.facts import BlockApplied
from tests.cli.conftest import Keeper
from tests.cli.history_file import JournalFile, write_history


def sequence_of_block(journal: JournalFile, number: int) -> int:
    """Return the first record of a block."""
    return next(
        one.sequence
        for one in journal.records
        if isinstance(one.body, BlockApplied) and one.body.header.number == number
    )


def iso(unix_ms: int) -> str:
    """Write a time as an operator would."""
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat().replace("+00:00", "Z")


def test_the_whole_journal_is_told(keeper: Keeper, journal: JournalFile) -> None:
    """Without a window the document is of all records, and verified."""
    outcome = keeper("postmortem", "--journal", journal.url, "--json")
    told = outcome.document

    assert (outcome.code, told["window"]["first_sequence"], told["window"]["last_sequence"]) == (
        0,
        1,
        len(journal.records),
    )
    assert (told["proof"]["holds"], told["proof"]["replayed_from"], told["proof"]["replayed_to"]) == (
        True,
        1,
        len(journal.records),
    )
    assert len(told["liquidations"]) == sum(isinstance(one.body, LiquidationObserved) for one in journal.records)


def test_the_document_has_every_part(keeper: Keeper, journal: JournalFile) -> None:
    """The fields are those that programs may rely on."""
    told = keeper("postmortem", "--journal", journal.url, "--json").document

    assert list(told) == [
        *("journal", "window", "proof", "prices", "accounts", "accounts_left_out", "calls", "breaches"),
        *("liquidations", "endings", "stages", "refusals", "reorgs", "troubles", "bad_debt", "earned", "gas"),
        *("gas_points", "timeline", "narrative", "citations"),
    ]
    assert isinstance(told["earned"][0]["profit_base"], str)


def test_every_sequence_that_is_named_is_quoted(keeper: Keeper, journal: JournalFile) -> None:
    """Each sentence can be checked: the records that it names are there, as lines."""
    told = keeper("postmortem", "--journal", journal.url, "--json").document
    named = {one for chapter in told["narrative"] for each in chapter["sentences"] for one in each["sequences"]}

    assert named <= {one["at"]["sequence"] for one in told["citations"]}


def test_places_of_every_kind_name_the_same_window(keeper: Keeper, journal: JournalFile) -> None:
    """ISO times, Unix seconds, blocks with and without their chain, and sequences."""
    begin, after = sequence_of_block(journal, 2), sequence_of_block(journal, 3)
    start = journal.records[begin - 1].recorded_at_ms
    end = journal.records[after - 1].recorded_at_ms - 1000
    pairs = [
        (str(begin), str(after - 2)),
        ("block:2", "block:2"),
        ("block:31337:2", "block:31337:2"),
        (iso(start), iso(end)),
        (str(start / 1000), str(end / 1000)),
        (str(start // 1000), str(end // 1000)),
    ]
    windows = [
        keeper("postmortem", "--journal", journal.url, "--from", first, "--to", last, "--json").document["window"]
        for first, last in pairs
    ]

    assert {tuple(each["blocks"][0].values()) for each in windows} == {(31337, "local", 2, 2)}
    assert all(each["first_sequence"] <= begin < each["last_sequence"] < after for each in windows)


def test_the_hashes_are_those_around_the_window(keeper: Keeper, journal: JournalFile) -> None:
    """Windows that meet share the hash between them."""
    cut = sequence_of_block(journal, 3)
    before = keeper("postmortem", "--journal", journal.url, "--to", str(cut - 1), "--json").document["proof"]
    behind = keeper("postmortem", "--journal", journal.url, "--from", str(cut), "--json").document["proof"]

    assert before["hash_after"] == behind["hash_before"]
    assert behind["hash_after"] == behind["tip_hash"] == before["tip_hash"]


def test_a_window_behind_a_snapshot_begins_to_replay_there(keeper: Keeper, journal: JournalFile) -> None:
    """What is before the snapshot is context, and is not stepped again."""
    told = keeper("postmortem", "--journal", journal.url, "--from", str(len(journal.records)), "--json").document

    assert 1 < told["proof"]["replayed_from"] < len(journal.records)
    assert told["proof"]["holds"]


def test_people_read_the_summary(keeper: Keeper, journal: JournalFile) -> None:
    """Window, money, latency, refusals and the proof, each under its heading."""
    outcome = keeper("postmortem", "--journal", journal.url)
    lines = outcome.out.splitlines()

    assert outcome.code == 0
    assert lines[0] == f"journal   {journal.url}"
    for heading in ("what happened", "accounts", "money, by final slices", "latency"):
        assert heading in lines
    assert any(line.startswith("verified: hashes whole up to") for line in lines)


def test_a_decision_that_comes_out_otherwise_is_told_and_fails(
    keeper: Keeper, journal: JournalFile, tmp_path: Path
) -> None:
    """The report is made from the records, says that they do not hold, and the command leaves with 1."""
    records = list(journal.records)
    place = next(place for place, one in enumerate(records) if isinstance(one.body, IntentAdmitted))
    body = records[place].body
    assert isinstance(body, IntentAdmitted)
    records[place] = msgspec.structs.replace(records[place], body=IntentAdmitted(body.intent, None))
    altered = write_history(tmp_path / "altered.db", records)
    outcome = keeper("postmortem", "--journal", altered.url, "--json")
    told = outcome.document

    assert outcome.code == 1
    assert "decides" in outcome.err or "gave" in outcome.err
    assert (told["proof"]["holds"], told["window"]["records"]) == (False, len(records))
    assert told["proof"]["divergence"].startswith(f"at sequence {place + 1} ")


@pytest.mark.parametrize(
    ("first", "last", "says"),
    [
        ("block:3", "block:2", "ends before it begins"),
        ("9", "8", "ends before it begins"),
        ("2023-11-15T00:00:00Z", "2023-11-14T00:00:00Z", "ends before it begins"),
        ("block:4", "5", "ends before it begins"),
        ("2001-11-15T00:00:00Z", "2001-11-16T00:00:00Z", "holds no record"),
        ("block:999", "block:1000", "is not in the journal"),
        ("block:1:2", "block:3", "the journal has no chain 1"),
        ("block:x", "block:3", "names no place in a journal"),
        ("yesterday", "block:3", "names no place in a journal"),
        ("0", "8", "is not in the journal"),
        ("2023-99-99T00:00:00Z", "8", "is no time"),
        ("999999999999999", "8", "is neither a sequence nor Unix seconds"),
    ],
)
def test_a_window_that_is_none_is_refused(
    keeper: Keeper, journal: JournalFile, first: str, last: str, says: str
) -> None:
    """One line that says what is wrong, and exit 2."""
    outcome = keeper("postmortem", "--journal", journal.url, "--from", first, "--to", last)

    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)
    assert says in outcome.err


def test_an_unknown_journal_is_refused(keeper: Keeper, tmp_path: Path) -> None:
    """There is nothing to tell of."""
    outcome = keeper("postmortem", "--journal", f"sqlite://{tmp_path / 'none.db'}")

    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "there is no such file" in outcome.err


def test_a_damaged_journal_is_no_history(keeper: Keeper, journal: JournalFile) -> None:
    """Bytes that are not what was written end it with 4."""
    raw = bytearray(journal.path.read_bytes())
    place = raw.rfind(b"\x28\xb5\x2f\xfd")
    raw[place + 30] ^= 0xFF
    journal.path.write_bytes(raw)
    outcome = keeper("postmortem", "--journal", journal.url)

    assert (outcome.code, outcome.out) == (4, "")


def test_the_report_is_one_file(keeper: Keeper, journal: JournalFile, tmp_path: Path) -> None:
    """The page stands where it was asked for, nothing beside it, and every record it links to is on it."""
    folder = tmp_path / "reports"
    folder.mkdir()
    outcome = keeper("postmortem", "--journal", journal.url, "-o", folder / "report.html")
    text = (folder / "report.html").read_text(encoding="utf-8")
    links = set(re.findall(r'href="#(r[0-9]+)"', text))

    assert outcome.code == 0
    assert f"report    {folder / 'report.html'}" in outcome.out.splitlines()
    assert [each.name for each in folder.iterdir()] == ["report.html"]
    assert links
    assert [each for each in links if f'id="{each}"' not in text] == []


@pytest.mark.parametrize(
    ("name", "says"),
    [("none/report.html", "there is no folder"), ("", "is a folder"), ("pipe", "is no plain file")],
)
def test_an_output_that_cannot_be_written_is_refused_first(
    keeper: Keeper, journal: JournalFile, tmp_path: Path, name: str, says: str
) -> None:
    """One line, exit 2, before any work."""
    os.mkfifo(tmp_path / "pipe")
    outcome = keeper("postmortem", "--journal", journal.url, "-o", tmp_path / name)

    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)
    assert says in outcome.err
