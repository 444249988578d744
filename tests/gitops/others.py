"""The situations of stores, database targets, emergencies and classes, as the operator itself tells of them."""

from collections.abc import Mapping
from typing import Any

from keyturn.api.databasetarget import ClusterDatabaseTarget, DatabaseTarget
from keyturn.api.secretstore import ClusterSecretStore, SecretStore
from keyturn.controllers.external_health import store_status, target_status
from keyturn.core.errors import Stalled
from keyturn.core.labels import ACKNOWLEDGE_AUDIT, ACKNOWLEDGE_REPORT
from keyturn.core.observation.external import Health
from keyturn.databases.base import Server
from keyturn.databases.client import health_of as health_of_target
from keyturn.databases.client import health_of_server
from keyturn.databases.errors import Unauthorized, Unreachable
from keyturn.kube.cache.externals import AnyStore, AnyTarget
from keyturn.stores.health import IN_USE, VALID, health_of
from keyturn.stores.providers import errors
from tests.gitops.situations import Expected
from tests.support.initial_status import filled_in
from tests.support.objects import Body
from tests.unit.core.builders import NOW
from tests.unit.core.emergency.test_status import (
    FAILED,
    PENDING,
    ROLLED_OUT,
    ROTATED,
    STARTED,
    Incident,
    after,
)

_NOT_LOOKED = "Keyturn has not looked at this spec yet"
_TARGETS: Mapping[str, type[AnyTarget]] = {
    "DatabaseTarget": DatabaseTarget,
    "ClusterDatabaseTarget": ClusterDatabaseTarget,
}
_MODELS: Mapping[str, type[AnyStore]] = {"SecretStore": SecretStore, "ClusterSecretStore": ClusterSecretStore}


def _body(kind: str, status: Body, generation: int = 1) -> Body:
    metadata = {"name": "vault", "namespace": "shop", "generation": generation, "uid": "uid-1"}
    return {
        "apiVersion": "keyturn.dev/v1alpha1",
        "kind": kind,
        "metadata": metadata,
        "spec": {"provider": {"kubernetes": {}}}
        if kind in _MODELS
        else {"reason": "stolen", "names": ["db"]},
        "status": status,
    }


def _dumped(status: Any) -> Body:
    body: Body = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    return body


def _store(kind: str, health: Health, generation: int = 1, shared: str | None = None) -> Body:
    store: AnyStore = _MODELS[kind].model_validate(_body(kind, {}))
    return _body(kind, _dumped(store_status(store, health, NOW, shared)), generation)


def _stores(kind: str) -> Mapping[str, Expected]:
    told = {
        "it takes the login": (VALID, "Current", "Healthy", "the last check of the store succeeded"),
        "each namespace has its own login": (
            IN_USE,
            "Current",
            "Healthy",
            "each namespace has its own credentials",
        ),
        "it refuses the login": (
            health_of(errors.Unauthorized("Status401")),
            *("Failed", "Degraded", "authentication failed"),
        ),
        "it cannot be used so": (
            health_of(errors.Refused("InsideAddress", "allow it")),
            *("Failed", "Degraded", "allow it"),
        ),
        "it does not answer": (
            health_of(errors.Unreachable("Timeout")),
            *("InProgress", "Progressing", "does not answer"),
        ),
        "it has had enough": (
            health_of(errors.Throttled("Status429")),
            *("InProgress", "Progressing", "throttles requests"),
        ),
        "it did something else": (
            health_of(errors.StoreError("Odd")),
            *("InProgress", "Progressing", "did not execute"),
        ),
    }
    found = {name: Expected(_store(kind, health), *said) for name, (health, *said) in told.items()}
    return {
        f"{kind}: {name}": expected
        for name, expected in {
            "never looked at": Expected(
                _body(kind, filled_in(kind)), "InProgress", "Progressing", _NOT_LOOKED
            ),
            "changed since it was well": Expected(
                _store(kind, VALID, generation=2), "InProgress", "Progressing", _NOT_LOOKED
            ),
            "well, and its keys are shared": Expected(
                _store(kind, VALID, shared="keys are shared"),
                "Current",
                "Healthy",
                "the last check of the store succeeded",
            ),
            **found,
        }.items()
    }


STORES: Mapping[str, Expected] = {**_stores("SecretStore"), **_stores("ClusterSecretStore")}


def _target(kind: str, status: Any, generation: int = 1) -> Body:
    metadata = {"name": "orders", "namespace": "shop", "generation": generation, "uid": "uid-1"}
    spec: Body = {
        "postgresql": {"host": "db.example.com", "database": "orders"},
        "adminCredentials": {"secretRef": {"name": "db-admin"}},
        "allowedUsernames": ["orders_app"],
    }
    body = {"apiVersion": "keyturn.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
    if isinstance(status, Health):
        target: AnyTarget = _TARGETS[kind].model_validate({**body, "metadata": {**metadata, "generation": 1}})
        status = _dumped(target_status(target, status, NOW))
    return {**body, "status": status}


def _targets(kind: str) -> Mapping[str, Expected]:
    ready = health_of_server(Server("18.1"))
    refused = health_of_target(Unauthorized("AdminRefused", "the server refuses the admin's password"))
    away = health_of_target(Unreachable("NoAnswer", "no answer from db.example.com"))
    return {
        f"{kind}: never looked at": Expected(
            _target(kind, filled_in(kind)), "InProgress", "Progressing", _NOT_LOOKED
        ),
        f"{kind}: changed since it was well": Expected(
            _target(kind, ready, generation=2), "InProgress", "Progressing", _NOT_LOOKED
        ),
        f"{kind}: it takes the login": Expected(
            _target(kind, ready), "Current", "Healthy", "the last check of the server succeeded"
        ),
        f"{kind}: it refuses the login": Expected(
            _target(kind, refused), "Failed", "Degraded", "refuses the admin's password"
        ),
        f"{kind}: it does not answer": Expected(
            _target(kind, away), "InProgress", "Progressing", "no answer"
        ),
    }


TARGETS: Mapping[str, Expected] = {**_targets("DatabaseTarget"), **_targets("ClusterDatabaseTarget")}


def _emergency(*looks: Any, acknowledged: tuple[str, ...] = (), trouble: Stalled | None = None) -> Body:
    """Return an emergency after some looks, each at a time and with what was known of its secrets then."""
    incident = Incident(names=["db"])
    status = None
    for now, known in looks:
        for annotation in acknowledged:
            incident.acknowledge(annotation, "ada")
        status = incident.look(now, known, trouble)
    return _body("EmergencyRotation", _dumped(status))


_UPDATED = (after(minutes=2), {"db": ROLLED_OUT})
_NOT_OURS = Stalled("ReportNotOwned", "the ConfigMap is somebody else's")

EMERGENCIES: Mapping[str, Expected] = {
    "never looked at": Expected(
        _body("EmergencyRotation", filled_in("EmergencyRotation")),
        *("InProgress", "Progressing", "has not looked at this spec yet"),
    ),
    "declared": Expected(
        _emergency((STARTED, {"db": PENDING})), "InProgress", "Progressing", "of 1 secrets runs on new values"
    ),
    "rotated, and its workloads roll": Expected(
        _emergency((after(seconds=30), {"db": ROTATED})),
        "InProgress",
        "Progressing",
        "Deployment/api is rolling",
    ),
    "late with its workloads": Expected(
        _emergency((after(minutes=61), {"db": ROTATED})),
        "InProgress",
        "Degraded",
        "ServicesUpdated was due at",
    ),
    "a workload failed": Expected(
        _emergency((after(seconds=30), {"db": FAILED})), "Failed", "Degraded", "Deployment/api is failed"
    ),
    "nothing of that name": Expected(
        _emergency((STARTED, {})), "Failed", "Degraded", "there is no such ManagedSecret"
    ),
    "its report is in the way": Expected(
        _emergency(_UPDATED, trouble=_NOT_OURS), "Failed", "Degraded", "somebody else's"
    ),
    "done, and people are asked": Expected(
        _emergency(_UPDATED), "Current", "Healthy", "find out who read the secrets"
    ),
    "audited": Expected(
        _emergency(_UPDATED, acknowledged=(ACKNOWLEDGE_AUDIT,)), "Current", "Healthy", "read the ConfigMap"
    ),
    "people are late": Expected(
        _emergency((after(hours=25), {"db": ROLLED_OUT})), "Current", "Degraded", "AccessAudited was due at"
    ),
    "closed": Expected(
        _emergency(_UPDATED, acknowledged=(ACKNOWLEDGE_AUDIT, ACKNOWLEDGE_REPORT)),
        "Current",
        "Healthy",
        "acknowledged by ada",
    ),
}
