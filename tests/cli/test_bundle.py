"""``keeper journal bundle`` and ``import``: there and back, what is hidden, and what is noticed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keeper.core.codec import Record, encoder
from keeper.core.decisions import Decision, HealthChanged
from keeper.core.errors import JournalDamaged, JournalForeign, KeeperError, UsageError
from keeper.core.facts import AttemptSent, BlockApplied, RunStarted
from keeper.core.ids import to_hex
from keeper.engine.step import ENGINE_VERSION
from keeper.journal.bundle import VERSION, Bundle, pack, unpack, write_journal
from keeper.journal.expanding import expanded
from keeper.journal.frames import REDACTED, redact_frame
from keeper.journal.reader import JournalReader
from keeper.journal.snapshots import seal_snapshot
from keeper.journal.sqlite import SqliteJournal
from tests.cli.conftest import Keeper
from tests.cli.history_file import JournalFile, write_history
from tests.engine.history import History, new_engine

NODE = "https://rpc.hidden-host.example:8545"
URL = f"{NODE}/v3/0123456789abcdef"
SETTINGS = (
    '{"journal":{"url":"sqlite:///srv/secretplace/journal.db"},"chains":{"local":{"http":["' + URL + '"]}},'
    '"signers":{"main":{"keystore":"secretplace/main.json","password":"hunter22"}}}'
)
HIDDEN = (b"hidden-host", b"8545", b"0123456789abcdef", b"secretplace", b"hunter22", b"main")


def named(history: History) -> list[Record]:
    """Return a history whose facts name a node, and decisions as they follow from those."""
    records: list[Record] = []
    engine = new_engine()
    made: list[Decision] = []
    for record in history.records:
        body = record.body
        if isinstance(body, Decision):
            body = made.pop(0)  # type: ignore[assignment]  # a decision is a body
        else:
            if isinstance(body, BlockApplied):
                body = msgspec.structs.replace(body, source=NODE)
            if isinstance(body, AttemptSent):
                body = msgspec.structs.replace(body, provider=NODE, message="rpc.hidden-host.example:8545 hung up")
            if isinstance(body, RunStarted):
                body = msgspec.structs.replace(body, settings_redacted_json=SETTINGS)
            made = list(engine.step(body, record.sequence))
        records.append(msgspec.structs.replace(record, body=body))
    return records


@pytest.fixture
def journal(tmp_path: Path, history: History) -> JournalFile:
    """A journal that names a node, a signer, paths and a password."""
    return write_history(tmp_path / "journal.db", named(history))


def cut(keeper: Keeper, journal: JournalFile, first: int | str, last: int | str, *more: str) -> Path:
    """Bundle a window; return the file."""
    path = journal.path.with_name("incident.keeper")
    path.unlink(missing_ok=True)
    outcome = keeper(
        "journal", "bundle", "--journal", journal.url, "--from", str(first), "--to", str(last), "-o", path, *more
    )
    assert outcome.code == 0, outcome.err
    return path


def imported(keeper: Keeper, bundle: Path) -> JournalFile:
    """Import a bundle into a new journal."""
    path = bundle.with_name("imported.db")
    path.unlink(missing_ok=True)
    outcome = keeper("journal", "import", bundle, "--journal", f"sqlite://{path}")
    assert outcome.code == 0, outcome.err
    with JournalReader(path) as reader:
        return JournalFile(path, [*reader.read()])


@pytest.mark.slow
@given(window=st.tuples(st.integers(1, 60), st.integers(1, 60)), redact=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_any_window_there_and_back(
    keeper: Keeper, journal: JournalFile, *, window: tuple[int, int], redact: bool
) -> None:
    """Whatever is cut out, the import verifies, has the journal's hash at its end, and decides as recorded."""
    first, last = (min(place, len(journal.records)) for place in sorted(window))
    bundle = cut(keeper, journal, first, last, *([] if redact else ["--no-redact"]))
    found = imported(keeper, bundle)
    verified = keeper("verify", "--journal", found.url, "--json").document
    with JournalReader(journal.path) as reader:
        expected = reader.place(verified["last_sequence"] + 1)

    assert (verified["fault"], verified["last_sequence"], verified["tip_hash"]) == (
        None,
        expected[0],
        to_hex(expected[1]),
    )
    assert found.records[0].sequence <= first
    assert found.records[-1].sequence >= last
    assert redact or found.records == journal.records[found.records[0].sequence - 1 : found.records[-1].sequence]


@pytest.mark.parametrize("more", [(), ("--no-redact",)], ids=["redacted", "whole"])
def test_nothing_is_appended_to_an_import(keeper: Keeper, journal: JournalFile, more: tuple[str, ...]) -> None:
    """A keeper does not go on with a journal that was made of a bundle, and leaves it as it is."""
    found = imported(keeper, cut(keeper, journal, 1, 12, *more))
    before = found.path.read_bytes()
    with JournalReader(found.path) as reader, pytest.raises(JournalForeign, match="was imported from a bundle"):
        SqliteJournal(found.path, chain_ids=reader.birth.chain_ids)

    assert found.path.read_bytes() == before


def test_a_redacted_bundle_says_so_and_reaches_the_head(keeper: Keeper, journal: JournalFile) -> None:
    """The window is followed to the head that the journal has, over frames whose words are not shown."""
    path = cut(keeper, journal, 1, 12)
    found = unpack(path.read_bytes(), "bundle")
    told = keeper("journal", "import", path, "--journal", f"sqlite://{path}.db", "--json").document
    with JournalReader(journal.path) as reader:
        head = reader.tip()

    assert found.is_linked
    assert (told["head_sequence"], told["head_hash"], told["linked_to_head"]) == (head[0], to_hex(head[1]), True)
    assert 0 < told["frames_redacted"] < told["frames"]
    assert told["redacted"] == {"hosts": 1, "paths": 2, "providers": 0, "signers": 1}


@pytest.mark.parametrize("first", [1, 14])
def test_nothing_hidden_is_left(keeper: Keeper, journal: JournalFile, first: int) -> None:
    """No URL, host, key, path or signer's name stands anywhere in what the file expands to."""
    found = unpack(cut(keeper, journal, first, len(journal.records)).read_bytes(), "bundle")
    records = b"".join(encoder().encode(record) for record in imported_records(found, journal.path))
    shown = [encoder().encode(found), expanded(found.state.payload), records]

    assert [word for word in HIDDEN for text in shown if word in text.replace(b"remain", b"")] == []


def imported_records(bundle: Bundle, beside: Path) -> list[Record]:
    """Return the records of a bundle."""
    path = beside.with_name("shown.db")
    write_journal(bundle, path)
    with JournalReader(path) as reader:
        return [*reader.read()]


def test_untouched_frames_are_the_original_bytes(keeper: Keeper, journal: JournalFile) -> None:
    """Frames without a hidden word are those of the journal, byte for byte; of others the hash is."""
    found = unpack(cut(keeper, journal, 1, len(journal.records)).read_bytes(), "bundle")
    with JournalReader(journal.path) as reader:
        originals = [*reader.frames(1, reader.last_sequence)]
    same = [frame for frame in found.frames if not frame.header.codec & REDACTED]

    assert [frame.hash for frame in found.frames] == [frame.hash for frame in originals]
    assert same
    assert all(frame in originals for frame in same)


def test_every_byte_counts(keeper: Keeper, journal: JournalFile) -> None:
    """A file with one byte changed, or cut short, is refused."""
    raw = cut(keeper, journal, 5, 9).read_bytes()
    for place in range(0, len(raw), 41):
        with pytest.raises(KeeperError):
            unpack(raw[:place] + bytes((raw[place] ^ 1,)) + raw[place + 1 :], "bundle")
        with pytest.raises(KeeperError):
            unpack(raw[:place], "bundle")


@pytest.mark.parametrize("place", [0, 31, 32, 70])
def test_a_resealed_file_with_another_commitment_is_refused(keeper: Keeper, journal: JournalFile, place: int) -> None:
    """Who changes what stands for a redacted frame cannot hide it behind a new digest of the file."""
    found = unpack(cut(keeper, journal, 1, 12).read_bytes(), "bundle")
    index = next(index for index, frame in enumerate(found.frames) if frame.header.codec & REDACTED)
    payload = bytearray(found.frames[index].payload)
    payload[place] ^= 1
    frames = [*found.frames]
    frames[index] = frames[index]._replace(payload=bytes(payload))

    with pytest.raises(JournalDamaged, match="is not what was written"):
        unpack(pack(msgspec.structs.replace(found, frames=tuple(frames))), "bundle")


def test_another_head_is_refused(keeper: Keeper, journal: JournalFile) -> None:
    """A bundle that names a head which its chain does not lead to is refused."""
    found = unpack(cut(keeper, journal, 1, 12).read_bytes(), "bundle")
    with pytest.raises(JournalDamaged, match="does not lead to the head"):
        unpack(pack(msgspec.structs.replace(found, head_hash=bytes(32))), "bundle")


def test_a_forged_decision_is_not_made_again(keeper: Keeper, journal: JournalFile) -> None:
    """Who puts another decision into a redacted frame, and seals everything again, is found by stepping."""
    found = unpack(cut(keeper, journal, 1, len(journal.records), "--no-redact").read_bytes(), "bundle")
    place = next(record.sequence for record in journal.records if isinstance(record.body, HealthChanged))
    frames = [*found.frames]
    index = next(i for i, frame in enumerate(frames) if frame.header.last_sequence >= place)
    records = [
        msgspec.structs.replace(record, body=msgspec.structs.replace(record.body, block_number=7))
        if isinstance(record.body, HealthChanged)
        else record
        for record in journal.records[frames[index].header.first_sequence - 1 : frames[index].header.last_sequence]
    ]
    frames[index] = redact_frame(frames[index], records)
    path = journal.path.with_name("forged.keeper")
    path.write_bytes(pack(msgspec.structs.replace(found, frames=tuple(frames))))
    outcome = keeper("journal", "import", path, "--as-test", path.with_name("test"))

    assert (outcome.code, f"at sequence {place}: fact" in outcome.err) == (1, True)


def test_a_bundle_becomes_a_test(keeper: Keeper, journal: JournalFile) -> None:
    """One command stores a bundle under a name, once."""
    path = cut(keeper, journal, 5, 9)
    name = path.with_name("named")

    assert keeper("journal", "import", path, "--as-test", name).code == 0
    assert name.with_suffix(".keeper").read_bytes() == path.read_bytes()
    assert keeper("journal", "import", path, "--as-test", name).code == 2


def test_an_import_can_be_explained(keeper: Keeper, journal: JournalFile) -> None:
    """What reads journals reads an imported one: stat, tail, replay, accounts, explain."""
    found = imported(keeper, cut(keeper, journal, 8, len(journal.records)))
    accounts = keeper("accounts", "--journal", found.url, "--json")
    account = accounts.document["accounts"][0]["account"]

    assert keeper("explain", "--journal", found.url, account).code == 0
    assert keeper("replay", "--journal", found.url).code == 0
    assert keeper("journal", "stat", "--journal", found.url).code == 0
    assert keeper("journal", "tail", "--journal", found.url).code == 0


def test_bad_files(tmp_path: Path, keeper: Keeper, journal: JournalFile) -> None:
    """What is no bundle, of a newer version, or in the way, is refused by its own name."""
    path = cut(keeper, journal, 5, 9)
    raw = path.read_bytes()
    with pytest.raises(UsageError, match="is not a bundle"):
        unpack(b"PK\x03\x04", "bundle")
    with pytest.raises(JournalForeign, match="has version 2, this one reads 1; upgrade"):
        unpack(raw[:8] + (VERSION + 1).to_bytes(2, "big") + raw[10:], "bundle")
    there = keeper("journal", "import", path, "--journal", journal.url)
    neither = keeper("journal", "import", path)
    missing = keeper("journal", "import", tmp_path / "none.keeper", "--journal", f"sqlite://{tmp_path}/x.db")
    again = keeper("journal", "bundle", "--journal", journal.url, "--from", "5", "--to", "9", "-o", path)
    empty = keeper(
        "journal", "bundle", "--journal", journal.url, "--from", "2001-01-01", "--to", "2001-01-02", "-o", "x"
    )

    assert [each.code for each in (there, neither, missing, again, empty)] == [2, 2, 2, 2, 2]
    assert "exists already" in there.err
    assert "holds no record" in empty.err


def test_a_state_of_another_place_is_refused(keeper: Keeper, journal: JournalFile) -> None:
    """The state must be that before the window, sealed for its journal."""
    found = unpack(cut(keeper, journal, 8, 12).read_bytes(), "bundle")
    state = seal_snapshot(found.birth.hash, 1, str(ENGINE_VERSION), b"")
    with pytest.raises(JournalDamaged, match="its state is of another place"):
        unpack(pack(msgspec.structs.replace(found, state=state)), "bundle")
