"""Transport to another cluster's API server: over the guard, with the credentials of a kubeconfig."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from keyturn.kube.client import Client
from keyturn.kube.wire import METHODS, Response

from . import errors

if TYPE_CHECKING:
    from keyturn.kube.wire import Call

    from ._kubeconfig import Kubeconfig
    from .guard import Guard


def client_of(kubeconfig: Kubeconfig, guard: Guard) -> Client:
    """Return a client that sends each request once: the store has retries and a circuit breaker of its own."""
    return Client(_GuardTransport(kubeconfig, guard), kubeconfig.server, attempts=1)


class _GuardTransport:
    """Sends calls by the rules of a tenant's URLs; responses are bounded as those of any server.

    The Date header does not count: a foreign clock says nothing about ours.
    """

    def __init__(self, kubeconfig: Kubeconfig, guard: Guard) -> None:
        self._guard = guard
        self._trust = kubeconfig.trust
        self._login = {"Authorization": f"Bearer {kubeconfig.token}"} if kubeconfig.token else {}

    async def send(self, call: Call, until: float) -> Response:  # noqa: ARG002  # no leader fence
        try:
            answer = await self._guard.ask(
                METHODS[call.verb],
                call.url,
                headers={**call.headers, **self._login},
                body=call.data,
                trust=self._trust,
            )
        except errors.Unreachable as error:
            code, hint = error.code, error.hint
        except errors.Refused as error:
            if error.code != "TooLarge" or call.most == inf:
                raise
            return Response(200, None)
        else:
            retry_after = errors.seconds(answer.headers.get("Retry-After"))
            return Response(answer.status, answer.body, retry_after)
        # Raised outside the handler: the error of the guard names the host, which a Secret holds.
        raise errors.Unreachable(code, hint)
