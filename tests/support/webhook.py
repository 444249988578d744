"""Real admission webhook: an https server with scripted answers."""

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeAlias

from sandbox.pki import Authority
from tests.support.objects import Body

Review: TypeAlias = "Callable[[Body], Body]"
"""What is answered to a request."""


def allow(_: Body) -> Body:
    return {"allowed": True}


def deny(code: int, reason: str = "") -> Review:
    """Deny with a status of one's own; without a reason the API server calls it a bad request."""
    return lambda _: {"allowed": False, "status": {"code": code, "reason": reason, "message": "no"}}


def patch(*changes: Body) -> Review:
    """Change what is written, by a JSON patch."""
    text = base64.b64encode(json.dumps(changes).encode()).decode()
    return lambda _: {"allowed": True, "patchType": "JSONPatch", "patch": text}


@dataclass(eq=False)
class Webhook:
    """What it was asked, and what it answers."""

    authority: bytes
    """The certificate of who vouches for it."""
    url: str = ""
    review: Review = allow
    asked: list[Body] = field(default_factory=list)
    """Operation, kind and name of each request, without what is in it."""

    def answer(self, question: Body) -> Body:
        request = question["request"]
        self.asked.append(
            {name: request.get(name) for name in ("operation", "name")} | {"kind": request["kind"]["kind"]}
        )
        response = {"uid": request["uid"], **self.review(request)}
        return {"apiVersion": question["apiVersion"], "kind": question["kind"], "response": response}


@contextmanager
def webhook(folder: Path) -> Iterator[Webhook]:
    """Run one, with a certificate that it keeps in a folder."""
    authority = Authority.new("webhook")
    authority.issue("webhook", names=["127.0.0.1"]).write(folder, "webhook")
    made = Webhook(authority.pair.certificate)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            content = json.dumps(made.answer(question)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "webhook.crt", folder / "webhook.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    made.url = f"https://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
