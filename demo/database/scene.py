"""What the story needs of the place where it runs: a cluster, a server, an application and its clients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from demo.operator import Operator
    from demo.screen import Screen
    from demo.terminal import Terminal

    from .clients import Clients
    from .shop import Server

ACCOUNT: Final = "the account exists, and its password is in the Secret"


@dataclass(frozen=True, slots=True)
class Fault:
    """What the application does with revision 3, and the command that arranges it."""

    sentence: str
    command: str


class Application(Protocol):
    """The processes that serve."""

    @property
    def count(self) -> int:
        """How many serve, and are to stay."""

    @property
    def is_settled(self) -> bool:
        """Whether none is about to end."""


class Scene(ABC):
    """One place; `open` comes first, and `close` removes what was made."""

    secret: str
    """The ManagedSecret of the account, and the Secret that it publishes."""
    fault: Fault
    running: str
    """What is said when the application serves."""

    def __init__(self, screen: Screen, folder: Path) -> None:
        self.screen = screen
        self.folder = folder

    @abstractmethod
    def open(self) -> Path:
        """Start the cluster, and return an admin's kubeconfig.

        Raises:
            Refused: It cannot run here.
        """

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def server(self, terminal: Terminal) -> AbstractContextManager[Server]:
        """Return the server; where it does not run in the cluster, it runs during the block."""

    @abstractmethod
    def operator(self, terminal: Terminal) -> Operator:
        """Return the operator; it is not started."""

    @abstractmethod
    def application(self, terminal: Terminal) -> AbstractContextManager[Application]:
        """Run what a cluster would run of the pods during the block, or look at the pods."""

    @abstractmethod
    def clients(self, terminal: Terminal) -> Clients:
        """Return clients of the application, which send nothing yet."""

    @abstractmethod
    def create(self, terminal: Terminal) -> None:
        """Create the account, its Secret and the application, as a user does."""
