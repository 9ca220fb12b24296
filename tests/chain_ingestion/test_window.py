"""The window: whatever the chain does, reverts and applies turn the branch we hold into the chain's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.chain.window import BLOCKS_MAX, BLOCKS_MIN, Branch, Window
from keeper.core.errors import FinalityViolated, InvariantBroken
from keeper.core.facts import BlockHeader
from keeper.core.ids import Hash32
from tests.chain_ingestion.scripted import some_hash

START = 3


class Tree:
    """Blocks that may fork anywhere."""

    def __init__(self) -> None:
        self.by_hash: dict[Hash32, BlockHeader] = {}
        self.leaves = [self.grow(None)]

    def grow(self, parent: BlockHeader | None) -> BlockHeader:
        """Add a block on a parent."""
        number = START if parent is None else parent.number + 1
        below = some_hash("before the start") if parent is None else parent.hash
        header = BlockHeader(number, some_hash(number, len(self.by_hash)), below, 0, 0, b"")
        self.by_hash[header.hash] = header
        return header

    def path(self, header: BlockHeader) -> list[BlockHeader]:
        """Return the branch from the first block to this one."""
        path = [header]
        while path[-1].parent_hash in self.by_hash:
            path.append(self.by_hash[path[-1].parent_hash])
        return path[::-1]

    def walk(self, window: Window, head: BlockHeader) -> Branch:
        """Walk from a head to the join, as the follower does."""
        walked = [head]
        while not window.joins(walked[-1]):
            walked.append(self.by_hash[walked[-1].parent_hash])
        return window.branch(walked)


def trunk(length: int) -> list[BlockHeader]:
    """Return a branch without forks."""
    tree = Tree()
    header = tree.leaves[0]
    for _ in range(length - 1):
        header = tree.grow(header)
    return tree.path(header)


def window_of(branch: list[BlockHeader], finalized: int | None = None) -> Window:
    """Return the window that holds a branch."""
    return Window(START, {header.number: header.hash for header in branch}, finalized)


@pytest.mark.slow
@given(st.data())
def test_any_fork_tree_is_followed(data: st.DataObject) -> None:
    """In any fork tree, heads in any order: reverts newest first, then applies, turn our branch into the head's."""
    tree = Tree()
    blocks = [tree.leaves[0]]
    for _ in range(data.draw(st.integers(1, 25))):
        blocks.append(tree.grow(data.draw(st.sampled_from(blocks[-6:]))))
    window = Window(START)
    held: list[tuple[int, Hash32]] = []

    for head in data.draw(st.lists(st.sampled_from(blocks), max_size=20)):
        if window.is_stale(head.number, head.hash):
            assert (head.number, head.hash) in held
            continue
        branch = tree.walk(window, head)
        for reverted in branch.reverted:
            assert reverted == held.pop()
        held += [(header.number, header.hash) for header in branch.applied]
        window = window.extended(branch.applied)

        assert held == [(header.number, header.hash) for header in tree.path(head)]
        assert list(window.hashes.items()) == held


@given(st.integers(2, 30), st.data())
def test_final_blocks_are_never_reverted(length: int, data: st.DataObject) -> None:
    """A branch that leaves ours at or above the final block is followed; one that leaves it below halts."""
    branch = trunk(length)
    finalized = data.draw(st.sampled_from(branch))
    tree = Tree()
    tree.by_hash = {header.hash: header for header in branch}
    fork = data.draw(st.sampled_from(branch))
    head = tree.grow(fork)
    while head.number <= branch[-1].number:
        head = tree.grow(head)
    window = window_of(branch, finalized.number)

    if fork.number >= finalized.number:
        assert all(number > finalized.number for number, _ in tree.walk(window, head).reverted)
    else:
        with pytest.raises(FinalityViolated):
            tree.walk(window, head)


def test_held_and_final_heads_are_stale() -> None:
    """A head that we hold, one at or below finality, and one before the start change nothing."""
    branch = trunk(10)
    window = window_of(branch, START + 4)

    assert window.is_stale(branch[7].number, branch[7].hash)
    assert window.is_stale(START + 4, some_hash("another"))
    assert window.is_stale(START - 1, some_hash("before"))
    assert not window.is_stale(START + 5, some_hash("another"))


@pytest.mark.fault(35)
def test_walking_below_the_window_halts() -> None:
    """A branch that does not meet ours within all we hold is beyond repair."""
    branch = trunk(10)
    window = window_of(branch[5:])
    tree = Tree()
    tree.by_hash = {header.hash: header for header in branch}
    head = tree.grow(branch[2])

    with pytest.raises(FinalityViolated, match="its branch leaves ours"):
        tree.walk(window, head)


def test_finality_moves_forward_only() -> None:
    """A lower final block, the same one, or one that we do not hold yet is no news."""
    branch = trunk(10)
    window = window_of(branch).finalized_at(START + 4)

    assert window is not None
    assert window.finalized == START + 4
    assert window.finalized_at(START + 4) is None
    assert window.finalized_at(START + 3) is None
    assert window.finalized_at(START + 99) is None


def test_old_blocks_are_dropped_at_finality() -> None:
    """Blocks that no reorg can reach are dropped, except the last 256; the final block is kept."""
    branch = trunk(BLOCKS_MIN + 50)
    newest = branch[-1].number

    near = window_of(branch).finalized_at(newest - 10)
    far = window_of(branch).finalized_at(newest - BLOCKS_MIN - 20)

    assert near is not None
    assert far is not None
    assert list(near.hashes) == list(range(newest - BLOCKS_MIN + 1, newest + 1))
    assert list(far.hashes) == list(range(newest - BLOCKS_MIN - 20, newest + 1))


def test_window_is_bounded_without_finality() -> None:
    """When nothing becomes final the window still has a bound."""
    window = window_of(trunk(BLOCKS_MAX + 10)).pruned()

    assert len(window.hashes) == BLOCKS_MAX


def test_unlinked_blocks_are_our_bug() -> None:
    """A block without its parent never enters the window."""
    branch = trunk(5)

    with pytest.raises(InvariantBroken, match="without its parent"):
        window_of(branch[:2]).extended(branch[3:])


def test_resumed_window_is_the_state_of_the_chain() -> None:
    """A window resumes from a chain's state; with no blocks held, nothing is final yet."""
    recent = [(header.number, header.hash) for header in trunk(3)]

    assert Window.resumed(START, recent, START + 1) == Window(START, dict(recent), START + 1)
    assert Window.resumed(0, [], 0) == Window(0)
    assert not Window.resumed(0, [], 0).is_stale(0, some_hash("genesis"))
