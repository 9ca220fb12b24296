"""The folder that the demo leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.core.errors import OperatorError, UsageError
from keeper.journal.lock import WriterLock
from keeper.lab.demo.files import clean_folder


def test_an_older_demo_is_replaced(tmp_path: Path) -> None:
    """Journal, log and keystore of the demo before are gone; what else is in the folder stays."""
    (tmp_path / "keys").mkdir()
    for name in (
        "journal.db",
        "journal.db-wal",
        "journal.db.mark",
        "daemon.log",
        "STOP",
        "keys/main.json",
        "notes.txt",
    ):
        (tmp_path / name).touch()

    clean_folder(tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["journal.db.lock", "keys", "notes.txt"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """A place that cannot be written is bad usage, told before anything is started."""
    (tmp_path / "README.md").touch()

    with pytest.raises(UsageError, match=r"README\.md: cannot be written \(File exists\); name another with --out"):
        clean_folder(tmp_path / "README.md")


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    """While another demo's daemon writes its journal nothing of it is removed."""
    (tmp_path / "journal.db").touch()
    lock = WriterLock(tmp_path / "journal.db")

    with pytest.raises(OperatorError, match="another keeper"):
        clean_folder(tmp_path)
    lock.release()

    assert (tmp_path / "journal.db").exists()
