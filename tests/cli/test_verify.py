"""``keeper verify`` and ``keeper replay``: what holds, and where it does not."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import apsw
import msgspec
import pytest

from keeper.core.codec import Record
from keeper.core.decisions import HealthChanged, IntentAdmitted
from keeper.core.facts import BlockApplied
from keeper.core.ids import to_hex
from tests.cli.conftest import Keeper
from tests.cli.history_file import JournalFile, state_after, write_history
from tests.engine.history import CHAIN, History


def altered(records: Sequence[Record]) -> tuple[list[Record], int]:
    """Return records with another health in one decision, and its sequence."""
    place = next(place for place, record in enumerate(records) if isinstance(record.body, HealthChanged))
    record = records[place]
    assert isinstance(record.body, HealthChanged)
    body = msgspec.structs.replace(record.body, previous="unknown")
    changed = [*records]
    changed[place] = msgspec.structs.replace(record, body=body)
    return changed, record.sequence


def damage(path: Path) -> int:
    """Change one byte of a frame in the middle, and return its first sequence."""
    connection = apsw.Connection(str(path))
    sequences = [row[0] for row in connection.execute("SELECT first_sequence FROM frames ORDER BY first_sequence")]
    sequence: int = sequences[len(sequences) // 2]
    connection.execute(
        "UPDATE frames SET payload = CAST(x'00' || substr(payload, 2) AS BLOB) WHERE first_sequence = ?", (sequence,)
    )
    connection.close()
    return sequence


def upgrade_format(path: Path) -> None:
    """Make a journal look as if a newer version had made it."""
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", 99)
    connection.close()


def test_a_whole_journal_holds(keeper: Keeper, journal: JournalFile, history: History) -> None:
    """Every record, decision and snapshot of a good journal agrees; the exit code is 0."""
    outcome = keeper("verify", "--journal", journal.url, "--json")
    document = outcome.document

    assert (outcome.code, document["fault"], document["snapshots_compared"]) == (0, None, 1)
    assert document["facts"] + document["decisions"] == document["records"] == len(history.records)
    assert document["state_hash"] == to_hex(history.engine.state_hash())


def test_people_are_told_what_was_checked(keeper: Keeper, journal: JournalFile) -> None:
    """The report for people names records, decisions, snapshots and the state."""
    outcome = keeper("verify", "--journal", journal.url)

    assert [line.split()[0] for line in outcome.out.splitlines()] == [
        "journal",
        "records",
        "tip",
        "replayed",
        "snapshots",
        "state",
        "took",
    ]


def test_a_decision_that_differs_is_named(keeper: Keeper, history: History, tmp_path: Path) -> None:
    """A decision that does not follow from the facts ends the check with exit code 1 and its sequence."""
    records, sequence = altered(history.records)
    journal = write_history(tmp_path / "altered.db", records)
    outcome = keeper("verify", "--journal", journal.url, "--json")

    assert (outcome.code, outcome.document["fault"]["sequence"]) == (1, sequence)
    assert outcome.err.startswith(f"keeper: journal {journal.url} at sequence {sequence}: fact ")


def test_a_missing_decision_is_named(keeper: Keeper, history: History, tmp_path: Path) -> None:
    """A decision that the journal lacks is a difference too."""
    place = next(place for place, record in enumerate(history.records) if isinstance(record.body, IntentAdmitted))
    journal = write_history(tmp_path / "short.db", history.records[:place])
    outcome = keeper("verify", "--journal", journal.url)

    assert (outcome.code, "IntentAdmitted" in outcome.err) == (1, True)


def test_a_snapshot_that_differs_is_named(keeper: Keeper, history: History, tmp_path: Path) -> None:
    """A snapshot of another state than the one that the facts lead to ends the check with exit code 1."""
    facts = [record.sequence for record in history.records if record.cause == 0]
    early, late = facts[3] - 1, facts[9] - 1
    wrong = {late: state_after(history.records, early)}
    journal = write_history(tmp_path / "journal.db", history.records, snapshots=[late], states=wrong)
    outcome = keeper("verify", "--journal", journal.url)

    assert outcome.code == 1
    assert f"at sequence {late}: the state differs from the snapshot taken there" in outcome.err


def test_a_history_that_cannot_be_is_named(keeper: Keeper, history: History, tmp_path: Path) -> None:
    """Facts that the engine refuses (here: a block twice) end the check with exit code 1, not with a halt's."""
    block = next(record for record in history.records if isinstance(record.body, BlockApplied))
    last = len(history.records)
    twice = [*history.records, Record(last + 1, block.recorded_at_ms, 0, block.body)]
    journal = write_history(tmp_path / "journal.db", twice)
    outcome = keeper("verify", "--journal", journal.url)

    assert (outcome.code, "the engine stops" in outcome.err) == (1, True)


def test_a_damaged_frame_is_exit_code_4(keeper: Keeper, journal: JournalFile) -> None:
    """A frame that is not what was written is named by its first sequence; the exit code is 4."""
    sequence = damage(journal.path)
    outcome = keeper("verify", "--journal", journal.url)

    assert outcome.code == 4
    assert f"the frame at sequence {sequence} is not what was written" in outcome.err


def test_a_newer_journal_is_exit_code_4(keeper: Keeper, journal: JournalFile) -> None:
    """A journal of a newer format is refused with what to do."""
    upgrade_format(journal.path)
    outcome = keeper("verify", "--journal", journal.url)

    assert (outcome.code, outcome.err.strip().endswith("upgrade margin-keeper")) == (4, True)


def test_another_database_is_exit_code_4(keeper: Keeper, tmp_path: Path) -> None:
    """A database of another program is no journal."""
    other = tmp_path / "other.db"
    connection = apsw.Connection(str(other))
    connection.execute("CREATE TABLE notes (text)")
    connection.close()
    outcome = keeper("verify", "--journal", f"sqlite://{other}")

    assert (outcome.code, "a database of another program" in outcome.err) == (4, True)


def test_no_such_journal_is_exit_code_2(keeper: Keeper, tmp_path: Path) -> None:
    """A file that does not exist is the operator's mistake."""
    outcome = keeper("verify", "--journal", f"sqlite://{tmp_path}/none.db")

    assert (outcome.code, outcome.err.count("\n")) == (2, 1)


def test_a_replay_gives_the_runs_state(keeper: Keeper, journal: JournalFile, history: History) -> None:
    """From the first record, from a snapshot and a second time: the same state hash, no divergence."""
    whole = keeper("replay", "--journal", journal.url, "--json").document
    tail = keeper("replay", "--journal", journal.url, "--from-snapshot", "--json").document

    assert whole["state_hash"] == tail["state_hash"] == to_hex(history.engine.state_hash())
    assert (whole["from_sequence"], tail["from_sequence"] > 0, tail["divergence"]) == (0, True, None)


def test_a_later_snapshot_is_no_beginning(keeper: Keeper, journal: JournalFile) -> None:
    """A replay that ends before every snapshot begins at the first record."""
    outcome = keeper("replay", "--journal", journal.url, "--from-snapshot", "--until", "1", "--json").document

    assert (outcome["from_sequence"], outcome["last_sequence"]) == (0, 1)


def test_blocks_of_several_chains_are_ambiguous(keeper: Keeper, history: History, tmp_path: Path) -> None:
    """In a journal of two chains a block number names no place."""
    journal = write_history(tmp_path / "two.db", history.records, chain_ids=[CHAIN, 1])
    outcome = keeper("replay", "--journal", journal.url, "--until", "block:3")

    assert (outcome.code, outcome.err) == (
        2,
        f"keeper: block 3: the journal has chains 1, {CHAIN}; give a sequence instead\n",
    )


def test_a_replay_stops_where_told(keeper: Keeper, journal: JournalFile, history: History) -> None:
    """``--until`` takes a sequence: the replay ends in the state there."""
    facts = [record.sequence for record in history.records if record.cause == 0]
    until = facts[7] - 1
    outcome = keeper("replay", "--journal", journal.url, "--until", str(until), "--json").document

    state_hash = to_hex(blake2b(state_after(history.records, until), digest_size=32).digest())
    assert (outcome["last_sequence"], outcome["state_hash"]) == (until, state_hash)


@pytest.mark.usefixtures("_toy_venue")
def test_a_replay_stops_at_a_block(keeper: Keeper, tmp_path: Path) -> None:
    """``block:N`` is the last record before the watermark passes that block, on the branch that stayed."""
    history = History()
    history.market()
    history.block()
    history.block()
    history.revert()
    history.block()
    expected = len(history.records) + 1  # the tick before the next block is still of this one
    history.block()
    journal = write_history(tmp_path / "journal.db", history.records)
    [stopped, end] = [
        keeper("replay", "--journal", journal.url, "--until", f"block:{number}", "--json").document for number in (3, 4)
    ]

    assert (stopped["last_sequence"], end["last_sequence"]) == (expected, len(history.records))


def test_a_replay_that_differs_is_exit_code_1(keeper: Keeper, history: History, tmp_path: Path) -> None:
    """A decision that comes out otherwise is named; the exit code is 1."""
    records, sequence = altered(history.records)
    journal = write_history(tmp_path / "altered.db", records)
    outcome = keeper("replay", "--journal", journal.url, "--json")

    assert (outcome.code, outcome.document["last_sequence"]) == (1, sequence)
    assert "HealthChanged" in outcome.document["divergence"]


def test_places_that_are_not_in_the_journal_are_refused(keeper: Keeper, journal: JournalFile) -> None:
    """A sequence or block that the journal does not have, or no number at all, is exit code 2 with the reason."""
    outcomes = [
        keeper("replay", "--journal", journal.url, "--until", place)
        for place in ("0", "100000", "block:999", "yesterday", "9" * 5000)
    ]

    assert [outcome.code for outcome in outcomes] == [2] * 5
    assert [outcome.err.split(";")[0].strip() for outcome in outcomes] == [
        "keeper: sequence 0: is not in the journal",
        "keeper: sequence 100000: is not in the journal",
        "keeper: block 999: is not in the journal",
        "keeper: 'yesterday': names no place in a journal",
        "keeper: '99999999…': names no place in a journal",
    ]
