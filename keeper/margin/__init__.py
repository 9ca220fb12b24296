"""Margin mathematics that every venue shares: how much to close. Pure integers."""
