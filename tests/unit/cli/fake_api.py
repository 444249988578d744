"""An API server of a few objects, for tests of what `keyturn` asks and prints: no operator answers it."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, Queue
from typing import Any
from urllib.parse import parse_qs, urlsplit

from keyturn.core.labels import HOLDER

Body = dict[str, Any]
_OURS = "/apis/keyturn.dev/v1alpha1/"
_CREATED = "2026-11-01T00:00:00Z"
_REASONS = {403: "Forbidden", 404: "NotFound", 422: "Invalid"}


def managed(
    name: str,
    namespace: str = "shop",
    *,
    labels: Mapping[str, str] | None = None,
    spec: Mapping[str, Any] | None = None,
    stalled: str | None = None,
    **status: Any,
) -> Body:
    """Make a ManagedSecret as the operator leaves it: revision 1 is in its Secret."""
    condition = {"status": "True", "reason": "Published", "message": "", "lastTransitionTime": _CREATED}
    conditions = [{"type": "Ready", **condition}]
    if stalled:
        conditions.append(
            {"type": "Stalled", **condition, "reason": "SecretClassNotFound", "message": stalled}
        )
    entry = {
        "revision": 1,
        "reason": "Created",
        "startedAt": _CREATED,
        "finishedAt": _CREATED,
        "result": "Succeeded",
    }
    return {
        "apiVersion": "keyturn.dev/v1alpha1",
        "kind": "ManagedSecret",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{name}",
            "generation": 1,
            "creationTimestamp": _CREATED,
            "labels": dict(labels or {}),
        },
        "spec": {"data": [{"name": "password", "generate": {"password": {}}}], **(spec or {})},
        "status": {
            "observedGeneration": 1,
            "secretName": name,
            "revision": 1,
            "history": [entry],
            "conditions": conditions,
            **status,
        },
    }


class FakeApi:
    """What the server holds, what it refuses, and what it was asked to write."""

    def __init__(self, *objects: Body, namespaces: tuple[str, ...] = ("shop",)) -> None:
        self.namespaces = set(namespaces)
        self.refused: dict[tuple[str, str], int] = {}
        """Statuses by method and a part of the path."""
        self.patched: list[str] = []
        self.url = ""
        self.objects: dict[tuple[str, str, str], Body] = {}
        self.lease: Body | None = {"holderIdentity": "one", "leaseDurationSeconds": 10}
        """The spec of the Lease, renewed at each read; None if there is no Lease."""
        self._watches: list[Queue[Body | None]] = []
        self._version = 0
        for one in objects:
            self.put(one)

    def put(self, body: Body) -> None:
        """Store an object, and tell the watches."""
        self._version += 1
        metadata = body["metadata"]
        metadata["resourceVersion"] = str(self._version)
        key = _plural(body["kind"]), metadata.get("namespace", ""), metadata["name"]
        kind = "MODIFIED" if key in self.objects else "ADDED"
        self.objects[key] = body
        self._tell({"type": kind, "object": body})

    def delete(self, name: str, namespace: str = "shop") -> None:
        self._tell({"type": "DELETED", "object": self.objects.pop(("managedsecrets", namespace, name))})

    def end_watches(self) -> None:
        """Break every watch off."""
        for watch in self._watches:
            watch.put(None)

    @property
    def is_watched(self) -> bool:
        return bool(self._watches)

    def get(self, name: str, namespace: str = "shop") -> Body:
        return self.objects["managedsecrets", namespace, name]

    def _tell(self, change: Body) -> None:
        for watch in list(self._watches):
            watch.put(change)

    def answer(self, method: str, path: str, query: dict[str, list[str]], given: Body) -> tuple[int, Body]:
        for (refused, part), status in self.refused.items():
            if refused == method and part in path:
                causes = [{"field": "spec.rotation.every", "message": "hunter2"}] if status == 422 else []
                reason = _REASONS.get(status, "BadRequest")
                return status, {"kind": "Status", "reason": reason, "details": {"causes": causes}}
        if not path.startswith(_OURS):
            return self._of_others(path)
        parts = path.removeprefix(_OURS).split("/")
        namespace = parts[1] if parts[0] == "namespaces" else None
        plural, *named = parts[2:] if namespace else parts
        if query.get("dryRun"):
            return self._dry_run((plural, namespace or "", *named), given)
        if method == "POST":
            given["metadata"] |= {"namespace": namespace, "uid": "u", "creationTimestamp": _CREATED}
            self.put(given)
            return 201, given
        if named:
            return self._one(method, (plural, namespace or "", named[0]), given)
        return self._list(plural, namespace, query)

    def _of_others(self, path: str) -> tuple[int, Body]:
        """Know the Lease and the namespaces, and nothing else in them."""
        if "/leases/" in path:
            if self.lease is None:
                return _NOT_FOUND
            signed = {HOLDER: json.dumps({"identity": "one", "version": "0.1.0"})}
            return 200, {
                "metadata": {"annotations": signed},
                "spec": {"renewTime": f"{datetime.now(UTC):%FT%TZ}", **self.lease},
            }
        if "/secrets/" in path or (path.count("/") == 4 and path.rpartition("/")[2] not in self.namespaces):
            return _NOT_FOUND
        return 200, {"metadata": {"resourceVersion": str(self._version)}, "items": []}

    def _one(self, method: str, key: tuple[str, str, str], given: Body) -> tuple[int, Body]:
        if key not in self.objects:
            return _NOT_FOUND
        if method == "PATCH":
            self.patched.append(key[2])
            self.put(_merged(self.objects[key], given))
        return 200, self.objects[key]

    def _dry_run(self, key: tuple[str, ...], given: Body) -> tuple[int, Body]:
        """Return what would be stored; nothing is validated."""
        now = self.objects.get((key[0], key[1], key[-1]))
        made = f"{datetime.now(UTC):%FT%TZ}"
        own: Body = {"uid": "u", "generation": 0, "resourceVersion": "0", "creationTimestamp": made}
        known = {name: now["metadata"][name] for name in own} if now else own
        place = {"namespace": key[1]} if key[1] else {}
        metadata = {**given["metadata"], **place, **known, "generation": known["generation"] + 1}
        return 200, {**given, "metadata": metadata, "status": now.get("status", {}) if now else {}}

    def _list(self, plural: str, namespace: str | None, query: dict[str, list[str]]) -> tuple[int, Body]:
        selector = query.get("labelSelector", [""])[0]
        if "((" in selector:
            return 400, {"kind": "Status", "reason": "BadRequest"}
        desired = dict(part.split("=") for part in selector.split(",") if part)
        field = query.get("fieldSelector", [""])[0].removeprefix("metadata.name=")
        items = [
            body
            for (kind, place, name), body in self.objects.items()
            if kind == plural
            and namespace in {None, place}
            and (not field or name == field)
            and desired.items() <= body["metadata"].get("labels", {}).items()
        ]
        return 200, {"metadata": {"resourceVersion": str(self._version)}, "items": items}

    def changes(self, timeout: float) -> Iterator[Body]:
        """Yield what happens until a watch ends."""
        watch: Queue[Body | None] = Queue()
        self._watches.append(watch)
        end = time.monotonic() + timeout
        try:
            while change := watch.get(timeout=max(end - time.monotonic(), 0.01)):
                yield change
        except Empty:
            pass
        finally:
            self._watches.remove(watch)


def _plural(kind: str) -> str:
    return f"{kind.lower()}{'es' if kind.endswith('s') else 's'}"


_NOT_FOUND = 404, {"kind": "Status", "reason": "NotFound"}


def _merged(body: Any, patch: Any) -> Any:
    """Merge as RFC 7386 has it."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(body) if isinstance(body, dict) else {}
    for name, part in patch.items():
        if part is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), part)
    return merged


@contextmanager
def fake_api(api: FakeApi) -> Iterator[FakeApi]:
    """Serve it on a port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            query = parse_qs(address.query)
            if query.get("watch"):
                self.send_response(200)
                self.end_headers()
                for change in api.changes(float(query["timeoutSeconds"][0])):
                    self.wfile.write(json.dumps(change).encode() + b"\n")
                    self.wfile.flush()
                return
            length = int(self.headers.get("Content-Length") or 0)
            given = json.loads(self.rfile.read(length)) if length else {}
            status, body = api.answer(self.command, address.path, query, given)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        do_PATCH = do_POST = do_PUT = do_GET  # noqa: N815  # the standard library's names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    api.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield api
    finally:
        api.end_watches()
        server.shutdown()
        server.server_close()
        thread.join()
