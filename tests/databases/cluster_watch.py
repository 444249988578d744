"""Fills journals from a cluster: versions of the two Secrets of an account, pods that use one, restarts."""

import base64
import http.client
import json
import re
import socket
import ssl
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from kubernetes import config

from tests.databases.evidence import Pair
from tests.databases.journal import Journal, Kept

_MARKER = "keyturn.dev/secret-versions"
_NAMESPACE = re.compile(rb'"namespace":"([^"]+)"')
_PATIENCE = 30
_AGAIN = 0.1
_GONE = 410
_END = 10.0


@dataclass(frozen=True, slots=True)
class Subject:
    """One account: where its Secrets are, and its journal."""

    namespace: str
    secret: str
    journal: Journal
    password: str = "password"  # noqa: S105  # the name of a key


class _Connection:
    """One connection to the API server, with the credentials of a kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        settings: Any = config.new_client_from_config(str(kubeconfig)).configuration  # type: ignore[no-untyped-call]
        at = urlsplit(settings.host)
        context = ssl.create_default_context(cafile=settings.ssl_ca_cert)
        if settings.cert_file:
            context.load_cert_chain(settings.cert_file, settings.key_file)
        token = settings.api_key.get("authorization")
        self._headers = {"Authorization": token} if token else {}
        self._http = http.client.HTTPSConnection(
            str(at.hostname), at.port, context=context, timeout=_PATIENCE
        )

    def get(self, path: str) -> tuple[int, http.client.HTTPResponse]:
        self._http.request("GET", path, headers=self._headers)
        answer = self._http.getresponse()
        return answer.status, answer

    def json(self, path: str) -> Any:
        status, answer = self.get(path)
        content = answer.read()
        return json.loads(content) if status == http.HTTPStatus.OK else None

    def close(self) -> None:
        self._http.close()

    def end(self) -> None:
        """End it while another thread reads: a close alone takes effect after that read, in 25 s at most."""
        if self._http.sock:
            self._http.sock.shutdown(socket.SHUT_RDWR)


@dataclass
class ClusterWatch:
    """Watches Secrets, pods and Deployments of a cluster during a block."""

    kubeconfig: Path
    subjects: dict[str, Subject] = field(default_factory=dict)
    """By namespace; one may be added before its namespace has anything."""
    _ends: Event = field(default_factory=Event)
    _threads: list[Thread] = field(default_factory=list)
    _open: list[_Connection] = field(default_factory=list)
    _reader: _Connection | None = None
    """For reads between two events of pods: one for each would be slower than the events."""
    _markers: dict[tuple[str, str], str] = field(default_factory=dict)
    _versions: dict[str, str] = field(default_factory=dict)

    def add(self, subject: Subject) -> None:
        self.subjects[subject.namespace] = subject

    def __enter__(self) -> Self:
        work: tuple[tuple[str, Callable[[str, Any], None]], ...] = (
            ("/api/v1/secrets", self._on_secret),
            ("/api/v1/pods", self._on_pod),
            ("/apis/apps/v1/deployments", self._on_deployment),
        )
        self._threads = [Thread(target=self._follow, args=one, daemon=True) for one in work]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.set()
        for connection in tuple(self._open):
            with suppress(OSError):
                connection.end()
        for thread in self._threads:
            thread.join(_END)
        if self._reader:
            self._reader.close()

    def _follow(self, path: str, handle: Callable[[str, Any], None]) -> None:
        version = ""
        while not self._ends.is_set():
            connection = _Connection(self.kubeconfig)
            self._open.append(connection)
            try:
                version = version or self._list(connection, path, handle)
                for kind, body in self._events(connection, path, version):
                    version = body["metadata"]["resourceVersion"] if kind != "ERROR" else ""
                    if kind not in {"ERROR", "BOOKMARK"}:
                        handle(kind, body)
            except (OSError, http.client.HTTPException, ValueError, AttributeError):
                self._ends.wait(_AGAIN)  # the API server is away, or the block ends
            finally:
                self._open.remove(connection)
                connection.close()

    def _list(self, connection: _Connection, path: str, handle: Callable[[str, Any], None]) -> str:
        listed = connection.json(path)
        if listed is None:
            raise http.client.HTTPException(path)
        for body in listed["items"]:
            handle("ADDED", body)
        return str(listed["metadata"]["resourceVersion"])

    def _events(self, connection: _Connection, path: str, version: str) -> Iterator[tuple[str, Any]]:
        query = f"watch=1&allowWatchBookmarks=true&timeoutSeconds={_PATIENCE - 5}&resourceVersion={version}"
        status, answer = connection.get(f"{path}?{query}")
        if status == _GONE:
            yield "ERROR", {}
        while not self._ends.is_set() and (line := answer.readline()):
            event = json.loads(line)
            yield event["type"], event["object"]

    def _on_secret(self, kind: str, body: Any) -> None:
        metadata = body["metadata"]
        subject = self.subjects.get(metadata["namespace"])
        if subject is None or kind == "DELETED":
            return
        before = self._versions.get(metadata["uid"], "")
        if metadata["name"] == f"{subject.secret}-keyturn":
            current, kept = record_of(body, subject.password)
            subject.journal.record(current, kept, base=before)
        elif metadata["name"] == subject.secret and (found := _published(body, subject.password)):
            subject.journal.publish(*found, base=before)
        self._versions[metadata["uid"]] = metadata["resourceVersion"]

    def _on_pod(self, kind: str, body: Any) -> None:
        metadata, status = body["metadata"], body.get("status") or {}
        subject = self.subjects.get(metadata["namespace"])
        if subject is None or not _uses(body, subject.secret):
            return
        if kind == "DELETED" or status.get("phase") in {"Succeeded", "Failed"}:
            subject.journal.end(metadata["name"])
        elif (
            status.get("phase") == "Running"
            and not subject.journal.knows(metadata["name"])
            and (pair := self._read(subject))
        ):
            subject.journal.start(metadata["name"], pair)

    def _read(self, subject: Subject) -> Pair | None:
        """Read the Secret as a kubelet does when it starts a pod: the informer above may be behind."""
        path = f"/api/v1/namespaces/{subject.namespace}/secrets/{subject.secret}"
        self._reader = self._reader or _Connection(self.kubeconfig)
        try:
            body = self._reader.json(path)
        except (OSError, http.client.HTTPException):
            self._reader.close()
            body = self._reader.json(path)  # connects again
        found = _published(body, subject.password) if body else None
        return subject.journal.pair(*found) if found else None

    def _on_deployment(self, kind: str, body: Any) -> None:
        metadata = body["metadata"]
        subject = self.subjects.get(metadata["namespace"])
        if subject is None or kind == "DELETED":
            return
        annotations = body["spec"]["template"]["metadata"].get("annotations") or {}
        key, marker = (metadata["namespace"], metadata["name"]), annotations.get(_MARKER, "")
        if marker and self._markers.get(key, "") != marker:
            subject.journal.restart(metadata["name"])
        self._markers[key] = marker


def record_of(body: Any, item: str) -> tuple[int, list[Kept]]:
    """Return what a state Secret records of credentials: the current revision, and each with its password."""
    document = json.loads(base64.b64decode(body["data"]["state"]))
    passwords = {
        revision["number"]: base64.b64decode(revision["values"][item]["outputs"]["value"]).decode()
        for revision in document["revisions"]
        if item in revision["values"]
    }
    kept = [
        Kept(one["revision"], one["login"], one["phase"], passwords.get(one["revision"]))
        for one in document.get("credentials", ())
    ]
    return document["current"], kept


def _published(body: Any, item: str) -> tuple[str, str] | None:
    data = body.get("data") or {}
    if "username" not in data or item not in data:
        return None
    return base64.b64decode(data["username"]).decode(), base64.b64decode(data[item]).decode()


def _uses(pod: Any, secret: str) -> bool:
    sources = [source for one in pod["spec"]["containers"] for source in one.get("envFrom") or ()]
    variables = [variable for one in pod["spec"]["containers"] for variable in one.get("env") or ()]
    names = [(source.get("secretRef") or {}).get("name") for source in sources]
    names += [((one.get("valueFrom") or {}).get("secretKeyRef") or {}).get("name") for one in variables]
    names += [(volume.get("secret") or {}).get("secretName") for volume in pod["spec"].get("volumes") or ()]
    return secret in names


def retime(subjects: Sequence[Subject], audit_log: Path) -> None:
    """Give each version the time of its write.

    A watch delivers a version some milliseconds late, and a rotation is faster than that.
    """
    writes: dict[str, list[Mapping[str, Any]]] = {subject.namespace: [] for subject in subjects}
    for entry in _writes(audit_log, writes.keys()):
        writes[entry["objectRef"]["namespace"]].append(entry)
    for subject in subjects:
        _retime(subject, writes[subject.namespace])


def _retime(subject: Subject, writes: Iterable[Mapping[str, Any]]) -> None:
    state: dict[str, float] = {}
    target: dict[str, float] = {}
    for entry in writes:
        reference, at = entry["objectRef"], _seconds(entry["requestReceivedTimestamp"])
        if reference["resource"] == "secrets":
            times = {f"{subject.secret}-keyturn": state, subject.secret: target}.get(
                reference.get("name", ""), {}
            )
            times[reference.get("resourceVersion") or ""] = at
    subject.journal.retime(state, target)


def _writes(audit_log: Path, namespaces: Collection[str]) -> Iterator[Mapping[str, Any]]:
    with audit_log.open("rb") as log:
        for line in log:
            if not any(name.decode() in namespaces for name in _NAMESPACE.findall(line)):
                continue
            entry = json.loads(line)
            is_write = entry["verb"] in {"create", "update", "patch", "delete"}
            is_done = (entry.get("responseStatus") or {}).get("code", 0) < http.HTTPStatus.BAD_REQUEST
            if is_write and is_done and entry.get("objectRef", {}).get("namespace") in namespaces:
                yield entry


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
