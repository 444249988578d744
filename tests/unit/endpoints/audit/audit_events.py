"""Audit events as an API server writes them at level Metadata."""

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
ALICE = "alice@shop.test"
API = "system:serviceaccount:shop:api"
_NUMBERS = itertools.count()


def at(**after: float) -> datetime:
    return START + timedelta(**after)


def event(
    verb: str = "get",
    user: str = API,
    namespace: str = "shop",
    name: str = "auth",
    *,
    code: int = 200,
    time: datetime = START,
    stage: str | None = None,
    **more: Any,
) -> dict[str, Any]:
    ref = {"resource": "secrets", "namespace": namespace, "name": name, "apiVersion": "v1"}
    return {
        "level": "Metadata",
        "auditID": f"3d8d1a6d-0001-4000-8000-{next(_NUMBERS):012}",
        "stage": stage or ("ResponseStarted" if verb == "watch" else "ResponseComplete"),
        "requestURI": f"/api/v1/namespaces/{namespace}/secrets/{name}",
        "verb": verb,
        "user": {"username": user, "uid": "1", "groups": ["system:authenticated"]},
        "sourceIPs": ["198.51.100.7", "10.0.0.9"],
        "userAgent": "kubectl/v1.37.0",
        "objectRef": {key: value for key, value in ref.items() if value},
        "responseStatus": {"metadata": {}, "code": code},
        "requestReceivedTimestamp": f"{time:%Y-%m-%dT%H:%M:%S.%fZ}",
        "stageTimestamp": f"{time:%Y-%m-%dT%H:%M:%S.%fZ}",
        "annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""},
        **more,
    }


def login_failed() -> dict[str, Any]:
    body = event(code=401, stage="ResponseStarted") | {"user": {}}
    del body["objectRef"]
    return body


def event_list(*events: Any) -> bytes:
    return json.dumps(
        {"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": events}
    ).encode()
