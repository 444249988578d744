"""Prometheus metrics of this process: counters, gauges and histograms."""

import platform
from functools import cache, partial

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector

from keyturn import __version__

from . import build

_PREFIX = "keyturn"
_STEP_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 6 * 3600, 24 * 3600, 7 * 24 * 3600)

# Without _created series, which would double their number.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # not typed upstream

REGISTRY = CollectorRegistry()

_counter = partial(Counter, namespace=_PREFIX, registry=REGISTRY)
_gauge = partial(Gauge, namespace=_PREFIX, registry=REGISTRY)
_histogram = partial(Histogram, namespace=_PREFIX, registry=REGISTRY)

ROTATIONS = _counter("rotations", "Completed rotations by reason and result.", ("reason", "result"))
ROTATION_STEP_SECONDS = _histogram(
    "rotation_step_seconds", "Duration of each step of a rotation.", ("step",), buckets=_STEP_BUCKETS
)
WORKLOAD_RESTARTS = _counter(
    "workload_restarts", "Restarts of workloads by kind and result.", ("kind", "result")
)
ROLLBACKS = _counter("rollbacks", "Rollbacks to an earlier revision.")
DRIFT_REPAIRED = _counter("drift_repaired", "Repairs of Secrets that another writer edited or deleted.")
RECONCILE_SECONDS = _histogram("reconcile_seconds", "Duration of a reconcile.")
QUEUE_DEPTH = _gauge("queue_depth", "Length of the work queue, without delayed items.")
CLOCK_AHEAD = _gauge(
    "clock_ahead_seconds", "Seconds by which this machine's clock is ahead of the API server's."
)
LEADER = _gauge("leader", "1 on the leader, 0 on a standby.")
LEASE_TRANSITIONS = _gauge(
    "lease_transitions",
    "Number of times that a Lease was acquired, by all replicas since it exists.",
    ("lease",),
)
LOOP_HELD = _histogram(
    "loop_held_seconds",
    "Duration of calls that blocked the event loop for more than 0.1 s.",
    buckets=(0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
CRD_OUTDATED = _gauge(
    "crd_outdated", "1 if an installed CRD lacks a field of this version, or is missing.", ("crd",)
)
API_REQUESTS = _counter(
    "api_requests", "Requests to the API server by verb, resource and status.", ("verb", "resource", "code")
)
PROVIDER_REQUESTS = _counter(
    "provider_requests",
    "Requests to stores by provider, operation and result.",
    ("provider", "operation", "code"),
)
PROVIDER_REQUEST_SECONDS = _histogram(
    "provider_request_seconds", "Duration of requests to stores.", ("provider", "operation")
)
PROVIDER_THROTTLED = _counter("provider_throttled", "Requests that a store throttled.", ("provider",))
DATABASE_OPERATIONS = _counter(
    "database_operations",
    "Operations at databases by engine, operation and result.",
    ("engine", "operation", "result"),
)
DATABASE_OPERATION_SECONDS = _histogram(
    "database_operation_seconds", "Duration of operations at databases.", ("engine", "operation")
)
EVENTS_DROPPED = _counter("events_dropped", "Kubernetes Events that could not be written.")
WORK_FAILED = _counter("work_failed", "Reconciles that ended in an unexpected error, or due in the past.")
NOT_CONVERGED = _counter(
    "not_converged", "Reconciles that ended after their last step or conflict with work left."
)
SECRET_ACCESS = _counter(
    "secret_access", "Requests of other subjects for managed Secrets.", ("verb", "subject_kind")
)
SECRET_ACCESS_REFUSED = _counter(
    "secret_access_refused",
    "Requests for managed Secrets that the API server refused.",
    ("verb", "subject_kind"),
)
SECRET_ACCESS_UNUSUAL = _counter(
    "secret_access_unusual", "Unusual requests for managed Secrets.", ("reason",)
)
AUTHENTICATION_FAILURES = _counter(
    "authentication_failures",
    "Failed logins: of the operator at the API server, and of clients at metrics and audit endpoint.",
    ("source",),
)
AUDIT_BATCHES = _counter("audit_batches", "Batches sent to the audit endpoint.", ("code",))
AUDIT_EVENTS = _counter("audit_events", "Accepted audit events.")
AUDIT_EVENTS_DROPPED = _counter("audit_events_dropped", "Dropped audit events.", ("reason",))

Info("build", "Version, commit and Python of this process.", namespace=_PREFIX, registry=REGISTRY).info(
    {"version": __version__, "commit": build.commit(), "python": platform.python_version()}
)
ProcessCollector(registry=REGISTRY)


def count_request(verb: str, resource: str, code: int, _seconds: float) -> None:
    """Count a request to the API server; `code` is the status, 0 for no answer."""
    _requests(verb, resource, code).inc()


@cache
def _requests(verb: str, resource: str, code: int) -> Counter:
    return API_REQUESTS.labels(verb, resource, str(code))
