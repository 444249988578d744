"""Journals from a real API server: versions of both Secrets, when they were written, and what pods started with."""

from __future__ import annotations

import base64
import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.harness import eventually
from tests.databases.cluster_watch import ClusterWatch, Subject, retime
from tests.databases.journal import Journal
from tests.support.objects import Objects, deployment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox import ControlPlane
    from tests.conftest import Cluster


@pytest.fixture
def objects(cluster: Cluster) -> Iterator[Objects]:
    with Objects.of(cluster.kubeconfig) as objects:
        yield objects


@pytest.fixture
def subject(cluster: Cluster, namespace: str) -> Iterator[Subject]:
    subject = Subject(namespace, "orders-db", Journal("app_a", "app_b"))
    with ClusterWatch(cluster.kubeconfig, {namespace: subject}):
        yield subject


def _state(*phases: str) -> dict[str, Any]:
    document = {
        "current": 1,
        "revisions": [{"number": 1, "values": {"password": {"outputs": {"value": _encoded("first")}}}}],
        "credentials": [
            {"revision": number, "login": f"app_{'ab'[number - 1]}", "phase": phase}
            for number, phase in enumerate(phases, 1)
        ],
    }
    return {"state": _encoded(json.dumps(document))}


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _secret(name: str, data: dict[str, str]) -> dict[str, Any]:
    return {"kind": "Secret", "metadata": {"name": name}, "data": data}


def _replace(data: dict[str, str], body: dict[str, Any]) -> None:
    body["data"] = data


def _login(name: str) -> dict[str, str]:
    return {"username": _encoded(name), "password": _encoded(f"password of {name}")}


def test_each_version_of_the_record_has_the_time_of_its_write(
    plane: ControlPlane, objects: Objects, namespace: str, subject: Subject
) -> None:
    objects.create(namespace, _secret("orders-db-keyturn", _state("Staged")))
    eventually(lambda: len(subject.journal.records) == 1, "the watch has begun")
    for phase in ("Applied", "Proven"):
        state = _state(phase)
        objects.edit("Secret", namespace, "orders-db-keyturn", partial(_replace, state))
    eventually(lambda: len(subject.journal.records) == 3, "three versions")
    observed = [record.at for record in subject.journal.records]
    retime([subject], plane.audit_log)
    written = [record.at for record in subject.journal.records]

    assert [record.entries[0].phase for record in subject.journal.records] == ["Staged", "Applied", "Proven"]
    assert sorted(written) == written
    assert all(write < watch for write, watch in zip(written, observed, strict=True))


def test_a_content_is_published_once(objects: Objects, namespace: str, subject: Subject) -> None:
    objects.create(namespace, _secret("orders-db", _login("app_a")))
    eventually(lambda: len(subject.journal.publications) == 1, "the watch has begun")
    objects.edit(
        "Secret", namespace, "orders-db", lambda body: body["metadata"].update(labels={"seen": "yes"})
    )
    objects.edit("Secret", namespace, "orders-db", lambda body: body.update(data=_login("app_b")))
    eventually(lambda: len(subject.journal.publications) > 1, "both contents")

    assert [one.pair.login for one in subject.journal.publications] == ["app_a", "app_b"]


def test_a_pod_runs_with_what_the_secret_said_when_it_started(
    objects: Objects, namespace: str, subject: Subject
) -> None:
    objects.create(namespace, _secret("orders-db", _login("app_a")))
    body = deployment("web", replicas=1)
    body["spec"]["template"]["spec"]["containers"][0]["envFrom"] = [{"secretRef": {"name": "orders-db"}}]
    objects.create(namespace, body)
    eventually(lambda: len(subject.journal.runs) == 1, "the first pod")
    objects.edit("Secret", namespace, "orders-db", lambda body: body.update(data=_login("app_b")))

    def restart(body: dict[str, Any]) -> None:
        body["spec"]["template"]["metadata"]["annotations"] = {"keyturn.dev/secret-versions": "orders-db=2"}

    objects.edit("Deployment", namespace, "web", restart)
    eventually(lambda: subject.journal.runs[0].ended < float("inf"), "the end of the first pod")
    eventually(lambda: bool(subject.journal.restarts), "the restart, which another watch has")

    assert [run.pair.login for run in subject.journal.runs] == ["app_a", "app_b"]
    assert [one.workload for one in subject.journal.restarts] == ["web"]
