"""Request handlers of the dashboard: login, first page, object pages, logout; all read-only."""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import structlog
from aiohttp import hdrs, web

from keyturn import __version__
from keyturn.core.keys import EmergencyKey, ObjectKey
from keyturn.kube import errors
from keyturn.kube.callers import is_like_a_token
from keyturn.kube.jwt import end_of
from keyturn.runtime import metrics
from keyturn.runtime.clock import loop_time

from . import answers, pages
from .board import Board, clocks_of
from .details import about_emergency, about_secret
from .login import AUDIENCE, viewer_of
from .rights import Rights, Unknown
from .sessions import Session, Sessions
from .throttle import PageLimit, Throttle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from keyturn.kube.cache.cache import InformerCache
    from keyturn.kube.client import Api

    from .details import Shown
    from .rights import VisibleNamespaces

__all__ = ["Served", "Ui"]

_LOGIN: Final = f"{pages.ROOT}/login"
_REQUEST_TIMEOUT: Final = 10.0
_MAX_CONCURRENT: Final = 2
_MAX_NAMESPACE_LENGTH: Final = 63
_REFUSED: Final = (
    "The API server rejects this token. It may have expired, or it was created without"
    f" --audience={AUDIENCE}."
)
_NOTHING_TO_SEE: Final = (
    "This account may list neither ManagedSecrets nor EmergencyRotations in any namespace that has some. It needs the"
    " verb list on managedsecrets.keyturn.dev."
)
_NOT_ASKED: Final = "The API server could not check the token; the operator's log has the cause."

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Served:
    """What the handlers need."""

    cache: InformerCache
    now: Callable[[], datetime]
    """Clock of the API server, which decides when tokens expire."""
    myself: str
    leader: Callable[[], str]
    """Identity of the leader; empty without one."""
    unready: Callable[[], list[str]]
    is_secure: bool
    """Whether it is served over TLS."""


class Ui:
    """Runs in every replica, from its own cache. A session is valid in the replica that created it."""

    largest_body = 32 * 1024

    def __init__(self, served: Served, api: Api) -> None:
        """`api` sends requests also without leadership."""
        self._served = served
        self._api = api
        self._sessions = Sessions()
        self._rights = Rights(api)
        self._board = Board(served.cache, served.now)
        self._throttle = Throttle()
        self._turns = asyncio.Semaphore(_MAX_CONCURRENT)
        self._page_limit = PageLimit()
        self._overviews = asyncio.Semaphore(_MAX_CONCURRENT)
        # Browsers accept a __Host- cookie over TLS only, and from this host alone.
        self._cookie = "__Host-keyturn-ui" if served.is_secure else "keyturn-ui"

    @staticmethod
    def announce() -> None:
        """Export all counters with 0: an alert on an increase misses a counter that begins at 1."""
        metrics.AUTHENTICATION_FAILURES.labels("ui")

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self._home),
            web.get(pages.ROOT, self.overview),
            web.get(f"{pages.ROOT}/", self._home),
            web.get(_LOGIN, self.ask),
            web.post(_LOGIN, self.log_in),
            web.post(f"{pages.ROOT}/logout", self.log_out),
            web.get(f"{pages.ROOT}/secrets/{{namespace}}/{{name}}", self.secret),
            web.get(f"{pages.ROOT}/emergencies/{{namespace}}/{{name}}", self.emergency),
            web.get(f"{pages.ROOT}/style.css", answers.style),
            web.get(f"{pages.ROOT}/icon.svg", answers.icon),
        ]

    # Pages

    @staticmethod
    async def _home(_request: web.Request) -> web.Response:
        raise web.HTTPSeeOther(pages.ROOT)

    async def overview(self, request: web.Request) -> web.Response:
        session = self._session(request)
        scope = await self._scope(session)
        chosen, now = request.query.get("namespace", ""), self._served.now()
        shown = {chosen} & scope.namespaces if chosen else scope.namespaces
        async with self._overviews:
            rows = await self._board.rows()
            text = await asyncio.to_thread(
                lambda: pages.overview(
                    rows.of(scope.secrets & shown),
                    clocks_of(self._served.cache, sorted(scope.emergencies & shown), now),
                    namespaces=scope.namespaces,
                    chosen=chosen,
                    session=session,
                    served=self._standing(),
                    now=now,
                )
            )
        return answers.page(text, refresh=True)

    async def secret(self, request: web.Request) -> web.Response:
        session, key = self._session(request), ObjectKey(**request.match_info)
        is_visible = key.namespace in (await self._scope_of(session, key.namespace)).secrets
        found = self._served.cache.managed(key) if is_visible else None
        if found is None:
            raise answers.not_found()
        now = self._served.now()
        return await self._details("secret.html", about_secret(*found, now), session, now)

    async def emergency(self, request: web.Request) -> web.Response:
        session, key = self._session(request), EmergencyKey(**request.match_info)
        is_visible = key.namespace in (await self._scope_of(session, key.namespace)).emergencies
        found = self._served.cache.emergencies.declared(key) if is_visible else None
        if found is None:
            raise answers.not_found()
        now = self._served.now()
        return await self._details("emergency.html", about_emergency(found.emergency, now), session, now)

    async def _details(self, name: str, shown: Shown, session: Session, now: datetime) -> web.Response:
        text = await asyncio.to_thread(pages.details, name, shown, session, self._standing(), now)
        return answers.page(text, refresh=True)

    def _standing(self) -> dict[str, str]:
        """Return pod, leader and readiness for the footer."""
        leader, myself = self._served.leader(), self._served.myself
        if leader == myself:
            standing = "this replica leads"
        elif leader:
            standing = f"{_pod(leader)} leads, this replica is on standby"
        else:
            standing = "no replica leads: nothing is being rotated"
        return {"standing": standing, "pod": _pod(myself), "version": __version__}

    # Permissions

    def _session(self, request: web.Request) -> Session:
        session = self._sessions.find(request.cookies.get(self._cookie, ""), self._served.now())
        if session is None:
            raise web.HTTPSeeOther(_LOGIN)
        if wait := self._page_limit.wait(session.viewer.name, loop_time()):
            raise answers.too_many(int(wait) + 1)
        if self._served.unready():
            raise answers.unavailable("The operator has just started, and its cache is not complete yet.")
        return session

    async def _scope(self, session: Session) -> VisibleNamespaces:
        cache = self._served.cache
        secrets, emergencies = cache.managed_namespaces(), cache.emergencies.namespaces()
        return await _known(self._rights.scope(session, secrets, emergencies))

    async def _scope_of(self, session: Session, namespace: str) -> VisibleNamespaces:
        """Return whether a viewer may list the objects of a namespace.

        It comes before a look into the cache, so that the time of a response does not depend on what is hidden.
        """
        if len(namespace) > _MAX_NAMESPACE_LENGTH:
            raise answers.not_found()
        return await _known(self._rights.of_namespace(session, namespace))

    # Login and logout

    async def ask(self, _request: web.Request) -> web.Response:
        return answers.page(pages.login())

    async def log_in(self, request: web.Request) -> web.Response:
        answers.refuse_other_sites(request)
        address = request.remote or ""
        if wait := self._throttle.wait(address, loop_time()):
            return answers.again(int(wait) + 1)
        token = (await answers.form(request)).get("token", "").strip()
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT), self._turns:
                return await self._let_in(token, request)
        except (errors.ApiError, TimeoutError) as error:
            _log.warning(
                "dashboard login check failed", error=error, hint="is manifests/components/ui applied?"
            )
            return answers.page(pages.login(_NOT_ASKED), status=HTTPStatus.SERVICE_UNAVAILABLE)

    async def _let_in(self, token: str, request: web.Request) -> web.Response:
        viewer = await viewer_of(token, self._api) if is_like_a_token(token) else None
        if viewer is None:
            metrics.AUTHENTICATION_FAILURES.labels("ui").inc()
            _log.warning("dashboard login refused", address=request.remote)
            return answers.page(pages.login(_REFUSED), status=HTTPStatus.UNAUTHORIZED)
        key, session = self._sessions.begin(viewer, end_of(token.encode()), self._served.now())
        if not self._served.unready() and not (await self._scope(session)).namespaces:
            self._sessions.end(key)
            _log.warning("dashboard login without permission", user=viewer.name)
            return answers.page(pages.login(_NOTHING_TO_SEE), status=HTTPStatus.FORBIDDEN)
        self._throttle.forgive(request.remote or "")
        self._sessions.end(request.cookies.get(self._cookie, ""))
        _log.info("dashboard login accepted", user=viewer.name)
        answer = web.Response(status=HTTPStatus.SEE_OTHER, headers={hdrs.LOCATION: pages.ROOT})
        answer.set_cookie(
            self._cookie, key, path="/", httponly=True, samesite="Strict", secure=self._served.is_secure
        )
        return answer

    async def log_out(self, request: web.Request) -> web.Response:
        answers.refuse_other_sites(request)
        key = request.cookies.get(self._cookie, "")
        # Without a session no body is waited for.
        if session := self._sessions.find(key, self._served.now()):
            proof = (await answers.form(request)).get("proof", "")
            if not hmac.compare_digest(proof.encode(), session.proof.encode()):
                raise web.HTTPForbidden(text="this form is not of your session\n")
            self._sessions.end(key)
        answer = web.Response(status=HTTPStatus.SEE_OTHER, headers={hdrs.LOCATION: _LOGIN})
        answer.del_cookie(
            self._cookie, path="/", httponly=True, samesite="Strict", secure=self._served.is_secure
        )
        return answer


async def _known(scope: Awaitable[VisibleNamespaces]) -> VisibleNamespaces:
    try:
        return await scope
    except Unknown:
        raise answers.unavailable("The API server could not check your permissions.") from None


def _pod(identity: str) -> str:
    """Return the pod name of a lease identity."""
    return identity.rpartition("_")[0] or identity
