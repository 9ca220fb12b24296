"""``keeper journal tail`` and ``stat``."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from keeper.core.codec import Record
from keeper.core.decisions import Decision
from keeper.core.facts import ClockTicked
from keeper.journal.sqlite import SqliteJournal
from tests.cli.conftest import Keeper
from tests.cli.history_file import JournalFile, write_history
from tests.engine.history import CHAIN
from tests.observe.records import block_applied


def test_tail_shows_the_newest(keeper: Keeper, journal: JournalFile) -> None:
    """Without a range the newest records are shown, oldest of them first."""
    shown = keeper("journal", "tail", "--journal", journal.url, "-n", "3", "--json").documents
    last = len(journal.records)

    assert [one["sequence"] for one in shown] == [last - 2, last - 1, last]


def test_tail_takes_a_range(keeper: Keeper, journal: JournalFile) -> None:
    """``--from`` and ``--until`` are sequences, both included."""
    shown = keeper("journal", "tail", "--journal", journal.url, "--from", "2", "--until", "5", "--json").documents

    assert [one["sequence"] for one in shown] == [2, 3, 4, 5]


def test_tail_takes_kinds(keeper: Keeper, journal: JournalFile) -> None:
    """``--kind`` keeps the records of these kinds, newest first to go when there are too many."""
    command = ("journal", "tail", "--journal", journal.url, "--kind", "BlockApplied", "--kind", "BlockReverted")
    shown = keeper(*command, "-n", "4", "--json").documents
    kinds = [type(record.body).__name__ for record in journal.records]
    expected = [place for place, kind in enumerate(kinds, 1) if kind in ("BlockApplied", "BlockReverted")][-4:]

    assert [one["sequence"] for one in shown] == expected


def test_tail_refuses_unknown_kinds(keeper: Keeper, journal: JournalFile) -> None:
    """A kind that does not exist is exit code 2, with those that do."""
    outcome = keeper("journal", "tail", "--journal", journal.url, "--kind", "Block")

    assert (outcome.code, "it is one of: RunStarted, " in outcome.err) == (2, True)


def test_tail_tells_the_cause(keeper: Keeper, journal: JournalFile) -> None:
    """A decision carries the sequence of its fact, a fact carries none."""
    shown = keeper("journal", "tail", "--journal", journal.url, "--from", "1", "--json").documents

    assert [one["cause"] for one in shown] == [record.cause for record in journal.records]


def test_json_is_safe_for_any_reader(keeper: Keeper, journal: JournalFile) -> None:
    """In JSON hashes are hexadecimal text and money is decimal text."""
    command = ("journal", "tail", "--journal", journal.url, "--kind", "SignerRead", "-n", "1", "--json")
    [shown] = keeper(*command).documents

    assert shown["body"]["balance_wei"] == "1000000000000000000"
    assert shown["body"]["block_hash"].startswith("0x")


def test_people_get_a_line_each(keeper: Keeper, journal: JournalFile) -> None:
    """For people each record is one line with its sequence, time, kind and summary."""
    lines = keeper("journal", "tail", "--journal", journal.url, "--from", "1").out.splitlines()

    assert len(lines) == len(journal.records)
    assert lines[0].split()[:4] == ["1", "2023-11-14", "22:13:20.000Z", "RunStarted"]


def test_following_has_no_end(keeper: Keeper, journal: JournalFile) -> None:
    """``--follow`` and ``--until`` contradict each other."""
    assert keeper("journal", "tail", "--journal", journal.url, "--follow", "--until", "3").code == 2


def test_stat_counts_everything(keeper: Keeper, journal: JournalFile) -> None:
    """The counts by kind add up to the last sequence; chains, snapshots and spans are told."""
    document = keeper("journal", "stat", "--journal", journal.url, "--json").document
    blocks = [one.body.header.number for one in journal.records if hasattr(one.body, "header")]

    assert sum(document["records"].values()) == document["last_sequence"] == len(journal.records)
    assert (document["chain_ids"], len(document["snapshots"])) == ([CHAIN], 1)
    assert (document["first_block"], document["last_block"]) == (min(blocks), max(blocks))
    assert document["first_unix_ms"] == journal.records[0].recorded_at_ms


def test_stat_is_a_table_for_people(keeper: Keeper, journal: JournalFile) -> None:
    """For people there is a line for each kind of record."""
    out = keeper("journal", "stat", "--journal", journal.url).out
    kinds = {type(record.body).__name__ for record in journal.records}

    assert [kind for kind in sorted(kinds) if kind not in out] == []


def test_an_empty_kind_is_not_counted(keeper: Keeper, journal: JournalFile) -> None:
    """Decisions and facts of kinds that did not occur do not appear."""
    document = keeper("journal", "stat", "--journal", journal.url, "--json").document
    decisions = sum(isinstance(record.body, Decision) for record in journal.records)

    assert "BlocksBackfilled" not in document["records"]
    assert document["records"]["HealthChanged"] <= decisions


@pytest.mark.slow
async def test_following_shows_what_is_written_meanwhile(journal: JournalFile) -> None:
    """``--follow`` prints a record that another process commits while it runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "keeper.cli", "journal", "tail", "--journal", journal.url),
        *("-n", "1", "--follow", "--json"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    shown = [json.loads(await process.stdout.readline())]
    with SqliteJournal(journal.path, [CHAIN]) as writer:
        writer.append([(ClockTicked(7), 0)], 7)
        shown.append(json.loads(await process.stdout.readline()))
    process.kill()
    await process.wait()

    last = len(journal.records)
    assert [(one["sequence"], one["kind"]) for one in shown][1:] == [(last + 1, "ClockTicked")]
    assert shown[0]["sequence"] == last


@pytest.mark.parametrize("command", ["tail", "stat"])
def test_memory_cannot_be_read(keeper: Keeper, command: str) -> None:
    """The journal of another process's memory is nowhere to be read."""
    outcome = keeper("journal", command, "--journal", "memory://")

    assert (outcome.code, outcome.err.startswith("keeper: journal url 'memory://'")) == (2, True)


def test_gaps_are_none(keeper: Keeper, journal: JournalFile) -> None:
    """A journal that the keeper wrote has no hole, and says which blocks it holds."""
    outcome = keeper("journal", "stat", "--journal", journal.url, "--gaps", "--json")
    [chain] = outcome.documents[0]["chains"]

    assert (outcome.code, chain["holes"], chain["chain_id"]) == (0, [], CHAIN)
    assert "holes" in keeper("journal", "stat", "--journal", journal.url, "--gaps").out


def test_a_hole_is_found(keeper: Keeper, tmp_path: Path) -> None:
    """A block that is missing between two others is named, and the exit code is 1."""
    bodies = [block_applied(number) for number in (1, 2, 5)]
    records = [Record(place, 0, 0, body) for place, body in enumerate(bodies, start=1)]
    url = write_history(tmp_path / "holed.db", records).url
    outcome = keeper("journal", "stat", "--journal", url, "--gaps")

    assert (outcome.code, "blocks 3 to 4 are missing" in outcome.err) == (1, True)
