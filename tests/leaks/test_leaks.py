import base64
import hashlib
import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import ControlPlane
from sandbox.harness import installation
from tests.faults.apiserver import USER, Call, Cluster
from tests.faults.namespace import workload_namespaces
from tests.leaks.leak_gate import ValueRecorder, generated
from tests.leaks.lifecycle import Lifecycle
from tests.leaks.scan import leaks
from tests.support.kept_operator import KeptOperator

_ROOT = Path(__file__).parents[2]
_OURS = (
    "the operator's log",
    "the operator's metrics",
    "the operator's command line",
    "the operator's environment",
    "the pages of keyturn ui",
)
# A review asks what the caller itself may; it has no namespace and is not stored.
_FOR_ALL = {"", "secretclasses", "clustersecretstores", "clusterdatabasetargets", "selfsubjectaccessreviews"}
_SERVERS = (
    "the audit log",
    "events.events.k8s.io",
    "managedsecrets.keyturn.dev",
    "secretstores.keyturn.dev",
    "deployments.apps",
    "pods",
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster of its own: every call and every object in it belongs to this one life."""
    with ControlPlane.start() as plane:
        cluster = Cluster(plane)
        installation.install_crds(cluster.kubectl)
        cluster.kubectl("apply", "-k", str(_ROOT / "manifests" / "base" / "access"))
        cluster.kubectl("apply", "-k", str(_ROOT / "manifests" / "classes"))
        cluster.kubectl("apply", "-f", "-", given=_CLASSES)
        yield cluster


@pytest.fixture(scope="module")
def lifecycle(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Lifecycle:
    """One operator at its most talkative, for one namespace, through everything that can happen."""
    folder = tmp_path_factory.mktemp("leaks")
    (space,) = workload_namespaces(cluster, 1)
    kubeconfig = cluster.account("leaks", folder)
    operator = KeptOperator(
        kubeconfig,
        folder / "operator.log",
        f"--namespace={space.namespace}",
        "--allow-host=127.0.0.1",
        env={"POD_NAMESPACE": "keyturn-faults"},
        program=("-m", "keyturn"),  # its command line and environment are looked at
    )
    with operator:
        lifecycle = Lifecycle(cluster, space, operator)
        lifecycle.lead()
    return lifecycle


def test_the_life_had_enough_to_leak(lifecycle: Lifecycle) -> None:
    counts = (
        len(lifecycle.canaries),
        len(lifecycle.values),
    )  # apart, so that a failure shows no more than these
    assert min(counts) >= 6
    assert max(counts) >= 14


@pytest.mark.parametrize("place", [*_OURS, *_SERVERS])
def test_a_scanned_place_is_not_empty(lifecycle: Lifecycle, place: str) -> None:
    size = len(lifecycle.places[place])
    assert size > 20


def test_no_value_is_found_outside_of_secrets_in_any_form(lifecycle: Lifecycle) -> None:
    found = leaks(lifecycle.values, lifecycle.places)
    assert found == set()


def test_the_gate_of_every_run_remembers_the_value_of_each_secret(lifecycle: Lifecycle) -> None:
    kubeconfig, everything = (
        lifecycle.cluster.plane.kubeconfig,
        generated(lifecycle.cluster.items("/api/v1/secrets")),
    )
    of_all, of_one, of_none = ValueRecorder(), ValueRecorder(), ValueRecorder()

    of_all.record(kubeconfig)
    of_one.record(kubeconfig, lifecycle.space.namespace)
    of_none.record(kubeconfig, "kube-system")

    # Counts, because a failure shows what it compares.
    missing = [len(everything - recorder.values.keys()) for recorder in (of_all, of_one, of_none)]
    assert missing == [0, 0, len(everything)]


def test_an_error_that_is_unexpected_was_logged_with_its_place(lifecycle: Lifecycle) -> None:
    failures = lifecycle.failures()
    assert failures
    assert all(line["error"] and line["frames"] for line in failures)


@pytest.mark.parametrize(
    "hidden",
    [
        lambda value: value,
        base64.b64encode,
        lambda value: base64.b64encode(base64.b64encode(value)),
        lambda value: base64.b64encode(b'{"a":"' + value + b'"}'),
        lambda value: base64.b64encode(b'{"ab":"' + base64.b64encode(value) + b'"}'),
        lambda value: value.hex().encode(),
        lambda value: json.dumps({"a": value.decode()}).encode(),
        lambda value: hashlib.sha256(value).hexdigest().encode(),
        lambda value: base64.b64encode(hashlib.md5(value, usedforsecurity=False).digest()),
    ],
    ids=["raw", "base64", "twice", "in base64", "twice in base64", "hex", "JSON", "SHA-256", "MD5 in base64"],
)
def test_the_scan_finds_what_is_there(hidden: object) -> None:
    for length in range(16, 48):
        value = secrets.token_urlsafe(length).encode()
        assert callable(hidden)
        found = leaks([value], {"here": b"before " + hidden(value) + b" after"})
        missed = leaks([value], {"here": secrets.token_hex(200).encode()})
        assert found
        assert not missed


# What the API server has noted


def _calls(lifecycle: Lifecycle) -> list[Call]:
    calls = [call for call in lifecycle.cluster.audit() if call.user == f"{USER}:leaks"]
    assert len(calls) > 50
    return calls


def test_secrets_are_only_read_by_name_created_and_replaced(lifecycle: Lifecycle) -> None:
    verbs = {call.verb for call in _calls(lifecycle) if call.resource == "secrets"}
    assert verbs == {"get", "list", "watch", "create", "update"}


def test_secrets_are_listed_and_watched_by_our_label_only(lifecycle: Lifecycle) -> None:
    many = [
        call for call in _calls(lifecycle) if call.resource == "secrets" and call.verb in {"list", "watch"}
    ]
    assert many
    assert all("labelSelector=keyturn.dev%2Fmanaged-secret" in call.uri for call in many)


def test_an_operator_of_one_namespace_touches_no_other(lifecycle: Lifecycle) -> None:
    namespaces = {call.namespace for call in _calls(lifecycle) if call.resource not in _FOR_ALL}
    assert namespaces == {lifecycle.space.namespace, "keyturn-faults"}
    own = [call for call in _calls(lifecycle) if call.namespace == "keyturn-faults"]
    assert {call.resource for call in own} == {"leases"}


_CLASSES = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "keyturn-classes"},
    "rules": [
        {
            "apiGroups": ["keyturn.dev"],
            "resources": ["secretclasses", "clustersecretstores", "clusterdatabasetargets"],
            "verbs": ["get", "list", "watch"],
        },
        {
            "apiGroups": ["keyturn.dev"],
            "resources": [
                "secretclasses/status",
                "clustersecretstores/status",
                "clusterdatabasetargets/status",
            ],
            "verbs": ["patch"],
        },
    ],
}
