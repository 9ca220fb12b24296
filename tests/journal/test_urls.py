"""From urls to journals."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.core.errors import ConfigError, UsageError
from keeper.journal.memory import MemoryJournal
from keeper.journal.sqlite import SqliteJournal
from keeper.journal.urls import journal_path, open_journal, open_reader


@pytest.mark.parametrize(
    ("url", "path"),
    [("sqlite:///var/lib/keeper/journal.db", "/var/lib/keeper/journal.db"), ("sqlite://journal.db", "journal.db")],
)
def test_the_rest_of_the_url_is_the_path(url: str, path: str) -> None:
    """Three slashes are absolute, two are relative."""
    assert journal_path(url) == Path(path)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgres://x", "is not of a kind that is known; write it as sqlite:///"),
        ("journal.db", "is not of a kind that is known; write it as sqlite:///"),
        ("", "is not of a kind that is known; write it as sqlite:///"),
        ("sqlite://", "names no file; write it as sqlite:///"),
        ("sqlite:///", "names a folder; add the file's name"),
    ],
)
def test_other_urls_are_refused(url: str, reason: str) -> None:
    """A url that names no journal is the operator's to correct."""
    with pytest.raises(ConfigError, match=reason):
        open_journal(url, [1])


def test_each_scheme_opens_its_journal(tmp_path: Path) -> None:
    """``memory://`` and ``sqlite://`` open the two kinds."""
    with SqliteJournal(tmp_path / "journal.db", [1]) as journal:
        assert isinstance(open_journal("memory://", [1]), MemoryJournal)
        assert journal.last_sequence == 0
    opened = open_journal(f"sqlite://{tmp_path}/journal.db", [1])
    assert isinstance(opened, SqliteJournal)
    opened.close()


def test_reading_needs_a_journal(tmp_path: Path) -> None:
    """A reader never creates the file that it was to read."""
    with pytest.raises(UsageError, match="no such file"):
        open_reader(f"sqlite://{tmp_path}/journal.db")

    assert list(tmp_path.iterdir()) == []


def test_memory_has_no_readers() -> None:
    """Another process cannot read a journal in memory."""
    with pytest.raises(ConfigError):
        open_reader("memory://")
