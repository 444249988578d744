"""Point 4, encryption at rest, judged by metrics of the API server."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .findings import Finding, Point, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Sample", "judge_encryption", "samples"]

_TRANSFORMED = "apiserver_storage_transformation_operations_total"
_WRITTEN = ("etcd_requests_total", "etcd_request_duration_seconds_count")
_IDENTITY = ("", "identity")
_WRITES = ("create", "update")
_SECRETS = ("secrets", "*core.Secret", "core.Secret")
_ENCRYPT = (
    "give the API server an --encryption-provider-config with a provider that encrypts secrets before identity,"
    " and then write every Secret again: kubectl get secrets -A -o json | kubectl replace -f -"
)


def judge_encryption(metrics: str) -> list[Finding]:
    """Judge by the storage transformations of Secrets that the API server has counted since its start.

    Source: kubernetes.io, "Kubernetes Metrics Reference", apiserver_storage_transformation_operations_total.
    """
    stored, read = _prefixes(metrics, "to_storage"), _prefixes(metrics, "from_storage")
    plain = [prefix for prefix in stored if prefix in _IDENTITY]
    encrypted = sorted(prefix for prefix in stored if prefix.startswith("k8s:enc:"))
    if plain:
        return [_finding(Verdict.FAIL, "the API server stores Secrets unencrypted (identity)", _ENCRYPT)]
    if any(prefix in _IDENTITY for prefix in read):
        return [_finding(Verdict.FAIL, "Secrets that are not encrypted were read from etcd", _ENCRYPT)]
    if encrypted:
        ways = ", ".join(_provider(prefix) for prefix in encrypted)
        return [_finding(Verdict.PASS, f"the API server that answered encrypts what it writes: {ways}")]
    if not stored and not read and _were_written(metrics):
        return [_finding(Verdict.FAIL, "the API server has written Secrets and encrypted none", _ENCRYPT)]
    return [
        _finding(
            Verdict.UNKNOWN,
            "the API server that answered has written no Secret since it started",
            "create one, and look again",
        )
    ]


def _prefixes(metrics: str, way: str) -> set[str]:
    """Return the transformer prefixes of Secrets; API servers before 1.31 have no label for the resource."""
    return {
        sample.labels.get("transformer_prefix", "")
        for sample in samples(metrics, _TRANSFORMED)
        if sample.value
        and sample.labels.get("transformation_type") == way
        and sample.labels.get("resource", "secrets") == "secrets"
    }


def _were_written(metrics: str) -> bool:
    return any(
        sample.value
        and sample.labels.get("operation") in _WRITES
        and sample.labels.get("resource", sample.labels.get("type")) in _SECRETS
        for name in _WRITTEN
        for sample in samples(metrics, name)
    )


def _provider(prefix: str) -> str:
    """Return the provider of a prefix: aescbc of k8s:enc:aescbc:v1:."""
    return prefix.split(":")[2]


def _finding(verdict: Verdict, evidence: str, remedy: str = "") -> Finding:
    return Finding(Point.AT_REST, verdict, evidence, remedy)


_LINE: Final = re.compile(r"^(?P<name>[a-zA-Z_:]+)(?:\{(?P<labels>.*)\})? (?P<value>[-+.0-9eE]+)")
_LABEL: Final = re.compile(r'([a-zA-Z_]+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of a metric: labels and value."""

    labels: Mapping[str, str]
    value: float


def samples(text: str, name: str) -> Iterator[Sample]:
    """Return every sample of a metric in the Prometheus text format."""
    for line in text.splitlines():
        if line.startswith(name) and (match := _LINE.match(line)) and match["name"] == name:
            yield Sample(dict(_LABEL.findall(match["labels"] or "")), float(match["value"]))
