"""A real local chain: a node process, protocols as published, seeded actors and a seeded price crash.

Nothing here imitates a protocol. The node is anvil, the market is the published bytecode, the price feed is compiled
when it is needed; what the keeper meets in `keeper demo` and in the chain tests is what it meets in production.

::

    async with running_node(NodeOptions(timestamp=1_700_000_000)) as node, LabRpc(node.http_url) as rpc:
        market = await deploy_aave_market(rpc, node.node_modules)
        await open_whale(rpc, market, seed=7)
        borrowers = await open_borrowers(rpc, market, count=50, seed=7)
        await move_prices(rpc, market, {"WETH": market.asset("WETH").price * 7 // 10})
        accounts = await account_data(rpc, market.pool, [one.address for one in borrowers], "latest")
"""
