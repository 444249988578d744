"""Security headers of responses, and checks of forms."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

from aiohttp import hdrs, web

from . import pages

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "again",
    "form",
    "harden",
    "icon",
    "not_found",
    "page",
    "refuse_other_sites",
    "style",
    "too_many",
    "unavailable",
]

_FORM: Final = "application/x-www-form-urlencoded"
_REQUEST_TIMEOUT: Final = 10.0
_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self';"
        " base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # no-referrer would make browsers send forms with the origin "null".
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Server": "keyturn",
}
_REFRESH: Final = "30"


async def harden(_request: web.Request, response: web.StreamResponse) -> None:
    """Set security headers: the page may be displayed, and nothing else."""
    response.headers.update(_HEADERS)


async def style(_request: web.Request) -> web.Response:
    return web.Response(text=pages.STYLE, content_type="text/css")


async def icon(_request: web.Request) -> web.Response:
    return web.Response(text=pages.ICON, content_type="image/svg+xml")


def page(text: str, *, status: HTTPStatus = HTTPStatus.OK, refresh: bool = False) -> web.Response:
    headers = {"Refresh": _REFRESH} if refresh else {}
    return web.Response(status=status, text=text, content_type="text/html", headers=headers)


def again(seconds: int) -> web.Response:
    text = pages.login(f"Too many logins were refused. Try again in {seconds} seconds.")
    answer = page(text, status=HTTPStatus.TOO_MANY_REQUESTS)
    answer.headers[hdrs.RETRY_AFTER] = str(seconds)
    return answer


def not_found() -> web.HTTPNotFound:
    """Return the same response for a missing object and one without permission."""
    sentence = "There is no such object, or you may not read it."
    return web.HTTPNotFound(text=pages.message("Not found", sentence), content_type="text/html")


def unavailable(sentence: str) -> web.HTTPServiceUnavailable:
    text = pages.message("Not now", f"{sentence} Try again in a moment.")
    return web.HTTPServiceUnavailable(text=text, content_type="text/html", headers={hdrs.RETRY_AFTER: "2"})


def too_many(seconds: int) -> web.HTTPTooManyRequests:
    text = pages.message("Too many pages", f"You open pages too fast. Try again in {seconds} seconds.")
    headers = {hdrs.RETRY_AFTER: str(seconds), "Refresh": _REFRESH}
    return web.HTTPTooManyRequests(text=text, content_type="text/html", headers=headers)


def refuse_other_sites(request: web.Request) -> None:
    """Reject cross-site forms by the headers Sec-Fetch-Site and Origin, if the browser sends them."""
    site = request.headers.get("Sec-Fetch-Site", "none")
    origin = request.headers.get(hdrs.ORIGIN, f"//{request.host}")
    if site not in {"same-origin", "none"} or _host_of(origin) != request.host:
        raise web.HTTPForbidden(text="forms of other sites are not taken\n")


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


async def form(request: web.Request) -> dict[str, str]:
    """Read a form."""
    if request.content_type != _FORM:
        raise web.HTTPUnsupportedMediaType(text="send the form of the page\n")
    try:
        async with asyncio.timeout(_REQUEST_TIMEOUT):
            body = await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="send the form at once\n") from None
    try:
        fields = parse_qs(body.decode(), max_num_fields=4)
    except ValueError:
        raise web.HTTPBadRequest(text="send the form of the page\n") from None
    return {name: values[0] for name, values in fields.items()}
