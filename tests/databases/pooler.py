"""A real PgBouncer before a PostgreSQL server, as many clusters have one: it reads passwords from the catalogue."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

import psycopg

from keyturn.databases.base import Endpoint
from sandbox import cache, runtime
from sandbox.databases import PostgresServer, programs
from sandbox.errors import SandboxError, log_tail

_PACKAGES: Final = ("pgbouncer", "libc-ares2")
_START: Final = 60.0
_PAUSE: Final = 0.05
_LOGIN: Final = 60
_CONSOLE: Final = "pgbouncer"
"""The database whose statements PgBouncer answers itself."""
_LIBRARIES: Final = "usr/lib/x86_64-linux-gnu"
_SETTINGS: Final = """\
[databases]
{database} = host={host} port={port} dbname={database} auth_user={admin}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users
admin_users = {admin}
auth_query = SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1
pool_mode = transaction
client_tls_sslmode = allow
client_tls_cert_file = {tls}.crt
client_tls_key_file = {tls}.key
server_tls_sslmode = require
ignore_startup_parameters = extra_float_digits
"""


class Pooler:
    """One PgBouncer whose `auth_query` reads `pg_authid`; it ends with its block."""

    def __init__(self, server: PostgresServer, database: str) -> None:
        self._server, self._database = server, database
        self._folder = server.folder / "pooler"
        (self._port,) = runtime.free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        files = cache.filled(
            "pgbouncer-of-the-distribution",
            "PgBouncer",
            lambda into: programs.unpack_of_distribution(_PACKAGES, into),
        )
        home = self._folder / "programs"
        shutil.copytree(files, home, symlinks=True)
        self._folder.chmod(0o755)
        settings = self._folder / "pgbouncer.ini"
        settings.write_text(
            _SETTINGS.format(
                database=self._database,
                host=self._server.host,
                port=self._server.port,
                admin=self._server.admin,
                own_port=self._port,
                folder=self._folder,
                tls=self._server.folder / "server",
            )
        )
        (self._folder / "users").write_text(f'"{self._server.admin}" "{self._server.password}"\n')
        with (self._folder / "pooler.log").open("wb") as log:
            self._process = subprocess.Popen(
                programs.as_server(home / "usr/sbin/pgbouncer", settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"LD_LIBRARY_PATH": str(home / _LIBRARIES)},
            )
        self._wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    @property
    def endpoint(self) -> Endpoint:
        """Where it answers, with the certificate of the server."""
        return Endpoint(self._server.host, self._port)

    @property
    def application(self) -> dict[str, Any]:
        """How an application connects, without its login."""
        return {"host": "127.0.0.1", "port": self._port, "dbname": self._database, "sslmode": "disable"}

    def list_user(self, name: str, password: str) -> None:
        """Add a login to its own list of users, for which it does not ask the server."""
        with (self._folder / "users").open("a") as users:
            users.write(f'"{name}" "{password}"\n')
        with self._console() as console:
            console.execute("RELOAD", prepare=False)

    def sessions(self, login: str) -> int:
        """Count the sessions at the server that it would hand to clients of a login."""
        with self._console() as console:
            rows = console.execute("SHOW SERVERS", prepare=False)
            user = next(place for place, column in enumerate(rows.description or ()) if column.name == "user")
            return sum(row[user] == login for row in rows)

    def _console(self) -> psycopg.Connection:
        return psycopg.connect(
            **{**self.application, "dbname": _CONSOLE},
            user=self._server.admin,
            password=self._server.password,
            autocommit=True,  # the console has no transactions
            connect_timeout=_LOGIN,
        )

    def _wait(self) -> None:
        deadline = time.monotonic() + _START
        login: dict[str, Any] = {"user": self._server.admin, "password": self._server.password}
        while time.monotonic() < deadline:
            with suppress(psycopg.OperationalError):
                psycopg.connect(**self.application, **login, connect_timeout=5).close()
                return
            time.sleep(_PAUSE)
        raise SandboxError(f"PgBouncer accepted no login:\n{log_tail(self._folder / 'pooler.log')}")
