"""The engine's time."""

from __future__ import annotations

from keeper.engine.clock import EngineClock


def test_elapsed_never_falls() -> None:
    """Elapsed time sums what went forward; a step back costs nothing and counts nothing."""
    clock = EngineClock()
    for unix_ms in (5000, 7000, 1000, 1500):
        clock.tick(unix_ms)
    assert (clock.unix_ms, clock.elapsed_ms) == (1500, 2500)
