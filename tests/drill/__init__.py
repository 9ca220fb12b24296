"""The drill of docs/operating.md, rehearsed."""
