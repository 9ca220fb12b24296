"""How a venue is read at one final block, where that is wanted instead of folding all logs since its deployment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from keeper.core.facts import BlockHeader, ContractRead, RawLog, ReadRequest
from keeper.core.ids import Address


class HolderSearch(msgspec.Struct, frozen=True):
    """Where the logs are that name everyone who may have a position: from block ``first`` on."""

    first: int
    addresses: tuple[Address, ...]
    topics: tuple[bytes, ...]


class ReadingProgress(msgspec.Struct, frozen=True):
    """How far a reading is: the last block searched for holders, those found, and the items known that are left."""

    searched_to: int
    holders: int
    unread: int


class VenueReading(Protocol):
    """How a venue is read at one final block, where that is wanted instead of folding all logs since its deployment.

    Read :meth:`items` until there are none, then :meth:`search` for holders, and so on until there is neither.
    """

    @property
    def header(self) -> BlockHeader | None:
        """The block that is being read, ``None`` when no reading is under way."""

    @property
    def progress(self) -> ReadingProgress:
        """How far the reading under way is."""

    def begin(self, header: BlockHeader, *, search_anew: bool) -> None:
        """Forget the venue and read it at a block; holders found so far are kept unless they are searched anew."""

    def items(self, count_max: int) -> tuple[bytes, ...]:
        """Up to so many items to read next; none when holders are to be searched, or all is read."""

    def requests(self, item: bytes) -> tuple[ReadRequest, ...]:
        """The calls of an item."""

    def check(self, items: Sequence[bytes], reads: Sequence[ContractRead]) -> None:
        """Check answers before they are recorded.

        Raises:
            NodeMalformed: a call reverted that must not, or an answer has another shape.
        """

    def take(self, items: Sequence[bytes], reads: Sequence[ContractRead]) -> None:
        """Take the answers to items, in their order."""

    def search(self) -> HolderSearch | None:
        """Where holders are to be searched next, ``None`` when items are to be read first or it is done."""

    def holders(self, logs: Iterable[RawLog]) -> tuple[bytes, ...]:
        """The holders that logs name and that are not known, sorted.

        Raises:
            NodeMalformed: a log is not what its event promises.
        """

    def found(self, last: int, holders: Sequence[bytes]) -> None:
        """Take the holders found in the blocks up to ``last``."""

    def shortfall(self) -> str | None:
        """What shows that somebody was left out, ``None`` when nobody was."""

    def complete(self) -> None:
        """End the reading: the next block is folded."""
