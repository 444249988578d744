"""Collects evidence while rotations run: what was recorded, published and started, and what to log in with."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock

from tests.databases.evidence import Attempt, Entry, Pair, Publication, Record, Restart, Run
from tests.faults.namespace import digest


@dataclass(frozen=True, slots=True)
class Kept:
    """One credential of a record, with its password in memory; None where the record has dropped it."""

    revision: int
    login: str
    phase: str
    password: str | None


class Journal:
    """Evidence of one account, written by several threads; passwords are in `values` only."""

    def __init__(self, *logins: str) -> None:
        self.logins = frozenset(logins)
        self.values: dict[str, str] = {}
        """The passwords by their digests."""
        self.attempts: list[Attempt] = []
        self.records: list[Record] = []
        self.publications: list[Publication] = []
        self.restarts: list[Restart] = []
        self.catalogue: list[tuple[float, frozenset[tuple[str, str]]]] = []
        """The logins that the server would accept, with their verifiers, at moments."""
        self._record_bases: list[str] = []
        self._publication_bases: list[str] = []
        self._runs: dict[str, Run] = {}
        self._lock = Lock()

    @property
    def runs(self) -> Sequence[Run]:
        with self._lock:
            return sorted(self._runs.values(), key=lambda run: run.began)

    def pair(self, login: str, password: str) -> Pair:
        """Name a credential by the digest of its password, and keep the password for the logins to come."""
        name = digest(password.encode())
        self.values[name] = password
        return Pair(login, name)

    def record(self, current: int, credentials: Iterable[Kept], base: str = "") -> None:
        """Add a version of the state Secret; `base` is the resourceVersion that its writer had read."""
        entries = [
            Entry(one.revision, one.login, one.phase, self._digest(one.password)) for one in credentials
        ]
        with self._lock:
            self.records.append(Record(time.time(), current, tuple(entries)))
            self._record_bases.append(base)

    def publish(self, login: str, password: str, base: str = "") -> None:
        """Add a content of the target Secret, where it differs from the one before."""
        observed = time.time()
        pair = self.pair(login, password)
        with self._lock:
            if not self.publications or self.publications[-1].pair != pair:
                self.publications.append(Publication(observed, observed, pair))
                self._publication_bases.append(base)

    def retime(self, records: Mapping[str, float], publications: Mapping[str, float]) -> None:
        """Give each version the time of its write, by the version that its writer had read."""
        with self._lock:
            self.records = [
                replace(one, at=min(one.at, records.get(base, one.at)))
                for one, base in zip(self.records, self._record_bases, strict=True)
            ]
            self.publications = [
                replace(one, at=min(one.at, publications.get(base, one.at)))
                for one, base in zip(self.publications, self._publication_bases, strict=True)
            ]

    def restart(self, workload: str) -> None:
        self.restarts.append(Restart(workload, time.time()))

    def knows(self, pod: str) -> bool:
        return pod in self._runs

    def start(self, pod: str, pair: Pair | None = None) -> None:
        """Note that a pod starts with a credential, or with what the Secret says now."""
        with self._lock:
            if pod not in self._runs and (pair or self.publications):
                self._runs[pod] = Run(pod, pair or self.publications[-1].pair, time.time())

    def end(self, pod: str) -> None:
        with self._lock:
            if pod in self._runs and self._runs[pod].ended == math.inf:
                self._runs[pod] = replace(self._runs[pod], ended=time.time())

    def open_pairs(self) -> list[Pair]:
        """Return what must be accepted now: what is published, what pods run with, what is recorded as applied."""
        with self._lock:
            found = {run.pair for run in self._runs.values() if run.ended == math.inf}
            found |= {one.pair for one in self.publications[-1:]}
            for record in self.records[-1:]:
                found |= {
                    one.pair for one in record.entries if one.phase in {"Applied", "Proven"} and one.digest
                }
            return sorted(found)

    def closed_pairs(self) -> list[Pair]:
        """Return what the newest record no longer has, or has as closed."""
        with self._lock:
            known = {one.pair for record in self.records for one in record.entries if one.digest}
            kept = {
                one.pair for record in self.records[-1:] for one in record.entries if one.phase != "Closed"
            }
            return sorted(known - kept)

    def _digest(self, password: str | None) -> str:
        return "" if password is None else self.pair("", password).digest
