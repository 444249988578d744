"""What the API server's discovery must name before kopf asks it, which it does once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

from keyturn.controllers.discovery import find_unnamed
from keyturn.controllers.kopf_source import kopf_registry
from keyturn.controllers.watch_liveness import WatchLiveness
from keyturn.kube import config
from keyturn.kube.client import Api
from keyturn.runtime import metrics
from tests.unit.controllers.test_discovery import PLURALS

if TYPE_CHECKING:
    from sandbox import ControlPlane
    from sandbox.harness import Kubectl


async def test_what_kopf_watches_of_ours_is_what_is_waited_for(plane: ControlPlane, kubectl: Kubectl) -> None:
    del kubectl  # it brings the CRDs
    connection = await config.load(str(plane.kubeconfig))
    watches: Any = Mock(see_namespaces=True, workload_types=(), absent_kinds=set(), listed={})
    registry = kopf_registry(watches, connection, WatchLiveness())
    selectors = [handler.selector for handler in registry._watching.get_all_handlers()]
    watched = {str(one.any_name or one.plural) for one in selectors if one and one.group == "keyturn.dev"}

    async with config.session(connection) as session:
        asking = Api(session, connection.server)
        asking.on_response = metrics.count_request
        assert await find_unnamed(asking) == []
    assert watched == set(PLURALS)
