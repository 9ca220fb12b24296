"""The options that several commands share, spelled once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The configuration file (TOML).")]
JournalOption = Annotated[str, typer.Option("--journal", help="The journal, as sqlite:///path/to/journal.db.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document for programs instead of text.")]
JsonLinesOption = Annotated[bool, typer.Option("--json", help="JSON lines for programs instead of text.")]
