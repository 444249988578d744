"""Converts SecretStore and ClusterSecretStore."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from keyturn.api import API_VERSION

from .metadata import kept, pass_over
from .providers import PROVIDERS, Store
from .strict_reader import StrictReader

if TYPE_CHECKING:
    from .findings import Report
    from .inputs import Body, Inputs

__all__ = ["store"]

_CLUSTER: Final = "ClusterSecretStore"


def store(body: Body, inputs: Inputs, report: Report) -> list[dict[str, Any]]:
    """Convert a store; returns nothing without a matching provider."""
    document = StrictReader(body, "", report)
    pass_over(document)
    kind, spec = str(body["kind"]), document.part("spec")
    metadata = kept(document.part("metadata"), is_namespaced=kind != _CLUSTER)
    one = Store(kind, metadata.get("name", ""), metadata.get("namespace", ""), inputs)
    provider = _provider(spec.part("provider"), one)
    if provider is None:
        return []
    shared = _allowed(spec) if kind == _CLUSTER else {}
    if kind != _CLUSTER:
        spec.changed("conditions", "means nothing in a SecretStore")
    _report_on_settings(spec)
    document.report_unread()
    converted = {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": metadata,
        "spec": {"provider": provider, **shared},
    }
    return [*one.beside, converted]


def _provider(part: StrictReader, one: Store) -> dict[str, Any] | None:
    for name, convert in PROVIDERS.items():
        if name in part:
            return convert(part.part(name), one)
    names = ", ".join(part.names()) or "no provider"
    part.report.lost(
        "spec",
        f"is of {names}, which Keyturn does not have; this store is left out",
        "reach it by webhook where it answers JSON, or leave its Secrets to External Secrets",
    )
    return None


def _allowed(spec: StrictReader) -> dict[str, Any]:
    """Return the namespaces that may use the store: by default none in Keyturn, all in External Secrets."""
    names: list[str] = []
    selectors = []
    for condition in spec.parts("conditions"):
        names += [name for name in condition.texts("namespaces") if name not in names]
        condition.lost(
            "namespaceRegexes", "chooses namespaces by a pattern", "give them a label, and select that"
        )
        if "namespaceSelector" in condition:
            selectors.append(_selector(condition.part("namespaceSelector")))
    if len(selectors) > 1:
        spec.report.lost(
            spec.at("conditions"),
            "has several selectors; the first is taken",
            "write one that fits all of them",
        )
    if spec.raw("conditions") in (None, []):
        spec.report.changed(
            spec.at("conditions"),
            "are absent, so every namespace may use it, as this selector says",
            "name those that need it",
        )
        selectors = [{}]
    allowed: dict[str, Any] = {"names": names} if names else {}
    return {"allowedNamespaces": {**allowed, **({"selector": selectors[0]} if selectors else {})}}


def _selector(part: StrictReader) -> dict[str, Any]:
    labels = part.texts_by_name("matchLabels")
    expressions = [
        {
            "key": one.text("key") or "",
            "operator": one.text("operator") or "",
            **({"values": values} if (values := one.texts("values")) else {}),
        }
        for one in part.parts("matchExpressions")
    ]
    selector: dict[str, Any] = {"matchLabels": labels} if labels else {}
    return {**selector, "matchExpressions": expressions} if expressions else selector


def _report_on_settings(spec: StrictReader) -> None:
    spec.changed("controller", "selects one of several operators; Keyturn has one")
    spec.changed("retrySettings", "is of no use: Keyturn retries with exponential back-off")
    spec.changed("refreshInterval", "is of no use: Keyturn looks at a store when it needs to")
