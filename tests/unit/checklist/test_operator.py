"""Where a look at a cluster expects the operator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest

from keyturn.checklist.operator import find_namespace
from keyturn.kube import errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass
class Page:
    items: list[Any]


@dataclass
class Server:
    """An API server with Deployments of the operator in these namespaces, one page for each."""

    namespaces: tuple[str, ...]
    refusal: errors.ApiError | None = None

    async def pages(self, path: str, query: Any, **_: Any) -> AsyncIterator[Page]:
        assert (path, query["labelSelector"]) == (
            "/apis/apps/v1/deployments",
            "app.kubernetes.io/name=keyturn",
        )
        for one in self.namespaces:
            yield Page([{"metadata": {"name": "keyturn", "namespace": one}}])
        if self.refusal:
            raise self.refusal


@pytest.mark.parametrize(
    ("server", "namespace"),
    [
        (Server(("security",)), "security"),
        (Server(("security", "security")), "security"),
        (Server(()), "keyturn-system"),
        (Server(("security", "shop")), "keyturn-system"),
        (Server((), errors.Forbidden("list", "deployments", 403, "Forbidden")), "keyturn-system"),
        (Server(("security",), errors.Unavailable("list", "deployments", 503, "x")), "keyturn-system"),
    ],
    ids=["one", "two of one namespace", "none", "one of a stranger", "no right to look", "half an answer"],
)
async def test_the_operator_is_where_its_only_deployment_is(server: Server, namespace: str) -> None:
    assert await find_namespace(cast("Any", server)) == namespace
