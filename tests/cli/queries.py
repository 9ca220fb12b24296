"""The questions of docs/queries.md, asked of an archive: ``python -m tests.cli.queries`` writes their answers anew."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb

from keeper.cli.archive import VIEWS, rows, write_parquet
from keeper.core.codec import Record
from keeper.journal.bundle import unpack, write_journal
from keeper.journal.reader import JournalReader

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "queries.md"
INCIDENT = ROOT / "tests" / "incidents" / "demo_crash.keeper"
QUESTION = re.compile(
    r"(?P<asked>^## (?P<number>\d+)\. [^\n]+\n.*?```sql\n(?P<sql>.*?)```\n)(?P<answer>.*?)(?=^## |\Z)",
    re.MULTILINE | re.DOTALL,
)
Answer = list[tuple[Any, ...]]


class Archive:
    """The Parquet files of records, as docs/queries.md says to open them.

    Args:
        records: What is archived.
        folder: A directory that is not there yet.
    """

    def __init__(self, records: Iterable[Record], folder: Path) -> None:
        write_parquet(rows(records, lambda _: True), folder)
        self.connection = duckdb.connect()
        self.connection.execute(f"SET file_search_path = '{folder}'")
        self.connection.execute((folder / VIEWS).read_text(encoding="utf-8"))

    def ask(self, number: int) -> Answer:
        """Return the rows that answer a question of the page."""
        return self.connection.execute(questions()[number]).fetchall()

    def tally(self, number: int, name: int, count: int) -> Counter[object]:
        """Return the sums of one column of an answer by another one."""
        sums: Counter[object] = Counter()
        for row in self.ask(number):
            sums[row[name]] += row[count]
        return sums

    def answered(self, page: str) -> str:
        """Return a page with the answers of this archive below its questions."""
        return QUESTION.sub(lambda found: f"{found['asked']}\n{self._table(found['sql'])}\n\n", page).rstrip() + "\n"

    def _table(self, sql: str) -> str:
        found = self.connection.execute(sql)
        names = [str(column[0]) for column in found.description or ()]
        lines = [names, ["---"] * len(names), *([_shown(value) for value in row] for row in found.fetchall())]
        if len(lines) == len((names, "---")):
            return f"No row of {', '.join(f'`{name}`' for name in names)}."
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(value: object) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, float) else str(value)


def questions() -> dict[int, str]:
    """Return the queries of the page by their numbers."""
    return {int(found["number"]): found["sql"] for found in QUESTION.finditer(PAGE.read_text(encoding="utf-8"))}


def incident_journal(folder: Path) -> Path:
    """Write the journal of the incident that the page tells of; return its file."""
    path = folder / "journal.db"
    write_journal(unpack(INCIDENT.read_bytes(), INCIDENT.name), path)
    return path


def incident_archive(folder: Path) -> Archive:
    """Return the archive of that incident."""
    with JournalReader(incident_journal(folder)) as reader:
        return Archive(reader.read(), folder / "archive")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        page = incident_archive(Path(temporary)).answered(PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(page, encoding="utf-8")
