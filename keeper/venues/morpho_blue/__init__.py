"""Morpho Blue: one isolated market of one Morpho contract, from logs to exact positions and liquidations.

``events`` and ``codec`` read logs, ``state`` and ``fold`` keep what they say, ``reads`` asks what they do not say,
``rate`` repeats the interest-rate model, ``market`` looks at the state at a timestamp, ``liquidation`` repeats the
contract's arithmetic, ``calls`` writes transactions, and ``ledger`` is the venue that the engine sees.

A pre-liquidation contract of a market is a venue of its own: ``pre_liquidation`` repeats its arithmetic, and
``pre_ledger`` is the market's ledger with its line, its call and those who authorised it.
"""
