"""Workloads that use a Secret, in each way there is."""

from typing import Any

from tests.support.objects import Body


def pod(**spec: Any) -> Body:
    """Build a pod's spec; what it names goes over what every pod has."""
    return {"containers": [_container("main")], "terminationGracePeriodSeconds": 0, **spec}


def _container(name: str, **more: Any) -> Body:
    return {"name": name, "image": "example.org/none", **more}


def env(secret: str, *keys: str) -> Body:
    """Use keys of a Secret as environment variables."""
    return pod(containers=[_container("main", env=[_variable(secret, key) for key in keys])])


def _variable(secret: str, key: str) -> Body:
    source = {"secretKeyRef": {"name": secret, "key": key}}
    return {"name": key.upper(), "valueFrom": source}


def env_from(*secrets: str) -> Body:
    """Use Secrets as a whole as environment variables."""
    return pod(containers=[_container("main", envFrom=[{"secretRef": {"name": one}} for one in secrets])])


def init_env(secret: str, key: str) -> Body:
    return pod(initContainers=[_container("first", env=[_variable(secret, key)])])


def volume(secret: str, *keys: str) -> Body:
    items = [{"key": key, "path": key} for key in keys]
    source = {"secretName": secret, **({"items": items} if items else {})}
    return pod(volumes=[{"name": "files", "secret": source}])


def projected(secret: str) -> Body:
    return pod(volumes=[{"name": "files", "projected": {"sources": [{"secret": {"name": secret}}]}}])


def deployment(name: str, pod_spec: Body, *, replicas: int = 1, **more: Any) -> Body:
    return _workload("Deployment", name, pod_spec, replicas=replicas, **more)


def stateful_set(name: str, pod_spec: Body, *, replicas: int = 1, **more: Any) -> Body:
    return _workload("StatefulSet", name, pod_spec, replicas=replicas, serviceName=name, **more)


def daemon_set(name: str, pod_spec: Body, **more: Any) -> Body:
    return _workload("DaemonSet", name, pod_spec, **more)


def bare_pod(name: str = "bare", secret: str = "auth") -> Body:  # noqa: S107  # a name
    """Build a pod of no controller that a node has; no kubelet reports on it."""
    return {"kind": "Pod", "metadata": {"name": name}, "spec": {**env_from(secret), "nodeName": "none"}}


def _workload(
    kind: str,
    name: str,
    pod_spec: Body,
    *,
    annotations: Body | None = None,
    pod_annotations: Body | None = None,
    **spec: Any,
) -> Body:
    labels = {"app": name}
    return {
        "kind": kind,
        "metadata": {"name": name, "annotations": annotations or {}},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": pod_annotations or {}},
                "spec": pod_spec,
            },
            **spec,
        },
    }
