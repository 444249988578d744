"""What is shown on the stage: a ManagedSecret in each state, and emergencies, with statuses written by hand."""

from typing import Any

from tests.cluster.ui.ui_cluster import HOSTILE, Desk, at, condition, managed

Status = dict[str, Any]


def workload(name: str, state: str, message: str | None = None) -> Status:
    told = {"message": message} if message else {}
    return {
        "kind": "Deployment",
        "name": name,
        "via": ["env", "volume"],
        "state": state,
        "revision": 3,
        **told,
    }


def credential(login: str, revision: int, phase: str) -> Status:
    return {"login": login, "revision": revision, "phase": phase, "since": at(days=-12)}


def rotation(step: str, message: str) -> Status:
    return {
        "id": "uid/4",
        "reason": "Scheduled",
        "step": step,
        "startedAt": at(minutes=-3),
        "message": message,
    }


def status(*conditions: Status, **more: Any) -> Status:
    ready = condition("Ready", "True", "Published", "the Secret holds revision 3 with every key")
    past = {
        "revision": 3,
        "reason": "Scheduled",
        "startedAt": at(days=-12),
        "finishedAt": at(days=-12),
        "result": "Succeeded",
    }
    return {
        "observedGeneration": 1,
        "revision": 3,
        "secretName": "it",
        "lastRotationTime": at(days=-12),
        "nextRotationTime": at(days=78),
        "history": [past],
        "workloads": [workload("api", "Current"), workload("worker", "Current")],
        "conditions": [ready, *conditions],
        **more,
    }


_ROLLED_BACK = "workloads did not become ready with revision 4; rolled back to revision 3"
STATES: dict[str, tuple[str, Status]] = {
    "orders-db": ("Failed", status(condition("Stalled", "True", "RolledBack", _ROLLED_BACK))),
    "legacy-smtp": (
        "Stalled",
        status(
            condition("Stalled", "True", "SecretNotOwned", "the Secret legacy-smtp is foreign"), workloads=[]
        ),
    ),
    "nightly-report": ("Overdue", status(nextRotationTime=at(hours=-7), overdue=True)),
    "hostile": ("Stalled", status(condition("Stalled", "True", "Hostile", HOSTILE))),
    "payments-api": (
        "NotSynced",
        status(condition("Refreshed", "False", "Throttled", "store aws asks to be left alone for 40 s")),
    ),
    "search": (
        "Behind",
        status(
            condition("WorkloadsCurrent", "False", "RestartRefused", "Deployment/search refuses restarts"),
            workloads=[workload("search", "Pending", "keyturn.dev/restart: never")],
        ),
    ),
    "session-keys": (
        "Rotating",
        status(
            rotation=rotation("RollOut", "Deployment/worker is rolling"),
            workloads=[
                workload("api", "Current"),
                workload("worker", "Rolling"),
                workload("cron", "Pending"),
            ],
        ),
    ),
    "jwt-signing": ("Overlapping", status(previous={"revision": 2, "validUntil": at(hours=5)})),
    "redis": ("Due", status(nextRotationTime=at(hours=3))),
    "auth-secrets": ("Ready", status()),
    "invoices-db": (
        "Ready",
        status(credentials=[credential("invoices_b", 3, "Proven"), credential("invoices_a", 2, "Closed")]),
    ),
    "mailer": ("Ready", status()),
}


_ADMIN = {"secretRef": {"name": "admin"}}
_SERVER = {"host": "db.stage.svc", "database": "orders"}
_SEALED = "vault.stage.svc is sealed"
_CONNECTIONS: dict[str, tuple[str, Status, Status]] = {
    "SecretStore": (
        "stage",
        {"provider": {"kubernetes": {}}},
        {"provider": "kubernetes", "conditions": [condition("Ready", "False", "Unavailable", _SEALED)]},
    ),
    "DatabaseTarget": (
        "stage",
        {"postgresql": _SERVER, "adminCredentials": _ADMIN},
        {
            "engine": "postgresql",
            "version": "18.1",
            "conditions": [condition("Stalled", "True", "Hostile", HOSTILE)],
        },
    ),
}
_OF_THE_CLUSTER: dict[str, Status] = {
    "ClusterSecretStore": {"provider": {"kubernetes": {}}},
    "ClusterDatabaseTarget": {
        "postgresql": _SERVER,
        "adminCredentials": _ADMIN,
        "allowedUsernames": ["{namespace}_*"],
    },
    "SecretClass": {"priority": "Critical"},
}
"""Kinds whose statuses the operator of `shop` and `bank` writes."""


def set_up(desk: Desk) -> None:
    for name, (_, shown) in STATES.items():
        owner = HOSTILE if name == "hostile" else "team-shop@example.test"
        desk.objects.create("stage", managed(name, owner=owner))
        desk.objects.edit_status("ManagedSecret", "stage", name, _put(shown))
    _emergency(desk, "inc-2026-042", "the laptop of a database admin was stolen", _going_on())
    _emergency(desk, "inc-hostile", HOSTILE, {})
    for kind, (namespace, spec, shown) in _CONNECTIONS.items():
        desk.objects.create(
            namespace, {"kind": kind, "metadata": {"name": f"a-{kind.lower()}"}, "spec": spec}
        )
        desk.objects.edit_status(kind, namespace, f"a-{kind.lower()}", _put(shown))
    for kind, spec in _OF_THE_CLUSTER.items():
        desk.objects.create("", {"kind": kind, "metadata": {"name": f"a-{kind.lower()}"}, "spec": spec})


def _put(shown: Status) -> Any:
    return lambda body: body.update(status=shown)


CONTACTS = {"Security Team": "security@shop.test", "On call": "+49 30 555 0100"}


def _emergency(desk: Desk, name: str, reason: str, shown: Status) -> None:
    spec = {"reason": reason, "incident": "INC-2026-042", "contact": "security@example.test", "selector": {}}
    desk.objects.create("stage", {"kind": "EmergencyRotation", "metadata": {"name": name}, "spec": spec})
    if shown:
        desk.objects.edit_status("EmergencyRotation", "stage", name, _put(shown))


def _going_on() -> Status:
    secrets = [
        {
            "name": "orders-db",
            "state": "Failed",
            "revision": 4,
            "rotatedAt": at(),
            "message": "api is not ready",
        },
        {"name": "auth-secrets", "state": "RolledOut", "revision": 4, "rotatedAt": at(), "updatedAt": at()},
    ]
    timeline = [
        {"time": at(), "reason": "Declared", "what": "declared: the laptop was stolen", "who": "kubectl"},
        {"time": at(), "reason": "Rotated", "what": "every secret is rotated", "who": "keyturn"},
    ]
    return {
        "rotatedAt": at(),
        "progress": "2/2",
        "secrets": secrets,
        "timeline": timeline,
        "conditions": [],
        "contacts": CONTACTS,
    }
