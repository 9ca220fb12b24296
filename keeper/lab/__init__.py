"""The second composition root: real local chains, seeded markets and the simulators that run the shipped engine."""
