"""Client of another cluster's API server over the guard, with the errors of the operator's own client."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from yarl import URL

from keyturn.kube import errors as api_errors

from . import errors
from .errors import Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.kube.client import Body

    from ._kubeconfig import Kubeconfig
    from .guard import Guard

__all__ = ["Cluster"]

_JSON: Final = "application/json"
_REASON: Final = re.compile(r"[A-Z][A-Za-z]{0,62}")


class Cluster:
    """One API server with one credential; responses are bounded as those of any server."""

    def __init__(self, kubeconfig: Kubeconfig, guard: Guard) -> None:
        self._kubeconfig = kubeconfig
        self._guard = guard

    async def get(self, path: str) -> Body:
        """Read one object."""
        return await self._ask("get", "GET", path)

    async def create(self, path: str, body: Body) -> Body:
        """Create an object in the collection at `path`."""
        return await self._ask("create", "POST", path, body)

    async def replace(self, path: str, body: Body) -> Body:
        """Replace an object whose resourceVersion is that of `body`."""
        return await self._ask("update", "PUT", path, body)

    async def delete(self, path: str, preconditions: Mapping[str, str]) -> None:
        """Delete the object at `path` if `preconditions` hold. Absence is success."""
        try:
            await self._ask("delete", "DELETE", path, {"preconditions": dict(preconditions)})
        except api_errors.NotFound:
            return

    async def _ask(self, verb: str, method: str, path: str, body: Body | None = None) -> Body:
        token = self._kubeconfig.token
        login = {"Authorization": f"Bearer {token}"} if token else {}
        typed = {"Content-Type": _JSON} if body is not None else {}
        answer = await self._guard.ask(
            method,
            URL(self._kubeconfig.server + path, encoded=True),
            headers={"Accept": _JSON, **typed, **login},
            body=json.dumps(body).encode() if body is not None else None,
            trust=self._kubeconfig.trust,
        )
        found = _load(answer.body)
        if answer.status >= HTTPStatus.BAD_REQUEST:
            retry_after = errors.seconds(answer.headers.get("Retry-After"))
            where = path.partition("?")[0]
            raise api_errors.of_answer(verb, where, answer.status, _reason(found), retry_after=retry_after)
        if found is None:
            raise Unreachable("MalformedAnswer")
        return found


def _load(content: bytes) -> dict[str, Any] | None:
    """Parse a JSON object, or return None: the parser's error quotes the text, so it ends here."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _reason(status: Body | None) -> str:
    reason = status.get("reason") if status else None
    return reason if isinstance(reason, str) and _REASON.fullmatch(reason) else "Unknown"
