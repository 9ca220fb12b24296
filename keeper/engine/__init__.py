"""The deterministic heart: facts in, decisions out. No I/O, no clock, no chance."""
