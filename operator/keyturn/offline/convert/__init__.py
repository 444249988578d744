"""Manifests of External Secrets and other operators as ManagedSecrets: dicts in, dicts and findings out, no I/O.

Nothing is lost silently: a document is read through `strict_reader`, which reports every field that was not read.

Modules
    inputs                              all documents, by kind
    externalsecret, pushsecret, mittwald, stores, providers   one kind of input each
    cloudnativepg, zalando, vault_operator, accounts          accounts of databases
    items, templates, generators, target, metadata            parts of the output
    gotemplate, gofunctions             Go templates as Liquid
    goregexp                            Go's regular expressions
    findings, model, output             result and its YAML

Imports: `runtime` and `api`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from . import mittwald
from .cloudnativepg import CLOUDNATIVEPG, cluster
from .externalsecret import cluster_external_secret, external_secret
from .findings import Finding, Report, Weight, grouped
from .inputs import ESO, Body, Inputs, group_of, kind_of, label_of, name_of, namespace_of
from .model import Conversion, Manifest
from .output import printable, written
from .pushsecret import push_secret
from .stores import store
from .vault_operator import VAULT_OPERATOR, vault_dynamic_secret
from .zalando import ZALANDO, postgresql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from .accounts import Made, ReportOn

__all__ = ["Finding", "Weight", "convert", "grouped", "printable", "written"]

_Item = TypeVar("_Item")

_STORES: Final = ("SecretStore", "ClusterSecretStore")
_ORDER: Final = ("ConfigMap", "ClusterSecretStore", "SecretStore", "DatabaseTarget", "ManagedSecret")
_GENERATORS: Final = f"generators.{ESO}"

_CONVERTERS: Final[Mapping[str, Callable[[Body, Inputs, Report], list[dict[str, Any]]]]] = {
    "ClusterExternalSecret": cluster_external_secret,
    "ClusterSecretStore": store,
    "ExternalSecret": external_secret,
    "SecretStore": store,
}

_UNCONVERTED: Final = frozenset({"secretgenerator.mittwald.de", VAULT_OPERATOR, "bitnami.com"})
"""Groups of which each kind without a converter is reported."""
_ACCOUNTS: Final[Mapping[tuple[str, str], Callable[[Body, ReportOn], list[Made]]]] = {
    (CLOUDNATIVEPG, "Cluster"): cluster,
    (ZALANDO, "postgresql"): postgresql,
    (VAULT_OPERATOR, "VaultDynamicSecret"): vault_dynamic_secret,
}


def convert(bodies: Iterable[Body], files: Iterable[str] = ()) -> Conversion:
    """Convert all documents, which may refer to each other; `files` names the file of each."""
    read = tuple(bodies)
    file_of = dict(zip(map(id, read), files, strict=False))
    inputs = Inputs(_distinct(read, lambda body: body))
    reports: list[Report] = []
    made: list[tuple[Report, dict[str, Any]]] = []

    def report_on(body: Body, part: str = "") -> Report:
        reports.append(Report(f"{label_of(body)}{part}", file_of.get(id(body), "")))
        return reports[-1]

    def keep(report: Report, objects: list[dict[str, Any]]) -> None:
        made.extend((report, one) for one in objects)

    for body in inputs.of(ESO, *_CONVERTERS):
        report = report_on(body)
        keep(report, _CONVERTERS[kind_of(body)](body, inputs, report))
    for body in _annotated(inputs):
        report = report_on(body)
        keep(report, mittwald.secret(body, report))
    for (group, kind), accounts_of in _ACCOUNTS.items():
        for body in inputs.of(group, kind):
            made += accounts_of(body, partial(report_on, body))
    for body in inputs.of(ESO, "PushSecret"):
        report = report_on(body)
        objects = [one for _, one in made if one["kind"] == "ManagedSecret"]
        keep(report, push_secret(body, inputs, report, objects))
    for body in _left_alone(inputs):
        report_on(body).lost("spec", "is of a kind that is not converted", "write a ManagedSecret for it")
    for body in inputs.idle_generators():
        report_on(body).changed("spec", "is used by no document of the input, and is left out")
    _report_on_stores(inputs, made)
    distinct = _distinct(made, lambda one: one[1])
    _report_on_equal_names(distinct)
    return Conversion(
        tuple(sorted((_manifest(*one) for one in distinct), key=_place)),
        tuple(dict.fromkeys(finding for report in reports for finding in report.findings)),
        tuple(body for body in inputs.bodies if not _is_ours(body)),
    )


def _distinct(items: Iterable[_Item], body_of: Callable[[_Item], Body]) -> tuple[_Item, ...]:
    """Leave out each body that equals an earlier one, such as that of a file that is named twice."""
    found: dict[tuple[str, str, str], list[_Item]] = {}
    for item in items:
        alike = found.setdefault(_identity(body_of(item)), [])
        if all(body_of(item) != body_of(other) for other in alike):
            alike.append(item)
    return tuple(item for alike in found.values() for item in alike)


def _report_on_stores(inputs: Inputs, made: list[tuple[Report, dict[str, Any]]]) -> None:
    """Report objects that read a store which could not be converted."""
    there = {_identity(body) for _, body in made}
    missing = [body for body in inputs.of(ESO, *_STORES) if _identity(body) not in there]
    for report, body in made:
        read = {(ref.get("kind", _STORES[0]), ref["name"]) for ref in _store_refs(body.get("spec"))}
        for store_ in missing:
            if (kind_of(store_), name_of(store_)) in read:
                report.lost(
                    "spec.secretStoreRef",
                    f"is the {label_of(store_)}, which is left out",
                    "name a store that is converted",
                )


def _report_on_equal_names(made: Iterable[tuple[Report, dict[str, Any]]]) -> None:
    """Report objects that replace each other when they are applied, such as a base and its patch."""
    by_identity: dict[tuple[str, str, str], list[Report]] = {}
    for report, body in made:
        by_identity.setdefault(_identity(body), []).append(report)
    for (kind, _, name), reports in by_identity.items():
        files = " and ".join(dict.fromkeys(report.file for report in reports if report.file))
        for report in reports if len(reports) > 1 else ():
            report.lost(
                "metadata.name",
                f"makes the {kind} {name}, which is there {len(reports)} times{f', in {files}' if files else ''}",
                "render overlays with kubectl kustomize first, or keep one of them",
            )


def _identity(body: Body) -> tuple[str, str, str]:
    return kind_of(body), namespace_of(body), name_of(body)


def _store_refs(node: Any) -> Iterator[Mapping[str, str]]:
    """Yield every store reference of a spec."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, child in children:
        if name == "storeRef":
            yield child
        else:
            yield from _store_refs(child)


def _manifest(report: Report, body: dict[str, Any]) -> Manifest:
    return Manifest(body, report.document, tuple(report.findings))


def _place(manifest: Manifest) -> int:
    return _ORDER.index(manifest.body["kind"])


def _annotated(inputs: Inputs) -> list[Body]:
    return [body for body in inputs.of("", "Secret") if mittwald.is_generated(body)]


def _left_alone(inputs: Inputs) -> list[Body]:
    """Return documents of other tools for secrets that have no converter."""
    of_tools = [body for body in inputs.of(ESO) if kind_of(body) not in {*_CONVERTERS, "PushSecret"}]
    for group in sorted(_UNCONVERTED):
        of_tools += [body for body in inputs.of(group) if (group, kind_of(body)) not in _ACCOUNTS]
    return of_tools


def _is_ours(body: Body) -> bool:
    is_static_role = group_of(body) == VAULT_OPERATOR and kind_of(body) == "VaultDynamicSecret"
    is_generated = kind_of(body) == "Secret" and mittwald.is_generated(body)
    return group_of(body) in {ESO, _GENERATORS} or is_static_role or is_generated
