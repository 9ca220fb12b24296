"""From the ``url`` of the configuration to a journal.

Everything after ``sqlite://`` is the path: ``sqlite:///var/lib/keeper/journal.db`` is absolute, ``sqlite://journal.db``
is relative. ``memory://`` forgets everything when the process ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from keeper.core.errors import ConfigError
from keeper.journal.memory import MemoryJournal
from keeper.journal.protocol import Journal
from keeper.journal.reader import JournalReader
from keeper.journal.sqlite import SqliteJournal
from keeper.journal.steps import Step, unwatched

_SQLITE = "sqlite://"
_MEMORY = "memory://"
_EXAMPLE = "write it as sqlite:///var/lib/keeper/journal.db"


def open_journal(url: str, chain_ids: Sequence[int], step: Step = unwatched) -> Journal:
    """Open a journal for writing; it is created when there is none. ``step`` surrounds each of its durable steps.

    Raises:
        ConfigError: the url is of no kind that is known.
        KeeperError: as :class:`keeper.journal.sqlite.SqliteJournal`.
    """
    if url == _MEMORY:
        return MemoryJournal()
    return SqliteJournal(journal_path(url), chain_ids, step=step)


def has_journal(url: str) -> bool:
    """Tell whether there is a journal to open; otherwise :func:`open_journal` makes one.

    Raises:
        ConfigError: as :func:`open_journal`.
    """
    return url != _MEMORY and journal_path(url).exists()


def open_reader(url: str) -> JournalReader:
    """Open an existing journal for reading, whether or not a daemon writes it.

    Raises:
        ConfigError: the url is not of a kind that can be read by another process.
        KeeperError: as :class:`keeper.journal.reader.JournalReader`.
    """
    return JournalReader(journal_path(url))


def journal_path(url: str) -> Path:
    """Return the file of a ``sqlite://`` url.

    Raises:
        ConfigError: it is not one, or it names a folder.
    """
    if url == _MEMORY:
        raise ConfigError(f"journal url {url!r}", "is forgotten when its process ends", _EXAMPLE)
    if not url.startswith(_SQLITE):
        raise ConfigError(f"journal url {url!r}", "is not of a kind that is known", _EXAMPLE)
    path = Path(url.removeprefix(_SQLITE))
    if path == Path():
        raise ConfigError(f"journal url {url!r}", "names no file", _EXAMPLE)
    if path.is_dir():
        raise ConfigError(f"journal url {url!r}", "names a folder", "add the file's name")
    return path
