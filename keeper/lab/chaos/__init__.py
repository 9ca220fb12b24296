"""Chaos: the real daemon between a real node and everything that goes wrong, and an audit of what is left.

The daemon talks to the node through proxies that lose, delay, cut and refuse what a seed says, and that make the node's
pool as strict as geth's. The chain reorganises under it, gas becomes dear, the process is killed. At the end journal
and chain are compared, and the chain is asked through web3 whether anybody was left.
"""
