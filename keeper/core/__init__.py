"""The vocabulary: units, ids, facts, decisions, errors and the few protocols. Pure: stdlib and msgspec only."""
