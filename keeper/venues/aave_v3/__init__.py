"""Aave v3: logs to exact account data and exact liquidation amounts, to the last unit.

``events`` and ``codec`` read logs, ``state`` and ``fold`` keep what they say, ``reads`` asks what they do not say,
``market`` looks at the state at a timestamp, ``margin`` and ``liquidation`` repeat the contract's arithmetic,
``calls`` writes transactions, and ``ledger`` is the venue that the engine sees.
"""
