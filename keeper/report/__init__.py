"""What became of accounts and intents, told from records: pure functions from records and an engine to structs."""
