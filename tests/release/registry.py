"""A registry that serves an OCI layout as it stands: whatever Helm pulls from it, it pulls from any."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["serving"]


@contextmanager
def serving(layout: Path) -> Iterator[str]:
    """Serve a layout; give the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(layout))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(layout: Path) -> type[BaseHTTPRequestHandler]:
    (tagged,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    by_tag: dict[str, str] = {tagged["annotations"]["org.opencontainers.image.ref.name"]: tagged["digest"]}

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self.wfile.write(self._answer())

        def _answer(self) -> bytes:
            what, _, reference = self.path.rpartition("/")
            digest = by_tag.get(reference, reference)
            blob = layout / "blobs" / digest.replace(":", "/")
            if not what.endswith(("/manifests", "/blobs")) or not blob.is_file():
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return b""
            content: bytes = blob.read_bytes()
            self.send_response(200)
            kind = tagged["mediaType"] if what.endswith("/manifests") else "application/octet-stream"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Docker-Content-Digest", digest)
            self.end_headers()
            return content

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
