"""Perpetual Protocol v2 ("Curie"): takers' accounts to the wei from logs and a few recorded reads.

The ledger is :class:`~keeper.venues.perp_v2.ledger.PerpLedger`. It is complete and tested against the published
contracts, and not offered by the settings yet: a liquidation here hands a position over instead of collateral, which
strategies and policy have no words for.
"""
