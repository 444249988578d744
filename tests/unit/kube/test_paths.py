import pytest

from keyturn.kube import paths


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (paths.secrets(), "/api/v1/secrets"),
        (paths.secret("shop", "a"), "/api/v1/namespaces/shop/secrets/a"),
        (paths.managed_secrets("shop"), "/apis/keyturn.dev/v1alpha1/namespaces/shop/managedsecrets"),
        (
            f"{paths.managed_secret('shop', 'a')}/status",
            "/apis/keyturn.dev/v1alpha1/namespaces/shop/managedsecrets/a/status",
        ),
        (paths.secret_class("api-key"), "/apis/keyturn.dev/v1alpha1/secretclasses/api-key"),
        (paths.workload("StatefulSet", "shop", "db"), "/apis/apps/v1/namespaces/shop/statefulsets/db"),
        (paths.workloads("DaemonSet"), "/apis/apps/v1/daemonsets"),
        (paths.pods("shop"), "/api/v1/namespaces/shop/pods"),
        (paths.lease("keyturn", "leader"), "/apis/coordination.k8s.io/v1/namespaces/keyturn/leases/leader"),
        (paths.events("shop"), "/apis/events.k8s.io/v1/namespaces/shop/events"),
    ],
    ids=lambda value: value,
)
def test_a_resource_has_its_path(path: str, expected: str) -> None:
    assert path == expected


@pytest.mark.parametrize("name", ["a/../b", "a?b", "a#b", "a%2fb", "ä"])
def test_a_name_stays_one_segment(name: str) -> None:
    segment = paths.secret("shop", name).removeprefix("/api/v1/namespaces/shop/secrets/")
    assert not set(segment) & set("/?#ä")
    assert "%2f" not in segment


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_would_speak_of_another_resource_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="names no object"):
        paths.secret("shop", name)


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        (paths.secrets(), "secrets"),
        (paths.secrets("shop"), "secrets"),
        (paths.secret("shop", "a"), "secrets"),
        (f"{paths.managed_secret('shop', 'a')}/status", "managedsecrets/status"),
        (paths.secret_class("a"), "secretclasses"),
        ("/api/v1/namespaces", "namespaces"),
        ("/api/v1/namespaces/shop", "namespaces"),
        ("/metrics", "/metrics"),
        ("/apis", "/apis"),
        ("/api/v1", "/api/v1"),
        ("/apis/keyturn.dev/v1alpha1", "/apis/keyturn.dev/v1alpha1"),
    ],
)
def test_a_path_reports_its_resource(path: str, resource: str) -> None:
    assert paths.resource(path) == resource
