"""A real PostgreSQL server with TLS: started with a data folder of its own, and ended with its owner."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

import psycopg
from psycopg import sql

from sandbox import runtime
from sandbox.errors import SandboxError, log_tail
from sandbox.pki import Authority, write_private

from . import programs
from .programs import ADMIN, NEWEST

HOST: Final = "127.0.0.1"
_HBA: Final = (
    f"local all {ADMIN} trust",  # the folder of the socket lets only this user in
    f"hostssl all all {HOST}/32 scram-sha-256",
)
_SETTINGS: Final = {
    "listen_addresses": HOST,
    "fsync": "off",  # the data dies with the server
    "shared_buffers": "16MB",
    "dynamic_shared_memory_type": "mmap",  # in the data folder; what is in /dev/shm outlives a killed server
    "max_connections": "100",
    "lc_messages": "C",
    "log_line_prefix": "%m [%p] %a %u ",
    "password_encryption": "scram-sha-256",
}
_TIMEOUT: Final = 60.0
_STOP_TIMEOUT: Final = 20.0
_PAUSE: Final = 0.05
_SETTLED: Final = frozenset("TtZX")
"""States of a process in /proc that it reaches when it is stopped, or has ended."""


class PostgresServer:
    """One server of one release; use it as a context manager.

    It runs as another user where the sandbox is root's, and the kernel ends it with the thread that started it.
    """

    def __init__(
        self,
        release: str = NEWEST,
        *,
        settings: Mapping[str, str] | None = None,
        hba: Iterable[str] = _HBA,
    ) -> None:
        """Prepare its folder; `settings` and `hba` are lines of postgresql.conf and pg_hba.conf."""
        self.release = release
        self.host = HOST
        (self.port,) = runtime.free_ports(1)
        self.admin = ADMIN
        self.password = secrets.token_urlsafe(24)
        self._authority = Authority.new("PostgreSQL")
        self.ca = self._authority.pair.certificate
        """What signs the server's certificate, in PEM."""
        self._program: subprocess.Popen[bytes] | None = None
        self._claim = runtime.claim_temporary("keyturn-postgresql-")
        self.folder = self._claim.folder
        self.log = self.folder / "server.log"
        self.data = self.folder / "data"
        try:
            self._prepare(settings or {}, hba)
        except BaseException:
            self.remove()
            raise

    def __repr__(self) -> str:
        return f"PostgresServer({self.release}, port {self.port})"

    def __enter__(self) -> Self:
        try:
            self.start()
            self._set_password()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    @property
    def pid(self) -> int:
        """The process whose children serve one connection each."""
        return self._running().pid

    def start(self) -> None:
        """Start it, with the port and data that it had, and wait for a login; not if it runs."""
        if self._program is not None:
            return
        options = ("-D", self.data, "-k", self.folder, "-p", str(self.port))
        with self.log.open("ab") as out:
            self._program = subprocess.Popen(
                programs.as_server(self._home / "bin" / "postgres", *options),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self.folder,
                env={"PATH": os.environ.get("PATH", ""), "TZ": "UTC", "LC_ALL": "C"},
                start_new_session=True,  # Ctrl-C is for the owner, who ends it in order
            )
        self._wait_for_login()

    def stop(self) -> None:
        """End it in order, with every session; absent is success."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it at once, as a crash of the machine does."""
        self._end(signal.SIGQUIT)

    def freeze(self) -> None:
        """Stop each of its processes, so that connections are accepted and never answered."""
        for pid in self._pids():
            _send(pid, signal.SIGSTOP)
        deadline = time.monotonic() + _TIMEOUT
        while any(_state(pid) not in _SETTLED for pid in self._pids()):
            if time.monotonic() > deadline:
                raise SandboxError("a process of PostgreSQL did not stop")
            time.sleep(_PAUSE)

    def thaw(self) -> None:
        """Let each of its processes run again."""
        for pid in self._pids():
            _send(pid, signal.SIGCONT)

    def remove(self) -> None:
        """End it, and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._claim.lock.close()

    def connect(self, database: str = ADMIN, **more: Any) -> psycopg.Connection:
        """Connect as the superuser, or as `more` says, with TLS; each statement is a transaction."""
        return psycopg.connect(**{**self.conninfo(database), **more}, autocommit=True)

    def conninfo(self, database: str = ADMIN) -> dict[str, Any]:
        """Return what a client needs to connect as the superuser."""
        return {
            "host": self.host,
            "port": self.port,
            "dbname": database,
            "user": self.admin,
            "password": self.password,
            "sslmode": "verify-full",
            "sslrootcert": str(self.folder / "ca.crt"),
            "connect_timeout": 60,
        }

    def execute(self, *statements: str, database: str = ADMIN) -> list[tuple[Any, ...]]:
        """Execute statements as the superuser, and return the rows of the last one."""
        with self.connect(database) as connection:
            for statement in statements:
                done = connection.execute(statement.encode())
            return done.fetchall() if statements and done.description else []

    def _prepare(self, settings: Mapping[str, str], hba: Iterable[str]) -> None:
        self._home = programs.install(self.release, self.folder / "programs")
        shutil.copytree(programs.data(self.release), self.data)
        self._authority.issue("PostgreSQL", names=(HOST, "localhost")).write(self.folder, "server")
        (self.folder / "ca.crt").write_bytes(self.ca)
        write_private(self.data / "pg_hba.conf", "".join(f"{line}\n" for line in hba).encode())
        tls = {
            "ssl": "on",
            "ssl_cert_file": str(self.folder / "server.crt"),
            "ssl_key_file": str(self.folder / "server.key"),
        }
        with (self.data / "postgresql.conf").open("a") as conf:
            for name, value in {**_SETTINGS, **tls, **settings}.items():
                conf.write(f"{name} = '{value}'\n")
        self.data.chmod(0o700)
        self.log.touch()
        programs.give(self.folder)

    def _set_password(self) -> None:
        change = sql.SQL("ALTER ROLE {} PASSWORD {}").format(
            sql.Identifier(ADMIN), sql.Literal(self.password)
        )
        with self._local() as connection:
            connection.execute(change)

    def _local(self) -> psycopg.Connection:
        """Connect as the superuser to the socket in the folder, which asks for no password."""
        return psycopg.connect(
            host=str(self.folder), port=self.port, user=ADMIN, dbname=ADMIN, connect_timeout=5
        )

    def _wait_for_login(self) -> None:
        deadline = time.monotonic() + _TIMEOUT
        while (ended := self._running().poll()) is None:
            try:
                self._local().close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise self._failed(f"accepted no login within {_TIMEOUT:.0f} s") from None
                time.sleep(_PAUSE)
            else:
                return
        self._program = None
        raise self._failed(f"ended with code {ended} before it accepted a login")

    def _end(self, by: signal.Signals) -> None:
        if self._program is None:
            return
        self.thaw()
        _send(self._program.pid, by)
        try:
            self._program.wait(timeout=_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            for pid in self._pids():
                _send(pid, signal.SIGKILL)
            self._program.wait()
        self._program = None

    def _pids(self) -> tuple[int, ...]:
        """Return the server's process, and those that serve connections."""
        pid = self._running().pid
        children = Path(f"/proc/{pid}/task/{pid}/children")
        try:
            return (pid, *map(int, children.read_text().split()))
        except FileNotFoundError:  # it ended
            return (pid,)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._program is None:
            raise SandboxError(f"{self!r} does not run")
        return self._program

    def _failed(self, trouble: str) -> SandboxError:
        log = log_tail(self.log)
        return SandboxError(f"PostgreSQL {self.release} {trouble}; the end of its log:\n{log}")


def _send(pid: int, what: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, what)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "X"


@contextmanager
def counted_sessions(server: PostgresServer) -> Iterator[list[int]]:
    """Count the operator's sessions 20 times a second, while the block lasts."""
    counts: list[int] = []
    over = threading.Event()

    def count() -> None:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'keyturn%'"
        with server.connect() as session:
            while not over.wait(_PAUSE):
                counts.extend(number for (number,) in session.execute(asked))

    with ThreadPoolExecutor(1) as pool:
        counting = pool.submit(count)
        try:
            yield counts
        finally:
            over.set()
    counting.result()  # raises what ended it early
