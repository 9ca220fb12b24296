"""Perpetual Protocol v2 ("Curie"): takers' accounts to the wei from logs and a few recorded reads."""
