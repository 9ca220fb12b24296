"""``keeper journal export``: what is read back is what was recorded."""

from __future__ import annotations

import importlib
import os
import resource
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from keeper.cli.archive import cell, rows, write_parquet
from keeper.cli.plain import plain
from tests.cli.conftest import Keeper
from tests.cli.history_file import JournalFile
from tests.engine.history import History


def test_json_lines_hold_every_record(keeper: Keeper, journal: JournalFile, history: History) -> None:
    """Each record is one line, in order, with its body whole."""
    done = keeper("journal", "export", "--journal", journal.url, "--format", "jsonl")
    assert done.code == 0
    assert [each["sequence"] for each in done.documents] == [record.sequence for record in history.records]
    assert [each["body"] for each in done.documents] == [plain(record.body) for record in history.records]


@pytest.mark.slow
def test_parquet_holds_every_record(keeper: Keeper, journal: JournalFile, history: History, tmp_path: Path) -> None:
    """Every file's rows, read back together, are the records, exactly."""
    out = tmp_path / "archive"
    assert keeper("journal", "export", "--journal", journal.url, "--out", out).code == 0
    parquet = importlib.import_module("pyarrow.parquet")
    found = [row for path in out.rglob("*.parquet") for row in parquet.ParquetFile(path).read().to_pylist()]
    read = {row["sequence"]: row["body"] for row in found}
    assert len(found) == len(history.records)
    assert read == {record.sequence: cell(record.body) for record in history.records}
    assert keeper("journal", "export", "--journal", journal.url, "--out", out).code == 2


def test_without_the_extra_it_says_which(
    keeper: Keeper, journal: JournalFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parquet without pyarrow is refused in one line that names the extra."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = keeper("journal", "export", "--journal", journal.url, "--out", tmp_path / "archive")
    assert done.code == 2
    assert "margin-keeper[archive]" in done.err


@pytest.mark.slow
def test_days_are_more_than_open_files(history: History, tmp_path: Path) -> None:
    """Each day's files are closed when the day turns, and a day that is come to again loses no row."""
    first = next(iter(rows(history.records, lambda _: True)))
    days = [*range(100), 0]
    found = [{**first, "recorded_at": first["recorded_at"] + timedelta(days=day)} for day in days]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 40, hard))  # noqa: PTH208 - a count
    try:
        assert write_parquet(found, tmp_path / "archive") == {first["kind"]: len(days)}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    parquet = importlib.import_module("pyarrow.parquet")
    assert sum(parquet.ParquetFile(path).metadata.num_rows for path in tmp_path.rglob("*.parquet")) == len(days)
