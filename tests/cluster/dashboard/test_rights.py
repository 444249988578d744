"""Who somebody is and what they may see, by the answers of a real API server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from keyturn.endpoints.dashboard import rights
from keyturn.endpoints.dashboard.login import viewer_of
from keyturn.endpoints.dashboard.rights import Rights, Unknown, VisibleNamespaces
from keyturn.endpoints.dashboard.sessions import Session
from keyturn.kube import config, errors
from keyturn.kube.client import Api
from keyturn.kube.jwt import end_of
from tests.cluster.dashboard.dashboard_cluster import applied, role

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.cluster.dashboard.dashboard_cluster import Dashboard

_SOON = datetime(2200, 1, 1, tzinfo=UTC)
_NAMESPACES = {"shop", "bank", "stage"}


@pytest.fixture
async def api(account: Path) -> AsyncIterator[Api]:
    """Ask with the rights that the component gives."""
    connection = await config.load(str(account))
    async with config.session(connection) as session:
        yield Api(session, connection.server)


@pytest.fixture
async def powerless(dashboard: Dashboard, tmp_path: Path) -> AsyncIterator[Api]:
    path = dashboard.plane.service_account_kubeconfig("shop", "stranger", tmp_path / "stranger")
    connection = await config.load(str(path))
    async with config.session(connection) as session:
        yield Api(session, connection.server)


async def session_of(name: str, dashboard: Dashboard, api: Api) -> Session:
    viewer = await viewer_of(dashboard.token(name), api)
    assert viewer
    return Session(viewer, _SOON)


async def test_a_token_for_the_page_names_its_account_and_end(dashboard: Dashboard, api: Api) -> None:
    token = dashboard.token("developer")
    viewer, end = await viewer_of(token, api), end_of(token.encode())

    assert viewer
    assert viewer.name == "system:serviceaccount:shop:developer"
    assert {"system:serviceaccounts", "system:serviceaccounts:shop"} <= set(viewer.groups)
    assert end
    assert timedelta(minutes=55) < end - datetime.now(UTC) <= timedelta(hours=1)


async def test_a_token_for_the_api_server_is_none_for_the_page(dashboard: Dashboard, api: Api) -> None:
    assert await viewer_of(dashboard.token("developer", "https://kubernetes.default.svc"), api) is None


async def test_without_the_component_no_access_review_is_possible(
    dashboard: Dashboard, powerless: Api
) -> None:
    with pytest.raises(errors.Forbidden):
        await viewer_of(dashboard.token("developer"), powerless)


@pytest.mark.parametrize(
    ("name", "scope"),
    [
        ("developer", VisibleNamespaces(frozenset({"shop"}), frozenset({"shop"}))),
        ("auditor", VisibleNamespaces(frozenset(_NAMESPACES), frozenset(_NAMESPACES))),
        ("steward", VisibleNamespaces(frozenset(), frozenset({"stage"}))),
        ("stranger", VisibleNamespaces(frozenset(), frozenset())),
    ],
)
async def test_a_scope_is_what_they_may_list(
    name: str, scope: VisibleNamespaces, dashboard: Dashboard, api: Api
) -> None:
    session = await session_of(name, dashboard, api)

    assert await Rights(api).scope(session, _NAMESPACES, _NAMESPACES) == scope


async def test_a_right_that_is_taken_away_is_gone_soon(
    dashboard: Dashboard, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rights, "_CACHE_SECONDS", 0.0)
    dashboard.kubectl("create", "serviceaccount", "leaver", "-n", "shop")
    applied(dashboard.kubectl, role("leaver", "bank", "managedsecrets"))
    session, asked = await session_of("leaver", dashboard, api), Rights(api)
    before = await asked.scope(session, _NAMESPACES, ())
    dashboard.kubectl("delete", "rolebinding", "leaver", "-n", "bank")

    assert before.secrets == {"bank"}
    assert (await asked.scope(session, _NAMESPACES, ())).secrets == set()


async def test_an_answer_is_remembered_for_a_while(dashboard: Dashboard, api: Api, powerless: Api) -> None:
    session = await session_of("developer", dashboard, api)
    known = await Rights(api).scope(session, {"shop"}, ())

    assert await Rights(powerless).scope(session, {"shop"}, ()) == known


async def test_what_is_not_answered_is_not_taken_for_a_yes(
    dashboard: Dashboard, api: Api, powerless: Api
) -> None:
    session = await session_of("auditor", dashboard, api)

    with pytest.raises(Unknown):
        await Rights(powerless).scope(session, _NAMESPACES, ())
