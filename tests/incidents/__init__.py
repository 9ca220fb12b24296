"""Incidents that happened, each a bundle that `keeper journal import --as-test` put here."""
