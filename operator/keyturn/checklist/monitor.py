"""Evidence about the cluster as a whole: points 4 and 5 by the metrics of the API server.

Source: kubernetes.io, "Kubernetes Metrics Reference", apiserver_storage_transformation_operations_total.
"""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from keyturn.core.policy.checklist import Finding, Point, Verdict
from keyturn.kube import errors
from keyturn.kube.client import Api
from keyturn.runtime import logs, threadpools

_TRANSFORMED: Final = "apiserver_storage_transformation_operations_total"
_WRITTEN: Final = ("etcd_requests_total", "etcd_request_duration_seconds_count")
_AUDITED: Final = "apiserver_audit_event_total"
_IDENTITY: Final = ("", "identity")
_WRITES: Final = ("create", "update")
_SECRETS: Final = ("secrets", "*core.Secret", "core.Secret")
_ENCRYPT: Final = (
    "give the API server an --encryption-provider-config with a provider that encrypts secrets before identity,"
    " and then write every Secret again: kubectl get secrets -A -o json | kubectl replace -f -"
)
_POLICY: Final = (
    "give the API server an --audit-policy-file that has a rule of level Metadata for secrets,"
    " and a log or a webhook"
)


def judge_encryption(metrics: str) -> Finding:
    """Judge by the storage transformations of Secrets that the API server has counted since its start."""
    stored, read = _prefixes(metrics, "to_storage"), _prefixes(metrics, "from_storage")
    encrypted = sorted(prefix for prefix in stored if prefix.startswith("k8s:enc:"))
    if any(prefix in _IDENTITY for prefix in stored):
        return _at_rest(Verdict.FAIL, "the API server stores Secrets unencrypted (identity)", _ENCRYPT)
    if any(prefix in _IDENTITY for prefix in read):
        return _at_rest(Verdict.FAIL, "Secrets that are not encrypted were read from etcd", _ENCRYPT)
    if encrypted:
        providers = ", ".join(prefix.split(":")[2] for prefix in encrypted)  # aescbc of k8s:enc:aescbc:v1:
        return _at_rest(Verdict.PASS, f"the API server that answered encrypts what it writes: {providers}")
    if not stored and not read and _were_written(metrics):
        return _at_rest(Verdict.FAIL, "the API server has written Secrets and encrypted none", _ENCRYPT)
    evidence = "the API server that answered has written no Secret since it started"
    return _at_rest(Verdict.UNKNOWN, evidence, "create one, and look again")


def judge_audit_events(metrics: str) -> Finding:
    """Judge by the number of audit events; only a recorded read shows that they include reads of Secrets."""
    if not sum(one.value for one in _samples(metrics, _AUDITED)):
        evidence = "the API server that answered writes no audit event"
        return Finding(Point.ACCESS_LOG, Verdict.FAIL, evidence, _POLICY)
    return Finding(
        Point.ACCESS_LOG,
        Verdict.UNKNOWN,
        "the API server writes audit events; that reads of Secrets are among them is not proven",
        "let Keyturn take the audit events, as docs/access.md has it; or read a Secret and look for that in the"
        " audit log, and if it is not there, " + _POLICY,
    )


def _prefixes(metrics: str, way: str) -> set[str]:
    """Return the transformer prefixes of Secrets."""
    return {
        one.labels.get("transformer_prefix", "")
        for one in _samples(metrics, _TRANSFORMED)
        if one.value
        and one.labels.get("transformation_type") == way
        and one.labels.get("resource", "secrets") == "secrets"
    }


def _were_written(metrics: str) -> bool:
    return any(
        one.value
        and one.labels.get("operation") in _WRITES
        and one.labels.get("resource", one.labels.get("type")) in _SECRETS
        for name in _WRITTEN
        for one in _samples(metrics, name)
    )


def _samples(text: str, name: str) -> Iterator[Sample]:
    """Return every sample of a metric; only its lines are parsed, as all metrics have megabytes."""
    lines = (line for line in text.splitlines() if line.startswith((f"{name}{{", f"{name} ")))
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        yield from family.samples


def _at_rest(verdict: Verdict, evidence: str, remedy: str = "") -> Finding:
    return Finding(Point.AT_REST, verdict, evidence, remedy)


# Evidence of the running operator

_INTERVAL: Final = 600.0
"""Seconds between checks: the metrics of an API server can have megabytes."""

_log = structlog.get_logger()


@dataclass(slots=True)
class ClusterEvidence:
    """Each field is replaced as a whole, since metrics are collected in another thread."""

    at_rest: Verdict | None = None
    """Encryption of Secrets in etcd; None if it is not checked."""
    takes_events: bool = False
    """Whether the audit webhook is served."""
    logged: datetime | None = None
    """The last read by the operator that arrived as an audit event."""


class EncryptionMonitor:
    """Runs in every replica; it reads only."""

    def __init__(self, api: Api, evidence: ClusterEvidence, *, is_enabled: bool) -> None:
        """`evidence` gets the verdict."""
        self._api = api
        self._evidence = evidence
        self._is_enabled = is_enabled
        self._logged = ""

    async def run(self) -> None:
        """Run until cancelled; no error ends the operator."""
        while True:
            if self._is_enabled:
                await self.check()
            await asyncio.sleep(_INTERVAL * random.uniform(0.8, 1.2))  # noqa: S311 - it spreads the requests

    async def check(self) -> None:
        """Read the metrics of the API server; log each problem once."""
        verdict = Verdict.UNKNOWN
        try:
            found = await threadpools.run_own(judge_encryption, await self._api.text("/metrics"))
            verdict, problem = found.verdict, "" if found.verdict is Verdict.PASS else found.evidence
        except errors.ApiError as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001  # the process reconciles without it, and the next check follows
            _log.error("encryption check failed", **logs.describe(error))
            problem = type(error).__name__
        if problem and problem != self._logged:
            _log.warning("encryption at rest not proven", reason=problem)
        self._logged, self._evidence.at_rest = problem, verdict
