"""The append-only log: facts and decisions in frames, hash-chained, durable before anything is acted on."""
