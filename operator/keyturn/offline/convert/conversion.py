"""All documents of a conversion: which are converted, what one names in another, and the YAML of the result."""

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import yaml

from keyturn.runtime.invisible_characters import is_visible
from keyturn.runtime.yaml_text import YamlDumper

from .externalsecret import external_secret
from .mittwald import is_generated, secret
from .reading import Body, Finding, Manifest, Report, Weight, grouped
from .stores import store

_Item = TypeVar("_Item")
_Made = tuple[Report, dict[str, Any]]

_ESO: Final = "external-secrets.io"
_ORDER: Final = ("ClusterSecretStore", "SecretStore", "ManagedSecret")
_TOOLS: Final = frozenset({_ESO, f"generators.{_ESO}", "secretgenerator.mittwald.de"})
"""Groups whose kinds without a converter are reported; other documents are counted."""
_INSTEAD: Final = {
    "ClusterExternalSecret": "apply a ManagedSecret to each namespace, such as by kustomize or an ApplicationSet",
    "PushSecret": "write pushTo in the ManagedSecret that generates the value",
}


@dataclass(frozen=True, slots=True)
class Conversion:
    """Result of all documents."""

    manifests: tuple[Manifest, ...]
    """Stores first, then their users."""
    findings: tuple[Finding, ...]
    others: tuple[Body, ...]
    """Documents of other tools."""

    @property
    def is_whole(self) -> bool:
        return all(finding.weight is not Weight.LOST for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Inputs:
    """The documents, for lookups only."""

    bodies: tuple[Body, ...]

    def of(self, group: str, *kinds: str) -> Iterator[Body]:
        return (body for body in self.bodies if _group(body) == group and body.get("kind") in kinds)

    def annotations(self, namespace: str, service_account: str) -> Mapping[str, Any]:
        """Return the annotations of a ServiceAccount, which have its cloud role."""
        found = _find(self.of("", "ServiceAccount"), namespace, service_account)
        return _mapping(_mapping((found or {}).get("metadata")).get("annotations"))

    def provider(self, ref: Mapping[str, str], namespace: str) -> Mapping[str, Any]:
        """Return the provider of the store that a reference names; empty if it is not among the documents."""
        kind = ref.get("kind", "SecretStore")
        found = _find(self.of(_ESO, kind), "" if kind == "ClusterSecretStore" else namespace, ref["name"])
        return _mapping(_mapping((found or {}).get("spec")).get("provider"))


_CONVERTERS: Final[Mapping[str, Callable[[Body, Inputs, Report], list[dict[str, Any]]]]] = {
    "ClusterSecretStore": store,
    "ExternalSecret": external_secret,
    "SecretStore": store,
}


def convert(bodies: Iterable[Body]) -> Conversion:
    """Convert all documents, which may refer to each other."""
    inputs = Inputs(_distinct(bodies, lambda body: body))
    reports: list[Report] = []
    made: list[_Made] = []
    others: list[Body] = []
    for body in inputs.bodies:
        report = Report(label_of(body))
        reports.append(report)
        kind = str(body.get("kind"))
        if _group(body) == _ESO and kind in _CONVERTERS:
            made += [(report, one) for one in _CONVERTERS[kind](body, inputs, report)]
        elif _group(body) == "" and kind == "Secret" and is_generated(body):
            made += [(report, one) for one in secret(body, report)]
        elif _group(body) in _TOOLS:
            instead = _INSTEAD.get(kind, "write generate or from in the ManagedSecret that needs the value")
            report.lost("spec", "is of a kind that is not converted", instead)
        else:
            others.append(body)
    distinct = _distinct(made, lambda one: one[1])
    _report_on_equal_names(distinct)
    return Conversion(
        tuple(
            Manifest(body, report.document, tuple(report.findings))
            for report, body in sorted(distinct, key=lambda one: _ORDER.index(one[1]["kind"]))
        ),
        tuple(dict.fromkeys(finding for report in reports for finding in report.findings)),
        tuple(others),
    )


def label_of(body: Body) -> str:
    """Return the label of a document in messages."""
    kind, namespace, name = _identity(body)
    return f"{kind} {'/'.join(filter(None, (namespace, name)))}"


def _distinct(items: Iterable[_Item], body_of: Callable[[_Item], Body]) -> tuple[_Item, ...]:
    """Leave out each body that equals an earlier one, such as that of a file that is named twice."""
    found: dict[tuple[str, str, str], list[_Item]] = {}
    for item in items:
        alike = found.setdefault(_identity(body_of(item)), [])
        if all(body_of(item) != body_of(other) for other in alike):
            alike.append(item)
    return tuple(item for alike in found.values() for item in alike)


def _report_on_equal_names(made: Iterable[_Made]) -> None:
    """Report objects that replace each other when they are applied, such as a base and its patch."""
    reports: dict[tuple[str, str, str], list[Report]] = {}
    for report, body in made:
        reports.setdefault(_identity(body), []).append(report)
    for (kind, _, name), alike in reports.items():
        for report in alike if len(alike) > 1 else ():
            what = f"makes the {kind} {name}, which is there {len(alike)} times"
            report.lost(
                "metadata.name", what, "render overlays with kubectl kustomize first, or keep one of them"
            )


def _find(bodies: Iterable[Body], namespace: str, name: str) -> Body | None:
    """Find a document by name; a document without a namespace matches any."""
    named = {_identity(body)[1]: body for body in bodies if _identity(body)[2] == name}
    if not namespace and len(named) == 1:
        return next(iter(named.values()))
    return named.get(namespace) or named.get("")


def _identity(body: Body) -> tuple[str, str, str]:
    """Return kind, namespace and name."""
    metadata = _mapping(body.get("metadata"))
    return str(body.get("kind") or ""), str(metadata.get("namespace") or ""), str(metadata.get("name") or "")


def _group(body: Body) -> str:
    version = body.get("apiVersion")
    return version.rpartition("/")[0] if isinstance(version, str) else ""


def _mapping(found: object) -> Mapping[str, Any]:
    return found if isinstance(found, Mapping) else {}


# Output: YAML, with the lost meaning as comments above each object

_COMMENT_WIDTH = 110
_WIDTH = 2**16
"""No text is folded."""


def written(manifests: Iterable[Manifest]) -> str:
    """Serialise manifests as one YAML stream."""
    return "---\n".join(_document(manifest) for manifest in manifests)


def printable(text: str) -> str:
    """Replace control characters, so that foreign text ends no line and reaches no terminal as a command."""
    return "".join(letter if letter.isprintable() and is_visible(letter) else " " for letter in text)


def _document(manifest: Manifest) -> str:
    lines = [f"from {manifest.source}"] if manifest.source else []
    for finding in grouped(manifest.findings):
        if finding.weight is Weight.LOST:
            lines += _comment(finding)
    comment = "".join(f"# {printable(line)}".rstrip() + "\n" for line in lines)
    text = _dumped(manifest.body, as_it_is=True)
    return comment + (text if is_visible(text) else _dumped(manifest.body, as_it_is=False))


def _comment(finding: Finding) -> Iterator[str]:
    sentence = printable(f"TODO {finding.field} {finding.what}: {finding.remedy}")
    yield from textwrap.wrap(sentence, _COMMENT_WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    yield from (f"    {line}" for line in finding.quoted.splitlines())


def _dumped(body: dict[str, Any], *, as_it_is: bool) -> str:
    return yaml.dump(body, Dumper=_Dumper, sort_keys=False, allow_unicode=as_it_is, width=_WIDTH)


class _Dumper(YamlDumper):
    """Writes texts of several lines as blocks."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text and not any(line.endswith((" ", "\t")) for line in text.split("\n")) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
