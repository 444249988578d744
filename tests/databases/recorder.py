"""Logs in while rotations run, as applications do, and reads from the server's catalogue what it would accept."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle, product
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self

import psycopg

from sandbox.databases import PostgresServer
from tests.databases.evidence import Answer, Attempt, Pair
from tests.databases.journal import Journal
from tests.support.soak import TIMES

RATE = 8.0 if TIMES == 1 else 20.0
"""Logins per second: in `make soak` as many as the specification of the proof says; each takes 20 ms of processor."""
_CLOSED_RATE = 2.0
_CLOSED_AT_ONCE = 3
_CATALOGUE_RATE = 5.0
_TIMEOUT = 3
"""Seconds of a login while a server may be frozen: one without an answer says nothing, and others follow."""
_PATIENCE = 60
"""Seconds of a login at a server that runs: it has an answer, however late."""
_END = 15.0
_NOT_OF_APPLICATIONS = frozenset({"user", "password", "connect_timeout"})
_REFUSALS = ("password authentication failed", "is not permitted to log in")
"""What a server with lc_messages=C answers to a password that it does not take, and to a closed login."""


def answer_to(login: str, password: str, endpoint: Mapping[str, Any], patience: int = _PATIENCE) -> Answer:
    """Log in once, and say what the server made of it."""
    try:
        psycopg.connect(
            **endpoint,
            user=login,
            password=password,
            connect_timeout=patience,
            application_name="recorder",
            gssencmode="disable",
        ).close()
    except psycopg.OperationalError as error:
        is_refused = any(text in str(error) for text in _REFUSALS)
        return Answer.REFUSED if is_refused else Answer.UNKNOWN
    return Answer.ACCEPTED


def application(server: PostgresServer) -> dict[str, Any]:
    """Return how an application connects, without its login."""
    return {name: value for name, value in server.conninfo().items() if name not in _NOT_OF_APPLICATIONS}


@dataclass
class Recorder:
    """Logs in `rate` times per second with each credential that must work, more slowly with those that must not.

    As a context manager it ends with its block; an error of one of its threads is raised there.
    """

    journals: Sequence[Journal]
    """Of accounts of one server; each tick is of the next one."""
    endpoints: Mapping[str, Mapping[str, Any]]
    """How an application connects, by the name of what it connects to."""
    admin: Mapping[str, Any]
    """How the catalogue is read."""
    rate: float = RATE
    _ends: Event = field(default_factory=Event)
    _threads: list[Thread] = field(default_factory=list)
    _errors: list[BaseException] = field(default_factory=list)
    _turns: dict[Journal, int] = field(default_factory=dict)

    def __enter__(self) -> Self:
        works: tuple[Callable[[], None], ...] = (
            lambda: self._each(self.rate, Journal.open_pairs),
            lambda: self._each(_CLOSED_RATE, self._some_closed),
            self._watch_catalogue,
        )
        self._threads = [Thread(target=self._guard, args=(work,), daemon=True) for work in works]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join(_END)
        if self._errors and error is None:
            raise self._errors[0]

    def attempt(
        self, journal: Journal, pair: Pair, endpoint: str = "server", patience: int = _TIMEOUT
    ) -> Answer:
        """Log in once with a credential, and note the answer."""
        began = time.time()
        answer = answer_to(pair.login, journal.values[pair.digest], self.endpoints[endpoint], patience)
        journal.attempts.append(Attempt(pair, began, time.time(), answer, endpoint))
        return answer

    def try_all_closed(self) -> None:
        """Log in once more with each closed credential, at each endpoint, and wait for the answers."""
        for journal in self.journals:
            self._try(journal, journal.closed_pairs(), _PATIENCE)

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # raised where the block ends
            self._errors.append(error)

    def _each(self, rate: float, pairs: Callable[[Journal], list[Pair]]) -> None:
        turns = cycle(self.journals)
        for _ in self._ticks(rate):
            journal = next(turns)
            self._try(journal, pairs(journal))

    def _some_closed(self, journal: Journal) -> list[Pair]:
        """Return a few closed credentials, others each time: there are more with each rotation."""
        pairs = journal.closed_pairs()
        start = self._turns[journal] = (self._turns.get(journal, 0) + _CLOSED_AT_ONCE) % max(len(pairs), 1)
        return (pairs[start:] + pairs[:start])[:_CLOSED_AT_ONCE]

    def _try(self, journal: Journal, pairs: list[Pair], patience: int = _TIMEOUT) -> None:
        for pair, endpoint in product(pairs, self.endpoints):
            self.attempt(journal, pair, endpoint, patience)

    def _ticks(self, rate: float) -> Iterator[None]:
        due = time.monotonic()
        while not self._ends.wait(max(0.0, due - time.monotonic())):
            due = max(due + 1 / rate, time.monotonic())
            yield

    def _watch_catalogue(self) -> None:
        session: psycopg.Connection[Any] | None = None
        for _ in self._ticks(_CATALOGUE_RATE):
            try:
                session = session or self._session()
                self._read_catalogue(session)
            except psycopg.OperationalError:
                with suppress(psycopg.Error):
                    if session:
                        session.close()
                session = None
        if session:
            session.close()

    def _session(self) -> psycopg.Connection[Any]:
        return psycopg.connect(
            **{**self.admin, "connect_timeout": _TIMEOUT},
            autocommit=True,
            application_name="recorder",
            gssencmode="disable",
        )

    def _read_catalogue(self, session: psycopg.Connection[Any]) -> None:
        query = "SELECT rolname, rolpassword FROM pg_authid WHERE rolcanlogin AND rolpassword IS NOT NULL"
        rows = session.execute(query).fetchall()
        at = time.time()
        for journal in self.journals:
            found = frozenset((name, verifier) for name, verifier in rows if name in journal.logins)
            journal.catalogue.append((at, found))
