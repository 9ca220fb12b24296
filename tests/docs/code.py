"""The Python that stands in a document."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
FENCED = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(name: str) -> list[str]:
    """Return the Python blocks of a document, in order."""
    found: list[str] = FENCED.findall((DOCS / name).read_text(encoding="utf-8"))
    return found
