"""Listener of `keyturn ui` on the loopback address: who may ask, and what a browser may do with an answer."""

import asyncio
import hmac
import os
import secrets
import signal
import socket
import sys
import tempfile
import webbrowser
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Final

import click
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from keyturn import __version__
from keyturn.cli.cluster import Cluster, sentence
from keyturn.cli.printing import print_lines
from keyturn.kube import errors

from . import pages
from .pages import Reads

_HOST: Final = "127.0.0.1"
_TOKEN_BYTES: Final = 32
_REFRESH: Final = "30"
_OBJECT: Final = "{namespace:[a-z0-9][-a-z0-9]*}/{name:[a-z0-9][-a-z0-9.]*}"
_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self';"
        " base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Server": "keyturn",
}


async def serve(cluster: Cluster, port: int, *, everywhere: bool, opens_browser: bool) -> None:
    """Serve until a signal ends the process, and print the address."""
    listener = _listener(port)
    address, root = f"{_HOST}:{listener.getsockname()[1]}", f"/{secrets.token_urlsafe(_TOKEN_BYTES)}"
    app = application(Reads(cluster, everywhere=everywhere), address, root)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        url, ended = f"http://{address}{root}", _end()
        print_lines(f"Web UI: {url}", "Only you can open it, and it ends with Ctrl-C.")
        with ExitStack() as stack:
            if opens_browser and _has_screen():
                await asyncio.to_thread(webbrowser.open, stack.enter_context(_file_that_leads_to(url)))
            await ended.wait()
    finally:
        await runner.cleanup()


def application(reads: Reads, address: str, root: str) -> web.Application:
    """Serve the pages below the path `root`, for requests to `address` alone."""
    app = web.Application(middlewares=[_guard(address, root, reads.cluster.server)])
    app.on_response_prepare.append(_harden)
    ui = _Ui(reads, root)
    app.add_routes(
        [
            web.get(root, ui.overview),
            web.get(f"{root}/connections", ui.connections),
            web.get(f"{root}/secrets/{_OBJECT}", ui.secret),
            web.get(f"{root}/emergencies/{_OBJECT}", ui.emergency),
            web.get(f"{root}/{{file:style.css|icon.svg}}", ui.file),
        ]
    )
    return app


class _Ui:
    """Handlers of the pages."""

    def __init__(self, reads: Reads, root: str) -> None:
        self._reads, self._root = reads, root

    async def overview(self, request: web.Request) -> web.Response:
        found = await self._reads.overview()
        return self._page("overview.html", pages.overview(found, request.query.get("namespace", "")))

    async def connections(self, _: web.Request) -> web.Response:
        return self._page("connections.html", pages.connections(await self._reads.connections()))

    async def secret(self, request: web.Request) -> web.Response:
        found = await self._reads.secret(**request.match_info)
        return self._page("secret.html", pages.secret(found, self._reads.cluster.now()))

    async def emergency(self, request: web.Request) -> web.Response:
        found = await self._reads.emergency(**request.match_info)
        return self._page("emergency.html", pages.emergency(found, self._reads.cluster.now()))

    async def file(self, request: web.Request) -> web.Response:
        name = request.match_info["file"]
        kind = "text/css" if name.endswith(".css") else "image/svg+xml"
        return web.Response(text=pages.file(name), content_type=kind)

    def _page(self, template: str, shown: Mapping[str, object]) -> web.Response:
        reads = self._reads
        frame = {
            "root": self._root,
            "scope": f"namespace {reads.namespace}" if reads.namespace else "all namespaces",
            "server": reads.cluster.server,
            "now": pages.exact(reads.cluster.now()),
            "version": __version__,
        }
        answer = _html(pages.rendered(template, {**frame, **shown}))
        answer.headers["Refresh"] = _REFRESH
        return answer


def _guard(address: str, root: str, server: str) -> Middleware:
    """Refuse what does not come from the printed address, and turn errors into pages.

    The host keeps out web sites whose name leads to 127.0.0.1, the path other users of the machine.
    """

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if refused := _refusal(request, address, root):
            return web.Response(status=refused, text="open the address that `keyturn ui` printed\n")
        try:
            return await handler(request)
        except (web.HTTPException, errors.NotFound):
            title, text, status = "Not found", "There is no such page or object.", HTTPStatus.NOT_FOUND
        except errors.ApiError as error:
            title, text, status = "Not readable", sentence(error, server), HTTPStatus.BAD_GATEWAY
        except Exception as error:  # noqa: BLE001  # its text may quote a value, so only its kind is shown
            title, status = "Defect", HTTPStatus.INTERNAL_SERVER_ERROR
            text = f"Unexpected {type(error).__name__}, a defect of keyturn {__version__}; please report it."
        return _html(pages.rendered("message.html", {"root": root, "title": title, "sentence": text}), status)

    return guard


def _refusal(request: web.Request, address: str, root: str) -> HTTPStatus | None:
    if request.headers.get(hdrs.HOST) != address:
        return HTTPStatus.FORBIDDEN
    if request.method not in {hdrs.METH_GET, hdrs.METH_HEAD}:
        return HTTPStatus.METHOD_NOT_ALLOWED
    first = request.rel_url.raw_path.split("/")[1]
    return None if hmac.compare_digest(f"/{first}".encode(), root.encode()) else HTTPStatus.NOT_FOUND


def _html(text: str, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return web.Response(status=status, text=text, content_type="text/html")


async def _harden(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)


def _listener(port: int) -> socket.socket:
    try:
        return socket.create_server((_HOST, port))
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
        raise click.ClickException(f"cannot listen on {_HOST}:{port}: {why}; choose another --port") from None


def _end() -> asyncio.Event:
    """Return what is set by Ctrl-C, a kill, or the end of the terminal, unless that is ignored."""
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, ended.set)
    return ended


@contextmanager
def _file_that_leads_to(url: str) -> Iterator[str]:
    """Write a private file for the browser: other users can read the arguments of a process, and so the address."""
    home = os.path.expanduser("~")  # noqa: PTH111  # Path's own needs a home
    # Browsers in a snap read no temporary and no hidden files.
    place = home if os.access(home, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="keyturn-ui-", dir=place) as folder:
        file = Path(folder) / "open.html"
        file.write_text(f'<!doctype html><meta http-equiv="refresh" content="0;url={url}">', encoding="utf-8")
        yield file.as_uri()


def _has_screen() -> bool:
    """Whether a browser has a window of its own; a text browser would take the terminal."""
    return sys.platform == "darwin" or any(map(os.environ.get, ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")))
