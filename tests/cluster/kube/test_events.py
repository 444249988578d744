import asyncio

import pytest

from keyturn.kube.client import Api
from keyturn.kube.events import Events, EventType, ObjectRef
from sandbox.harness import Kubectl
from tests.conftest import Cluster


async def test_an_event_is_shown_by_kubectl_describe(cluster: Cluster, api: Api, namespace: str) -> None:
    made = await api.create(f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "something"}})
    something = ObjectRef("v1", "ConfigMap", namespace, "something", made["metadata"]["uid"])
    events = Events(api, "keyturn-7d9f")
    events.record(something, "Rotated", "Revision 2 is published.")
    events.record(something, "RotationFailed", "The class is gone.", EventType.WARNING)
    await events.flush(2.0)
    shown = await asyncio.to_thread(
        Kubectl(cluster.kubeconfig), "describe", "configmap", "something", "-n", namespace
    )
    lines = [line.split(maxsplit=4) for line in shown.splitlines() if "Rotat" in line]
    assert [(type_, reason, source, note) for type_, reason, _, source, note in lines] == [
        ("Normal", "Rotated", "keyturn.dev/keyturn", "Revision 2 is published."),
        ("Warning", "RotationFailed", "keyturn.dev/keyturn", "The class is gone."),
    ]


async def test_an_event_about_a_cluster_scoped_object_is_accepted(api: Api) -> None:
    events = Events(api, "keyturn-7d9f")
    events.record(ObjectRef("v1", "Node", None, "somewhere", "uid-2"), "PolicyViolation", "Too long.")
    await events.flush(2.0)
    assert events.dropped == 0


@pytest.mark.parametrize(
    ("name", "note"), [("a" * 253, "short"), ("short", "ä" * 1024)], ids=["name", "note"]
)
async def test_an_event_with_long_words_is_accepted(api: Api, namespace: str, name: str, note: str) -> None:
    events = Events(api, "i" * 300)
    events.record(ObjectRef("v1", "Secret", namespace, name, "uid-3"), "Created", note)
    await events.flush(2.0)
    assert events.dropped == 0
