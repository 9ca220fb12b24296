"""Run every benchmark and print one JSON document: figures, and ratios against the peer measured in the same run."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable
from importlib.metadata import version

from bench.decoding import run as decoding
from bench.distance import run as distance
from bench.journal import run as journal
from bench.latency import run as latency
from bench.passage import run as passage
from bench.portfolio import run as portfolio
from bench.restart import run as restart
from bench.step import run as step
from bench.venue import run as venue

PARTS: dict[str, Callable[[], dict[str, object]]] = {
    "journal": journal,
    "decoding": decoding,
    "step": step,
    "distance": distance,
    "passage": passage,
    "portfolio": portfolio,
    "venue": venue,
    "latency": latency,
    "restart": restart,
}


def main() -> None:
    """Print the results of all parts, or of those named on the command line."""
    chosen = sys.argv[1:] or list(PARTS)
    results: dict[str, object] = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": {name: version(name) for name in ("margin-keeper", "eventsourcing", "web3", "msgspec", "apsw")},
    }
    for name in chosen:
        results[name] = PARTS[name]()
    json.dump(results, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
