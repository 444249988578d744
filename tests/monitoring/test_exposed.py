"""Rules and dashboard ask for what the operator really tells: every metric and label, compared with a running one."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse
from prometheus_client.samples import Sample

from keyturn.core.policy.checklist import Point, Verdict
from keyturn.endpoints.audit.audit import Endpoint
from keyturn.endpoints.audit.classifier import Watcher
from keyturn.endpoints.exposition import DatabaseFacts, ObjectFacts, PointFacts, expose
from keyturn.runtime import metrics
from sandbox.harness import eventually
from tests.cluster.classes import Class
from tests.cluster.namespace import Space, password
from tests.cluster.store_objects import Stores, pulled
from tests.cluster.workloads import deployment, env_from
from tests.monitoring.cases import CASES
from tests.monitoring.dashboard import QUERIES, filled
from tests.monitoring.prometheus import BUILD_SECONDS, promtool, terms
from tests.monitoring.quiet import QUIET
from tests.monitoring.rules import ALERTS, RECORDS, Case, Quiet, series
from tests.support.operator import Operator

pytestmark = pytest.mark.timeout(BUILD_SECONDS)

_TARGET = {"job", "instance", "namespace", "pod", "service", "endpoint", "container"}
"""What the Prometheus operator writes at each series that does not say it itself."""
_EXPRESSIONS = [
    *(rule["expr"] for rule in ALERTS.values()),
    *RECORDS.values(),
    *(filled(target["expr"]) for _, target in QUERIES),
]


@pytest.fixture
def stores(space: Space, files_root: Path) -> Iterator[Stores]:
    folder = files_root / space.namespace
    folder.mkdir()
    stores = Stores(space, folder)
    stores.write_files(refresh={"minInterval": "1s"})
    yield stores
    stores.delete()


@pytest.fixture
def samples(space: Space, stores: Stores, class_: Class, operator: Operator) -> list[Sample]:
    """What a running operator tells when all kinds of things are going on."""
    class_.write(minLength=64, enforcement="Warn", priority="High")
    stores.keep("token", "kept-by-somebody-else")
    kept = pulled("token", "token", stores.for_all, kind="ClusterSecretStore")
    space.managed(kept, {**password(), "keepPrevious": True}, rotation={"every": "90d", "overlap": "1h"})
    space.run(deployment("api", env_from("auth")))
    space.run(deployment("batch", env_from("auth"), annotations={"keyturn.dev/restart": "never"}))
    space.rotate()
    space.until_condition("Rotating", "True", "Overlap")
    space.managed(password(), name="asked", rotation={"every": "90d", "appliedBy": "Nobody"})
    space.managed(password(), name="weak", className=class_.name, suspend=False)
    space.respec(lambda spec: spec.update(suspend=True), "weak")
    space.manage(pulled("token", "absent", stores.for_all, kind="ClusterSecretStore"), name="ill")
    space.stalled("SourceNotFound", "ill")
    space.looked_at("weak")
    declared = {"reason": "a laptop was stolen", "names": ["weak"]}
    space.create({"kind": "EmergencyRotation", "metadata": {"name": "open"}, "spec": declared})
    eventually(lambda: "keyturn_emergency_deadline_seconds{" in operator.get("/metrics")[1], "its clock")
    _, text = operator.get("/metrics")
    # Only a server that refuses brings these about; a counter tells its labels with its first count.
    metrics.API_REQUESTS.labels("get", "secrets", "503")
    metrics.PROVIDER_THROTTLED.labels("vault")
    Endpoint.announce()
    Watcher.announce()
    metrics.SECRET_ACCESS.labels("get", "user")
    metrics.SECRET_ACCESS_REFUSED.labels("get", "user")
    metrics.AUDIT_BATCHES.labels("200")
    # Only who audits a cluster, or sends its audit events, brings these about.
    looked = [PointFacts(Point.AT_REST, verdict) for verdict in Verdict]
    # Only a database brings these about; the tests of databases have one.
    metrics.DATABASE_OPERATIONS.labels("postgresql", "bring", "OK")
    metrics.DATABASE_OPERATION_SECONDS.labels("postgresql", "bring")
    account = ObjectFacts(
        "shop",
        "db",
        credential_valid=False,
        credential_contested=True,
        credentials_live=2,
        closing_since=datetime.now(UTC),
    )
    target = DatabaseFacts("DatabaseTarget", "shop", "orders", "postgresql", is_ready=False)
    own = expose(lambda: [*looked, account, target], "")[0].decode()
    rare = [
        one
        for one in _samples(own)
        if re.search(
            "api_req|provider_throttled|secret_access|audit|authentic|checklist|credential|revoc|database",
            one.name,
        )
    ]
    told = {(one.name, *sorted(one.labels.items())): one for one in [*rare, *_samples(text)]}
    return [*told.values()]


def _samples(text: str) -> list[Sample]:
    return [sample for family in parse(text) for sample in family.samples]


def test_what_is_asked_for_is_what_a_running_operator_reports(samples: list[Sample], tmp_path: Path) -> None:
    labels: dict[str, set[str]] = {}
    for sample in samples:
        labels.setdefault(sample.name, set()).update(sample.labels)
    for name, one in zip(RECORDS, terms(RECORDS.values()), strict=True):
        labels[name] = set(one.labels)

    assert unknown_metrics(labels) == set()
    assert unknown_labels(labels) == set()
    assert invented_series(labels) == set()
    assert unknown_conditions(samples) == set()
    assert empty_panels(samples, tmp_path) == ""


def unknown_metrics(labels: dict[str, set[str]]) -> set[str]:
    return {
        selector.metric
        for one in terms(_EXPRESSIONS)
        for selector in one.selectors
        if selector.metric not in labels
    }


def unknown_labels(labels: dict[str, set[str]]) -> set[tuple[str, str]]:
    selected = {
        (selector.metric, label)
        for one in terms(_EXPRESSIONS)
        for selector in one.selectors
        for label in selector.labels - labels[selector.metric] - _TARGET
    }
    grouped = {
        (" ".join(text.split()), label)
        for text, one in zip(_EXPRESSIONS, terms(_EXPRESSIONS), strict=True)
        for label in one.labels.difference(_TARGET, *(labels[each.metric] for each in one.selectors))
    }
    return selected | grouped


def invented_series(labels: dict[str, set[str]]) -> set[str]:
    """Name what the tests of the alerts feed them with and no operator tells."""
    cases: list[Case | Quiet] = [*CASES, *QUIET]
    fed = {text for case in cases for text in case.series}
    return {
        text
        for text in fed
        if {*re.findall(r'[{,](\w+)="', text)} - _TARGET != labels[text.partition("{")[0]] - _TARGET
    }


def unknown_conditions(samples: list[Sample]) -> set[str]:
    told = {sample.labels["type"] for sample in samples if sample.name == "keyturn_condition"}
    asked = {
        word
        for one in terms(_EXPRESSIONS)
        for selector in one.selectors
        for label, _, value in selector.matchers
        if label == "type"
        for word in value.split("|")
    }
    return asked - told - {"Pushed"}


def empty_panels(samples: list[Sample], folder: Path) -> str:
    """Ask each query of the dashboard over what two such replicas tell; say which has no answer or fails."""
    targets = [{"job": "keyturn", "pod": f"keyturn-{number}", "instance": str(number)} for number in (1, 2)]
    fed = [
        {
            "series": series(sample.name, target | sample.labels),
            "values": f"{sample.value}+{_grows(sample)}x30",
        }
        for target in targets
        for sample in samples
        if _is_plain(sample)
    ]
    asked = [
        {"expr": f"count({filled(target['expr'])}) > bool 0", "eval_time": "20m", "exp_samples": [_ONE]}
        for _, target in QUERIES
    ]
    test = {"interval": "1m", "input_series": fed, "promql_expr_test": asked}
    path = folder / "dashboard.yaml"
    path.write_text(json.dumps({"rule_files": [], "evaluation_interval": "1m", "tests": [test]}))
    done = promtool("test", "rules", path)
    return "" if done.returncode == 0 else done.stdout + done.stderr


_ONE = {"labels": "{}", "value": 1}


def _grows(sample: Sample) -> int:
    """Let a minute pass for what only grows."""
    return int(sample.name.endswith(("_total", "_count", "_sum", "_bucket")))


def _is_plain(sample: Sample) -> bool:
    return sample.name.startswith(("keyturn_", "process_"))
