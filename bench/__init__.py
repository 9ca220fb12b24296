"""Benchmarks: each part prints figures beside those of its baseline, measured in the same run."""
