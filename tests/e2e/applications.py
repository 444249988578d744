"""Applications for a real node: each reads a secret in each way there is, and shows fingerprints of it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sandbox.node.images import APP

_MARKER = "metadata.annotations['keyturn.dev/secret-versions']"
"""What the pod template was restarted for, such as `auth=2`."""
_AS_IT_IS: Mapping[str, str] = MappingProxyType({})
_RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def managed_secret(name: str, **rollout: Any) -> dict[str, Any]:
    """Return a ManagedSecret with two generated values; `rollout` is what its spec says of restarts."""
    return {
        "apiVersion": "keyturn.dev/v1alpha1",
        "kind": "ManagedSecret",
        "metadata": {"name": name},
        "spec": {
            "data": [
                {"name": "token", "generate": {"bytes": {}}},
                {"name": "certificate-password", "generate": {"password": {}}},
            ],
            "rotation": {"every": "90d"},
            "rollout": {"debounce": "0s", **rollout},
        },
    }


def application(kind: str, name: str, secret: str, env: Mapping[str, str] = _AS_IT_IS) -> dict[str, Any]:
    """Return a workload whose pods read a value from an environment variable and another from a file.

    `env` is what the application understands (`sandbox/modules/apps/app/serve.go`), such as CRASH_ON.
    """
    labels = {"app": name}
    spec: dict[str, Any] = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": _pod(secret, env)},
    }
    if kind != "DaemonSet":
        spec["replicas"] = 2
    if kind == "Deployment":
        spec["strategy"] = {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    if kind == "StatefulSet":
        spec["serviceName"] = name
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def service(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]},
    }


def _pod(secret: str, env: Mapping[str, str]) -> dict[str, Any]:
    said = {"SECRET_FILE": "/etc/secret/certificate-password", "TERM_SECONDS": "6", **env}
    container = {
        "name": "app",
        "image": APP,
        "imagePullPolicy": "IfNotPresent",
        "env": [
            {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": secret, "key": "token"}}},
            {"name": "REVISION", "valueFrom": {"fieldRef": {"fieldPath": _MARKER}}},
            *({"name": key, "value": value} for key, value in said.items()),
        ],
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {
            "httpGet": {"path": "/ready", "port": 8080},
            "periodSeconds": 1,
            "timeoutSeconds": 5,
        },
        "volumeMounts": [{"name": "secret", "mountPath": "/etc/secret", "readOnly": True}],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
        "securityContext": _RESTRICTED,
    }
    return {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 20,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65534,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "secret", "secret": {"secretName": secret}}],
    }
