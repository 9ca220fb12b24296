"""``python -m tests.golden`` prints what the golden log comes to here; with ``write`` it tells the story anew."""

from __future__ import annotations

import sys

import msgspec

from tests.golden import golden_records, outcome, write
from tests.golden.story import told

if sys.argv[1:] == ["write"]:
    write(told())
else:
    sys.stdout.buffer.write(msgspec.json.encode(outcome(golden_records())))
