"""From an admitted intent to a settled one: preflight, nonce, fees, signature, sending, receipts, recovery."""
