"""The demo: a real market on a local node, a crash, and the shipped daemon in its own process.

The scenario and the daemon share nothing but the chain. What the demo says at its end is read from two sources that
know nothing of each other: the chain (through web3, not through our decoders) and the journal.
"""
