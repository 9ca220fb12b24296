"""The local chain: a node per worker, a fresh market per test."""

from tests.localchain import anvil_node, deployed_market, market, rpc, versioned_market

__all__ = ["anvil_node", "deployed_market", "market", "rpc", "versioned_market"]
