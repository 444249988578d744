"""All documents of a conversion: which are converted, what one names in another, and the YAML of the result."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import yaml

from keyturn.api import API_VERSION
from keyturn.runtime.invisible_characters import is_visible
from keyturn.runtime.yaml_text import YamlDumper

from .externalsecret import external_secret
from .reading import Finding, Manifest, Report, Weight, grouped, opened
from .stores import store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .reading import Body, Reader

_GROUP: Final = "secret-generator.v1.mittwald.de"
_TYPE: Final = f"{_GROUP}/type"
_LENGTH: Final = f"{_GROUP}/length"
_ENCODING: Final = f"{_GROUP}/encoding"
_AUTOGENERATE: Final = f"{_GROUP}/autogenerate"
_WITHOUT_MEANING: Final = ("autogenerate", "autogenerate-generated-at", "length-generated", "secure")
_MIN_LENGTH: Final = 32
_MAX_BYTES: Final = 4096
_MAX_PASSWORD_LENGTH: Final = 72
"""What bcrypt reads of the password of basic-auth."""
_DEFAULT_LENGTH: Final = "40"
_BITS: Final = {"base64": 6, "base64url": 6, "base32": 5, "hex": 4, "raw": 8}
"""Bits in a character of each encoding."""
_GROUPS: Final = {"base64": 4, "base32": 8}
"""Characters to which padding fills an encoding; Keyturn writes base64url without it."""
_COUNT: Final = re.compile(r"(?P<count>[0-9]{1,9})(?P<bytes>[bB]?)")


def is_generated(body: Body) -> bool:
    """Whether annotations request values."""
    metadata = body.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    return isinstance(annotations, dict) and not {_AUTOGENERATE, _TYPE}.isdisjoint(annotations)


def secret(body: Body, report: Report) -> list[dict[str, Any]]:
    """Convert an annotated Secret; its values are not read, and are adopted in the cluster."""
    document = opened(body, report)
    document.ignore("data", "stringData", "type", "immutable")
    annotations = document.part("metadata").part("annotations")
    items = _items(annotations)
    annotations.ignore(*(f"{_GROUP}/{name}" for name in _WITHOUT_MEANING))
    metadata = document.metadata()
    document.report_unread()
    keys = {str(name) for part in ("data", "stringData") for name in (body.get(part) or {})}
    others = sorted(keys.difference(*map(_keys, items)))
    if others:
        report.lost(
            "data",
            f"has {', '.join(others)} as well, which a ManagedSecret removes from a Secret that is its own",
            "write creationPolicy: Merge, or name them in data as literals where they are no secrets",
        )
    if not items:
        report.lost(
            "metadata.annotations", "request no value that could be converted", "write a ManagedSecret"
        )
        return []
    spec = {"target": {"adopt": "IfUnowned"}, "data": items}
    return [{"apiVersion": API_VERSION, "kind": "ManagedSecret", "metadata": metadata, "spec": spec}]


def _items(annotations: Reader) -> list[dict[str, Any]]:
    kind = annotations.text(_TYPE) or "string"
    if kind == "ssh-keypair":
        private = annotations.text(f"{_GROUP}/private-key-field") or "ssh-privatekey"
        public = annotations.text(f"{_GROUP}/public-key-field") or "ssh-publickey"
        annotations.ignore(_LENGTH, _ENCODING)
        what = "has an RSA key of 3072 bits, in the form of OpenSSH instead of PKCS #1"
        annotations.changed(_TYPE, what)
        keys = {"privateKey": private, "publicKey": public}
        return [{"name": "ssh-key", "generate": {"sshKey": {"type": "rsa"}}, "keys": keys}]
    if kind == "basic-auth":
        username = annotations.text(f"{_GROUP}/basic-auth-username") or "admin"
        settings = {"username": username, "length": _password_length(annotations)}
        return [{"name": "login", "generate": {"basicAuth": settings}}]
    names = [name.strip() for name in (annotations.text(_AUTOGENERATE) or "").split(",")]
    generate = {"bytes": _bytes(annotations)} if kind == "string" else {}
    return [{"name": name, "generate": generate} for name in names if name and generate]


def _keys(item: dict[str, Any]) -> set[str]:
    """Return the keys of the Secret that an item writes."""
    if "basicAuth" in item["generate"]:
        return {"username", "password", "auth"}
    return set(item.get("keys", {"": item["name"]}).values())


def _bytes(annotations: Reader) -> dict[str, Any]:
    """Return a generator of the same characters; a length is that of the text, with the suffix B that of bytes."""
    encoding = _encoding(annotations)
    count, is_in_bytes = _length(annotations)
    at, bits = annotations.at(_LENGTH), _BITS[encoding]
    if is_in_bytes:
        least = next(length for length in itertools.count() if _characters(length, encoding) >= _MIN_LENGTH)
        if count < least:
            annotations.report.changed(at, f"is {count}B; in {encoding} a secret has at least {least} bytes")
        count = max(count, least)
        if encoding == "base64url" and count % 3:
            annotations.changed(_ENCODING, "is base64url, which is written without padding")
        return {"length": count, "encoding": encoding}
    if count < _MIN_LENGTH:
        annotations.report.changed(at, f"is {count}; a generated secret has at least {_MIN_LENGTH}")
    wanted = max(count, _MIN_LENGTH)
    lengths = itertools.count(wanted)
    exact = next(length for length in lengths if _characters(length * bits // 8, encoding) == length)
    if exact != wanted:
        what = f"is {count}, at which the text is cut; whole bytes in {encoding} have {exact} characters"
        annotations.report.lost(at, what, "write a generator whose length the users of the value accept")
    return {"length": exact * bits // 8, "encoding": encoding}


def _characters(count: int, encoding: str) -> int:
    """Return how many characters bytes have in an encoding."""
    length, group = -(-count * 8 // _BITS[encoding]), _GROUPS.get(encoding, 1)
    return -(-length // group) * group


def _password_length(annotations: Reader) -> int:
    """Return the length of the password of basic-auth, which has characters of its own."""
    count, is_in_bytes = _length(annotations)
    encoding = _encoding(annotations)
    length = _characters(count, encoding) if is_in_bytes else count
    what = "is left out: the password has letters, digits and -_.~"
    annotations.changed(_ENCODING, what)
    if not _MIN_LENGTH <= length <= _MAX_PASSWORD_LENGTH:
        report = annotations.report.lost if length > _MIN_LENGTH else annotations.report.changed
        what = f"gives {length} characters; such a password has {_MIN_LENGTH} to {_MAX_PASSWORD_LENGTH}"
        report(annotations.at(_LENGTH), what, "write another length")
    return min(max(length, _MIN_LENGTH), _MAX_PASSWORD_LENGTH)


def _encoding(annotations: Reader) -> str:
    written = annotations.text(_ENCODING) or "base64"
    if written not in _BITS:
        what = f"is {written}, which is not known; base64 is written, as there"
        annotations.changed(_ENCODING, what)
    return written if written in _BITS else "base64"


def _length(annotations: Reader) -> tuple[int, bool]:
    """Return a number, and whether it counts bytes before encoding."""
    found = _COUNT.fullmatch(annotations.text(_LENGTH) or _DEFAULT_LENGTH)
    if found and int(found["count"]) <= _MAX_BYTES:
        return int(found["count"]), bool(found["bytes"])
    what = f"is no length of at most {_MAX_BYTES}; {_DEFAULT_LENGTH} is used"
    annotations.lost(_LENGTH, what, "write the number of bytes in generate.bytes.length")
    return int(_DEFAULT_LENGTH), False


# Conversion

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
