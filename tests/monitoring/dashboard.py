"""The shipped dashboard, as its panels and the queries in them."""

import json
from typing import Any

from tests.monitoring.rules import MANIFESTS

DASHBOARD: dict[str, Any] = json.loads((MANIFESTS / "dashboard.json").read_text())
PANELS: list[dict[str, Any]] = [one for one in DASHBOARD["panels"] if one["type"] != "row"]
QUERIES: list[tuple[str, dict[str, Any]]] = [
    (panel["title"], target) for panel in PANELS for target in panel["targets"]
]


def filled(expression: str) -> str:
    """Put in what Grafana puts in when all is chosen."""
    given = {"$__rate_interval": "5m", "$namespace": ".*", "$name": ".*"}
    for variable, value in given.items():
        expression = expression.replace(variable, value)
    return expression
