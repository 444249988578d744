"""Converts an ExternalSecret to a ManagedSecret."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from keyturn.api import API_VERSION
from keyturn.api.duration import format_duration

from .items import sources
from .metadata import kept, pass_over
from .strict_reader import StrictReader
from .target import MERGES, NOTHING, target
from .templates import templated

if TYPE_CHECKING:
    from .findings import Report
    from .inputs import Body, Inputs
    from .items import Sources

__all__ = ["cluster_external_secret", "external_secret", "parse_go_duration"]

_MIN_INTERVAL: Final = timedelta(seconds=10)
_DEFAULT_INTERVAL: Final = timedelta(hours=1)
_MAX_NAME_LENGTH: Final = 63


def external_secret(body: Body, inputs: Inputs, report: Report) -> list[dict[str, Any]]:
    """Convert an ExternalSecret; returns nothing if no value is left."""
    document = StrictReader(body, "", report)
    pass_over(document)
    owner = document.part("metadata")
    made = _managed_secret(document.part("spec"), kept(owner), owner, inputs)
    document.report_unread()
    return [made] if made else []


def cluster_external_secret(body: Body, inputs: Inputs, report: Report) -> list[dict[str, Any]]:
    """Convert the ExternalSecret of a ClusterExternalSecret, which exists in several namespaces."""
    document = StrictReader(body, "", report)
    pass_over(document)
    spec = document.part("spec")
    metadata = kept(document.part("metadata"), is_namespaced=False)
    named = spec.text("externalSecretName")
    owner = spec.part("externalSecretMetadata")
    spec.changed("refreshTime", "is not needed: namespaces are watched")
    for name in ("namespaceSelector", "namespaceSelectors", "namespaces"):
        spec.lost(
            name,
            "selects namespaces; a ManagedSecret belongs to one",
            "apply this manifest to each, such as by kustomize or an ApplicationSet",
        )
    metadata = {**metadata, **kept(owner), **({"name": named} if named else {})}
    made = _managed_secret(spec.part("externalSecretSpec"), metadata, owner, inputs)
    document.report_unread()
    return [made] if made else []


def _managed_secret(
    spec: StrictReader, metadata: dict[str, Any], owner: StrictReader, inputs: Inputs
) -> dict[str, Any] | None:
    """Convert a spec; `owner` is the metadata that the ExternalSecret has in the cluster."""
    name, namespace = metadata.get("name", ""), metadata.get("namespace", "")
    found = sources(spec, namespace, inputs)
    part = spec.part("target")
    if part.text("creationPolicy") == NOTHING:
        part.report.lost(
            spec.path, "creates no Secret (creationPolicy: None), so nothing is written", "leave it out"
        )
        return None
    short = _short(spec, name)
    refresh = _refresh(spec, found)
    texts = templated(part.part("template"), found)
    shape = target(part, owner, name, short, texts.data, once=refresh.once)
    if not (found.items or found.whole):
        spec.report.lost(
            spec.path,
            "has no value that could be converted, so nothing is written",
            "see the other lines about this document",
        )
        return None
    converted: dict[str, Any] = {"target": shape}
    if texts.sources.items:
        converted["data"] = [item.body for item in texts.sources.items]
    if texts.sources.whole:
        converted["dataFrom"] = list(texts.sources.whole)
    if refresh.interval:
        converted["refreshInterval"] = refresh.interval
    if refresh.rotation:
        converted["rotation"] = refresh.rotation
    named = {**metadata, "name": short} if name else metadata
    return {"apiVersion": API_VERSION, "kind": "ManagedSecret", "metadata": named, "spec": converted}


def _short(spec: StrictReader, name: str) -> str:
    """Return a name that fits into a label; the Secret keeps its own."""
    short = name[:_MAX_NAME_LENGTH].rstrip("-.")
    if short != name:
        spec.report.changed(
            "metadata.name", f"is {short}, since a name has at most {_MAX_NAME_LENGTH} characters"
        )
    return short


@dataclass(frozen=True, slots=True)
class _Refresh:
    """When values are read and generated."""

    interval: str | None = None
    rotation: dict[str, str] | None = None
    once: bool = False


def _refresh(spec: StrictReader, found: Sources) -> _Refresh:
    policy, length = spec.text("refreshPolicy") or "Periodic", _length(spec)
    immutable = spec.part("target").flag("immutable")
    if policy == "OnChange":
        spec.report.lost(
            spec.at("refreshPolicy"),
            "OnChange reads when the object changes; Keyturn reads every hour",
            "write the refreshInterval that you want",
        )
        return _Refresh()
    if policy == "CreatedOnce" or not length or immutable:
        return _once(spec, found)
    refresh = _Refresh(_interval(spec, length)) if found.pulls else _Refresh()
    if not found.makes:
        return refresh
    every = format_duration(max(length, _MIN_INTERVAL))
    spec.report.changed(
        spec.at("refreshInterval"),
        f"makes a new value every {every} where a generator is named, and Keyturn restarts what uses it",
        "write a longer rotation.every",
    )
    return replace(refresh, rotation={"every": every})


def _once(spec: StrictReader, found: Sources) -> _Refresh:
    part = spec.part("target")
    if not (found.pulls or part.flag("immutable")):
        return _Refresh()
    if part.text("creationPolicy") == MERGES:
        spec.report.lost(
            part.at("creationPolicy"),
            "is Merge, so pulled values are read again every hour instead of once",
            "write refreshInterval, as long as you like",
        )
        return _Refresh()
    if part.flag("immutable"):
        return _Refresh(once=True)
    field = "refreshPolicy" if spec.text("refreshPolicy") == "CreatedOnce" else "refreshInterval"
    spec.report.changed(
        spec.at(field),
        "has the values read once, so the Secret becomes immutable",
        "write refreshInterval instead of immutable where it may change",
    )
    return _Refresh(once=True)


def _length(spec: StrictReader) -> timedelta:
    written = spec.text("refreshInterval")
    if written is None:
        return _DEFAULT_INTERVAL
    length = parse_go_duration(written)
    if length is None:
        spec.report.lost(spec.at("refreshInterval"), "is not a duration; 1h is used", "write one such as 1h")
        return _DEFAULT_INTERVAL
    return length


def _interval(spec: StrictReader, length: timedelta) -> str | None:
    if length < _MIN_INTERVAL:
        spec.report.changed(spec.at("refreshInterval"), "is shorter than the minimum of 10s")
    return format_duration(max(length, _MIN_INTERVAL)) if length != _DEFAULT_INTERVAL else None


_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
_PART = re.compile(r"([0-9]*\.?[0-9]+|[0-9]+\.)(ns|us|µs|ms|s|m|h)")


def parse_go_duration(text: str) -> timedelta | None:
    """Parse a duration in the syntax of Go; None if invalid.

    Source: Go, package `time`, ParseDuration.
    """
    if text == "0":
        return timedelta(0)
    parts = _PART.findall(text)
    if not parts or "".join(count + unit for count, unit in parts) != text:
        return None
    return timedelta(seconds=sum(float(count) * _SECONDS[unit] for count, unit in parts))
