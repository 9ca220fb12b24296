"""Chance, from one seed: a stream of its own for everything that draws, so that a new draw changes no other."""

from __future__ import annotations

from random import Random


class Streams:
    """Named streams of one seed. The same seed and name give the same numbers on every machine."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._streams: dict[str, Random] = {}

    def of(self, name: str) -> Random:
        """Return the stream of a name, where it stands."""
        if name not in self._streams:
            self._streams[name] = Random(f"{self._seed}/{name}")  # text is hashed by SHA-512, the same everywhere
        return self._streams[name]
