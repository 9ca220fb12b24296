"""Calls go into blocks in the order asked for, and a revert is an error with the contract's reason."""

import pytest

from keeper.core.errors import NodeRefused
from keeper.lab.localchain.aave import AaveMarket
from keeper.lab.localchain.accounts import fund, seeded_address
from keeper.lab.localchain.node import NodeOptions, running_node
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.transactions import Call, encode_arguments, encode_call, submit

MINT = "mint(address,uint256)"


def test_calldata_is_selector_and_arguments() -> None:
    """Encoding follows the ABI: the well-known bytes of an ERC-20 transfer."""
    assert encode_call("transfer(address,uint256)", "0x" + "11" * 20, 5) == (
        "0xa9059cbb" + "00" * 12 + "11" * 20 + f"{5:064x}"
    )


def test_no_arguments_encode_to_nothing() -> None:
    """A call or a constructor without arguments adds no bytes."""
    assert (encode_call("getPool()"), encode_arguments("()")) == ("0x026b1d5f", "")


@pytest.mark.chain
async def test_a_block_keeps_the_order_asked_for(rpc: LabRpc, market: AaveMarket) -> None:
    """Calls of many senders stand in one block in the order of the list, whoever sends them."""
    senders = [seeded_address(1, f"sender {number % 7}") for number in range(40)]
    await fund(rpc, list(dict.fromkeys(senders)))
    token = market.asset("DAI").token
    calls = [Call(sender, token, encode_call(MINT, sender, 1), 200_000) for sender in senders]
    receipts = await submit(rpc, calls)
    assert [int(receipt.transaction_index, 16) for receipt in receipts] == list(range(40))
    assert len({receipt.block_number for receipt in receipts}) == 1


@pytest.mark.chain
async def test_calls_beyond_the_gas_limit_take_more_blocks(rpc: LabRpc, market: AaveMarket) -> None:
    """What does not fit into one block is mined in the next, in order."""
    token = market.asset("DAI").token
    calls = [Call(market.admin, token, encode_call(MINT, market.admin, 1), 20_000_000) for _ in range(3)]
    receipts = await submit(rpc, calls)
    places = [(int(receipt.block_number, 16), int(receipt.transaction_index, 16)) for receipt in receipts]
    assert places == sorted(places)


@pytest.mark.chain
async def test_a_revert_is_raised_with_its_reason(rpc: LabRpc, market: AaveMarket) -> None:
    """The error carries what the contract said."""
    data = encode_call("setUserEMode(uint8)", 9)
    with pytest.raises(NodeRefused, match="reverted: 58"):
        await submit(rpc, [Call(market.admin, market.pool, data)])


@pytest.mark.chain
async def test_mining_per_transaction_goes_on_after_a_revert(rpc: LabRpc, market: AaveMarket) -> None:
    """The node's mining is as it was, also when a call failed."""
    with pytest.raises(NodeRefused):
        await submit(rpc, [Call(market.admin, market.pool, encode_call("setUserEMode(uint8)", 9))])
    assert await rpc.call("anvil_getAutomine", answer=bool) is True


@pytest.mark.chain
async def test_mining_can_be_left_to_the_node() -> None:
    """Without mining at once, the receipts come with the node's own next block."""
    async with running_node(NodeOptions(block_time_seconds=0.05)) as node, LabRpc(node.http_url) as rpc:
        sender = (await rpc.call("eth_accounts", answer=list[str]))[0]
        (receipt,) = await submit(rpc, [Call(sender, sender, "0x", 21_000)], mine=False)
        assert receipt.succeeded
