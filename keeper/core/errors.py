"""One exception tree; a class says who must act.

::

    KeeperError
    ├── OperatorError        the operator must change something                        exit 2
    │   ├── ConfigError      a configuration file, key or value
    │   ├── UsageError       a command-line argument
    │   ├── CredentialError  a keystore or its password
    │   └── RiskInputError   a price, matrix, surface or parameter that gives no figure of risk
    ├── NotHolding           the thing checked does not hold (verify, doctor)            exit 1
    ├── NodeError            an outside system failed; another provider may answer     exit 3
    │   ├── NodeUnreachable  no answer: refused, reset, timed out
    │   │   └── NodeLimited  asked too often: it is to be left alone for a while
    │   ├── NodeMalformed    an answer that is not what the protocol promises
    │   └── NodeRefused      a JSON-RPC error object (carries code, message, data)
    ├── RetryLater           a condition that passes by itself                           exit 3
    └── Halt                 going on would risk money or history: stop the process    exit 3
        ├── InvariantBroken  our own bug, caught in production
        ├── FinalityViolated a finalised block was replaced
        ├── LoopStuck        a part of the process hangs; a new process goes on where it was
        ├── JournalStopped   the journal cannot write (disk full, I/O error)
        └── JournalDamaged   the journal is not what was written                         exit 4
            └── JournalForeign  another chain, another format, a newer version

Each message is one line that names the thing, the reason and the remedy.
"""

from __future__ import annotations

from typing import ClassVar


class KeeperError(Exception):
    """The root: ``thing: reason; remedy`` on one line, and the exit code of the interface."""

    exit_code: ClassVar[int] = 3

    def __init__(self, thing: str, reason: str, remedy: str = "") -> None:
        self.thing = thing
        self.reason = reason
        self.remedy = remedy
        super().__init__(thing, reason, remedy)

    def __str__(self) -> str:
        text = f"{self.thing}: {self.reason}" + (f"; {self.remedy}" if self.remedy else "")
        return " ".join(text.split())


class OperatorError(KeeperError):
    """The operator must change something."""

    exit_code = 2


class ConfigError(OperatorError):
    """A configuration file, key or value is wrong."""


class UsageError(OperatorError):
    """A command-line argument is wrong."""


class CredentialError(OperatorError):
    """A keystore or its password is missing or wrong. Never carries the secret."""


class RiskInputError(OperatorError):
    """A price, history, matrix, surface or parameter from which no figure of risk can be computed."""


class NotHolding(KeeperError):  # noqa: N818 - it names an outcome, not a failure of the program
    """The thing checked does not hold."""

    exit_code = 1


class NodeError(KeeperError):
    """An outside system failed; another provider may answer."""


class NodeUnreachable(NodeError):  # noqa: N818 - named for the situation
    """No answer: refused, reset or timed out. What was asked may still have happened."""


class NodeLimited(NodeUnreachable):
    """The node is asked too often and must be left alone for a while. That is no failure of it."""


class NodeMalformed(NodeError):  # noqa: N818 - named for the situation
    """An answer that is not what the protocol promises: HTML, truncated JSON, a wrong shape."""


class NodeRefused(NodeError):  # noqa: N818 - named for the situation
    """A JSON-RPC error object."""

    _REVERT_CODES: ClassVar[tuple[int, ...]] = (3, -32015)  # geth and most others; OpenEthereum and Nethermind

    def __init__(self, thing: str, code: int, message: str, data: str | None = None, remedy: str = "") -> None:
        self.code = code
        self.message = message
        self.data = data
        super().__init__(thing, f"error {code}: {message}", remedy)

    @property
    def reverted(self) -> bool:
        """Whether the contract refused, not the node: an answer of the chain, by the error's code or its words."""
        return self.code in self._REVERT_CODES or "revert" in self.message.lower()


class RetryLater(KeeperError):  # noqa: N818 - named for the act
    """A condition that passes by itself."""


class Halt(KeeperError):  # noqa: N818 - named for the act
    """Going on would risk money or history: the process stops."""


class InvariantBroken(Halt):
    """Our own bug, caught in production."""


class FinalityViolated(Halt):
    """A block below finality was replaced."""


class LoopStuck(Halt):
    """A part of the process got nowhere for so long that only a new process helps."""


class JournalStopped(Halt):
    """The journal cannot write. Nothing committed is lost; nothing more is done."""


class JournalDamaged(Halt):
    """The journal is not what was written."""

    exit_code = 4


class JournalForeign(JournalDamaged):
    """The journal belongs to another chain, another program or a newer version."""


def invariant(condition: object, thing: str, reason: str) -> None:
    """Stop the process when ``condition`` is false. Stays on under ``python -O``.

    Raises:
        InvariantBroken: ``condition`` is false.
    """
    if not condition:
        raise InvariantBroken(thing, reason, "this is a bug: keep the journal and report it")
