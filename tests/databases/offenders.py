"""Small rotators on a real server: one that is right, and others with one defect each."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from tests.databases.evidence import Answer
from tests.databases.journal import Kept
from tests.databases.recorder import answer_to

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.databases.journal import Journal

_PODS = 2
_TIMEOUT = 60.0


@dataclass
class World:
    """A Secret, its state Secret and its pods in memory, and an account on a real server."""

    journal: Journal
    server: Mapping[str, Any]
    """How an application connects."""
    admin: Mapping[str, Any]
    username: str
    published: int = 0
    credentials: dict[int, Kept] = field(default_factory=dict)
    version: int = 0
    _started: int = 0
    _verifiers: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def logins(self) -> tuple[str, str]:
        return f"{self.username}_a", f"{self.username}_b"

    def create(self) -> None:
        """Make the roles, closed, as an account looks before its first credential."""
        with self.session() as session:
            for login in self.logins:
                session.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(login)))

    def session(self) -> psycopg.Connection[Any]:
        patient = {**self.admin, "connect_timeout": int(_TIMEOUT)}
        return psycopg.connect(**patient, application_name="rotator", gssencmode="disable")

    def keep(self, *changed: Kept, published: int | None = None) -> None:
        """Write the record."""
        for one in changed:
            self.credentials[one.revision] = one
        self.published = self.published if published is None else published
        self.version += 1
        self.journal.record(self.published, self.credentials.values())

    def publish(self, login: str, password: str) -> None:
        self.journal.publish(login, password)

    def restart(self) -> None:
        """Replace each pod by one that reads the Secret."""
        for _ in range(_PODS):
            self._started += 1
            self.journal.start(f"pod-{self._started}")
            self.journal.end(f"pod-{self._started - _PODS}")
            self.until_recorded()

    def verifier(self, session: psycopg.Connection[Any], login: str, password: str) -> str:
        """Return what the server stores of a password: the same each time, as poolers log in with its salt."""
        if (login, password) not in self._verifiers:
            verifier = session.pgconn.encrypt_password(password.encode(), login.encode(), b"scram-sha-256")
            self._verifiers[login, password] = verifier.decode()
        return self._verifiers[login, password]

    def until_recorded(self) -> None:
        """Wait until the recorder has an answer to what must work now, and has read the catalogue."""
        since, deadline = time.time(), time.monotonic() + _TIMEOUT
        while not self._is_recorded(since):
            assert time.monotonic() < deadline, "the recorder has not logged in within the time"
            time.sleep(0.01)

    def _is_recorded(self, since: float) -> bool:
        answered = (one for one in self.journal.attempts if one.answer is not Answer.UNKNOWN)
        tried = {one.pair for one in answered if one.began >= since}
        catalogue = self.journal.catalogue
        return tried.issuperset(self.journal.open_pairs()) and bool(catalogue) and catalogue[-1][0] >= since


class Right:
    """Records before it changes, proves before it publishes, restarts before it closes."""

    def __init__(self, world: World) -> None:
        self.world = world

    def rotate(self) -> None:
        number, login, password = self.stage()
        self.apply(number)
        self.prove(number)
        self.world.publish(login, password)
        self.world.until_recorded()
        self.world.restart()
        if number > 1:
            self.revoke(number - 1)

    def stage(self) -> tuple[int, str, str]:
        number = max(self.world.credentials, default=0) + 1
        login, password = self.world.logins[(number - 1) % 2], secrets.token_urlsafe(24)
        self.world.keep(Kept(number, login, "Staged", password))
        return number, login, password

    def apply(self, number: int) -> None:
        self.bring(self.world.version)
        self.move(number, "Applied")

    def prove(self, number: int) -> None:
        kept = self.world.credentials[number]
        psycopg.connect(
            **self.world.server, user=kept.login, password=kept.password, application_name="rotator"
        ).close()
        self.move(number, "Proven", published=number)

    def revoke(self, number: int) -> None:
        self.move(number, "Closing")
        self.bring(self.world.version)
        kept = self.world.credentials[number]
        assert answer_to(kept.login, str(kept.password), self.world.server) is Answer.REFUSED
        self.world.keep(Kept(number, kept.login, "Closed", None))

    def move(self, number: int, phase: str, published: int | None = None) -> None:
        kept = self.world.credentials[number]
        self.world.keep(Kept(number, kept.login, phase, kept.password), published=published)

    def bring(self, version: int) -> None:
        """Have the server accept what the record has as open, and nothing else."""
        live = {
            one.login: one.password
            for one in self.world.credentials.values()
            if one.phase in {"Staged", "Applied", "Proven"}
        }
        self.set_roles(live, version)

    def set_roles(self, live: Mapping[str, str | None], version: int) -> None:
        with self.world.session() as session:
            session.execute("SELECT pg_advisory_xact_lock(19)")
            if self.is_fenced(version):
                return
            for login in self.world.logins:
                password = live.get(login)
                if password is None:
                    self.close(session, login)
                else:
                    self.open(session, login, password)

    def is_fenced(self, version: int) -> bool:
        return version != self.world.version

    def open(self, session: psycopg.Connection[Any], login: str, password: str) -> None:
        verifier = self.world.verifier(session, login, password)
        session.execute(
            sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(login), sql.Literal(verifier))
        )

    @staticmethod
    def close(session: psycopg.Connection[Any], login: str) -> None:
        session.execute(sql.SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL").format(sql.Identifier(login)))


class _OneLogin(Right):
    """Changes the password of one login in place."""

    def stage(self) -> tuple[int, str, str]:
        number = max(self.world.credentials, default=0) + 1
        login, password = self.world.logins[0], secrets.token_urlsafe(24)
        if number > 1:
            self.world.credentials.pop(number - 1)
        self.world.keep(Kept(number, login, "Proven", password), published=number)
        return number, login, password


class AlterThenPublish(_OneLogin):
    """Changes the password at the server, and writes the Secret afterwards."""

    def rotate(self) -> None:
        _, login, password = self.stage()
        self.bring(self.world.version)
        self.world.until_recorded()
        self.world.publish(login, password)
        self.world.until_recorded()
        self.world.restart()


class PublishThenAlter(_OneLogin):
    """Publishes a password that the server does not know yet."""

    def rotate(self) -> None:
        number, login, password = self.stage()
        if number > 1:
            self.world.publish(login, password)
            self.world.until_recorded()
        self.bring(self.world.version)
        self.world.publish(login, password)
        self.world.restart()


class AlterWithoutRecord(Right):
    """Changes the server first and records afterwards: a crash between the two loses the password."""

    def stage(self) -> tuple[int, str, str]:
        number = max(self.world.credentials, default=0) + 1
        login, password = self.world.logins[(number - 1) % 2], secrets.token_urlsafe(24)
        open_ones = {one.login: one.password for one in self.world.credentials.values() if one.password}
        self.set_roles({**open_ones, login: password}, self.world.version)
        self.world.until_recorded()
        self.world.keep(Kept(number, login, "Staged", password))
        return number, login, password


class LockWithoutRecord(Right):
    """Takes the lock and does not read the record then: one that was frozen sets what it had decided."""

    def rotate(self) -> None:
        super().rotate()
        if max(self.world.credentials) != _LAST:
            return
        number, login, password = self.stage()
        successor = Right(self.world)
        decided = self.world.version
        successor.apply(number)  # the leader is frozen here, before the lock
        successor.prove(number)
        self.world.publish(login, password)
        self.world.restart()
        successor.revoke(number - 1)
        successor.rotate()
        self.set_roles({login: password}, decided)
        self.world.until_recorded()

    def is_fenced(self, version: int) -> bool:
        del version
        return False


_LAST = 2


class CloseBeforeRestart(Right):
    """Closes the login before while pods still use it."""

    def rotate(self) -> None:
        number, login, password = self.stage()
        self.apply(number)
        self.prove(number)
        self.world.publish(login, password)
        if number > 1:
            self.revoke(number - 1)
            self.world.until_recorded()
        self.world.restart()


class PublishUnproven(Right):
    """Publishes a credential with which it never logged in."""

    def prove(self, number: int) -> None:
        self.move(number, "Proven", published=number)


class KeepOpen(Right):
    """Records a login as closed, and leaves it open."""

    def revoke(self, number: int) -> None:
        kept = self.world.credentials[number]
        self.world.keep(Kept(number, kept.login, "Closed", None))
        self.world.until_recorded()


class NoLoginOnly(Right):
    """Takes LOGIN and leaves the password, which a pooler may read and accept."""

    @staticmethod
    def close(session: psycopg.Connection[Any], login: str) -> None:
        session.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(login)))


class ForgetEarly(Right):
    """Drops a value from the record while the server still accepts it."""

    def revoke(self, number: int) -> None:
        kept = self.world.credentials.pop(number)
        self.world.keep()
        self.world.until_recorded()
        self.world.credentials[number] = kept
        super().revoke(number)


class TwoCandidates(Right):
    """Generates again after it was interrupted, though the first candidate was recorded."""

    def stage(self) -> tuple[int, str, str]:
        number, login, _ = super().stage()
        password = secrets.token_urlsafe(24)
        self.world.keep(Kept(number, login, "Staged", password))
        return number, login, password
