"""The chain: JSON-RPC providers, head hints, and ingestion that is complete, ordered and safe under reorgs."""
