"""Converts an ExternalSecret to a ManagedSecret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from keyturn.api import API_VERSION
from keyturn.api.base import format_duration, parse_duration
from keyturn.api.target import RESERVED_NAMES, TRACKING_ANNOTATIONS, TRACKING_LABELS, SecretType

from .reading import Body, Reader, Report, opened, present

if TYPE_CHECKING:
    from .conversion import Inputs

_MIN_INTERVAL: Final = timedelta(seconds=10)
_DEFAULT_INTERVAL: Final = timedelta(hours=1)
_MAX_NAME_LENGTH: Final = 63


def external_secret(body: Body, inputs: Inputs, report: Report) -> list[dict[str, Any]]:
    """Convert an ExternalSecret; returns nothing if no value is left."""
    document = opened(body, report)
    metadata, spec = document.metadata(), document.part("spec")
    target, name = spec.part("target"), metadata.get("name", "")
    if target.text("creationPolicy") == "None":
        report.lost("spec", "creates no Secret (creationPolicy: None), so nothing is written", "leave it out")
        return []
    items, whole = _values(spec, metadata.get("namespace", ""), inputs)
    interval, is_once = _refresh(spec)
    items, texts = _templates(target.part("template"), items, has_more=bool(whole))
    short = name[:_MAX_NAME_LENGTH].rstrip("-.")
    converted = present(
        target=_target(document, name, short, texts, is_once=is_once),
        data=[item.body for item in items],
        dataFrom=whole,
        refreshInterval=interval,
    )
    document.report_unread()
    if not (items or whole):
        report.lost(
            "spec", "has no value that could be converted, so nothing is written", "see its other lines"
        )
        return []
    if short != name:
        report.changed("metadata.name", f"is {short}, since a name has at most {_MAX_NAME_LENGTH} characters")
        metadata["name"] = short
    return [{"apiVersion": API_VERSION, "kind": "ManagedSecret", "metadata": metadata, "spec": converted}]


# Values

_DECODERS: Final = {"Base64": "base64_decode", "Base64URL": "base64_url_safe_decode"}
"""Liquid filter of each decoding strategy."""
_GJSON: Final = re.compile(r"[#*?|@!{}()\[\]]|\\[^.]")
_WHOLE: Final = frozenset({"(.*)", "^(.*)$", "(.+)", "^(.+)$", "^(.*)", "(.*)$"})
_PREFIX: Final = re.compile(r"([-._A-Za-z0-9]*)\$(?:1|\{1\})")


@dataclass(frozen=True, slots=True)
class _Item:
    """One pulled value."""

    name: str
    source: dict[str, Any]
    decoder: str | None = None

    @property
    def body(self) -> dict[str, Any]:
        return {"name": self.name, "from": self.source}

    @property
    def expression(self) -> str:
        """What a template reads the value by."""
        is_word = _WORD.fullmatch(self.name) and self.name not in _LIQUID_WORDS
        head = self.name if is_word else f'values["{self.name}"]'
        return f"{head} | {self.decoder}" if self.decoder else head


def _values(spec: Reader, namespace: str, inputs: Inputs) -> tuple[list[_Item], list[dict[str, Any]]]:
    """Convert data and dataFrom."""
    usual = _store_ref(spec.part("secretStoreRef"))
    items: dict[str, _Item] = {}
    for entry in spec.parts("data"):
        ref, name = entry.part("remoteRef"), entry.text("secretKey") or ""
        source = _source(entry, ref, usual, namespace, inputs)
        if source and name:
            if name in items:
                spec.report.changed(entry.path, f"replaces the earlier entry of {name}, as there")
            decoder = ref.one_of("decodingStrategy", "None", *_DECODERS)
            items[name] = _Item(name, source, _DECODERS.get(decoder or "None"))
        elif source:
            entry.lost("secretKey", "is absent, so the entry is left out", "write a name")
    whole = []
    for entry in spec.parts("dataFrom"):
        ref = entry.part("extract") if "extract" in entry else entry  # v1alpha1 has the reference itself
        if source := _source(entry, ref, usual, namespace, inputs):
            ref.one_of("decodingStrategy", "None")
            if source["remoteRef"].pop("property", None):
                ref.lost(
                    "property", "is not divided into parts", "name them in data with property: OUTER.INNER"
                )
            whole.append(source | present(prefix=_prefix(entry.parts("rewrite"))))
    prefixes = [entry.get("prefix", "") for entry in whole]
    if len(prefixes) > len(set(prefixes)):
        what = (
            "has entries that may bring the same key: there the last one wins, here the Secret is not written"
        )
        spec.changed("dataFrom", what, "give them prefixes if they do")
    return list(items.values()), whole


def _store_ref(part: Reader) -> dict[str, str]:
    name, kind = part.text("name"), part.text("kind") or "SecretStore"
    return present(kind=kind if kind != "SecretStore" else None, name=name) if name else {}


def _source(
    entry: Reader, ref: Reader, usual: dict[str, str], namespace: str, inputs: Inputs
) -> dict[str, Any] | None:
    """Return store and key of an entry; None if it has none."""
    source = entry.part("sourceRef")
    store, key = _store_ref(source.part("storeRef")) or usual, ref.text("key")
    if "generatorRef" in source:
        example = "{name: password, generate: {password: {length: 40}}}, and rotation.every"
        source.lost(
            "generatorRef", "names a generator, and is left out", f"write it in data, such as {example}"
        )
        return None
    if not (store and key):
        if "find" not in entry:
            entry.report.lost(entry.path, "has no store and key, and is left out", "write both")
        return None
    ref.one_of("metadataPolicy", "None")
    ref.one_of("conversionStrategy", "Default")
    part = ref.text("property") or ""
    if _GJSON.search(part):
        what = "searches in JSON; Keyturn follows names and places with dots between them"
        ref.lost("property", what, "write a path such as outer.0.inner")
    remote = present(
        key=_spelled(inputs.provider(store, namespace), key, ref),
        property=part.replace("\\.", "."),
        version=(ref.text("version") or "").removeprefix("uuid/"),
    )
    return {"storeRef": store, "remoteRef": remote}


def _prefix(rewrites: list[Reader]) -> str:
    """Return the prefix that the rewrites add, if they do nothing else."""
    prefix = ""
    for rewrite in rewrites:
        regexp = rewrite.part("regexp")
        is_whole = regexp.one_of("source", *_WHOLE)
        if found := _PREFIX.fullmatch((regexp.text("target") or "") if is_whole else ""):
            prefix = f"{found[1]}{prefix}"
        elif is_whole:
            regexp.lost("target", "renames by more than a prefix", "name the values in data")
    return prefix


def _spelled(provider: Mapping[str, Any], key: str, ref: Reader) -> str:
    """Return a key in the form that our provider of the store accepts."""
    kept = ""
    match next(iter(provider.items()), (None, None)):
        case ("vault", dict() as vault):
            key = _below_mount(vault, key)
        case ("aws", dict() as aws):
            key = f"{aws.get('prefix') or ''}{key}"
            if aws.get("service") != "ParameterStore":
                kept = "/" if key.startswith("/") else ""  # part of the name in Secrets Manager
            elif "/" in key[1:]:
                key = key.removeprefix("/")  # Keyturn adds the slash before parameter paths
        case ("azurekv", _) if "/" in key:
            kind, _, key = key.partition("/")
            if kind != "secret":
                ref.lost(
                    "key", f"reads a {kind} of the Key Vault; Keyturn reads secrets", "store it as a secret"
                )
        case (None, _) if "/data/" in key or key.startswith("secret/"):
            what = "looks like a path in Vault with its mount; ours begin below the mount"
            ref.changed("key", what, "give the file of the store as well, or take the mount (and data/) off")
    bare = kept + key.strip("/")
    if bare != key:
        what = "has a slash at its end, as no key of Keyturn has"
        ref.lost("key", what, "look whether the store means the same without it; AWS also takes an ARN")
    return bare


def _below_mount(vault: Mapping[str, Any], key: str) -> str:
    """Remove the mount of a path; External Secrets accepts paths with and without it."""
    is_second = vault.get("version") != "v1"
    mount = str(vault.get("path") or key.partition("/")[0]).strip("/")
    mount = mount.removesuffix("/data") if is_second else mount
    below = key.removeprefix(f"{mount}/")
    return below.removeprefix("data/") if is_second and below != key else below


# When values are read


def _refresh(spec: Reader) -> tuple[str | None, bool]:
    """Return the interval if it is not the default, and whether values are read once."""
    target, length = spec.part("target"), _length(spec)
    policy = spec.one_of("refreshPolicy", "Periodic", "CreatedOnce")
    is_immutable = target.text("immutable") == "true"
    if not (policy == "CreatedOnce" or is_immutable) and length:
        if length < _MIN_INTERVAL:
            spec.changed("refreshInterval", "is shorter than the minimum of 10s")
        return (format_duration(max(length, _MIN_INTERVAL)) if length != _DEFAULT_INTERVAL else None), False
    if target.text("creationPolicy") == "Merge":
        what = "is Merge, so pulled values are read again every hour instead of once"
        target.lost("creationPolicy", what, "write refreshInterval, as long as you like")
        return None, False
    if not is_immutable:
        field = "refreshPolicy" if policy == "CreatedOnce" else "refreshInterval"
        what = "has the values read once, so the Secret becomes immutable"
        spec.changed(field, what, "write refreshInterval instead of immutable where it may change")
    return None, True


def _length(spec: Reader) -> timedelta:
    written = spec.text("refreshInterval") or "1h"
    try:
        return timedelta(0) if written == "0" else parse_duration(written)
    except ValueError:
        spec.lost("refreshInterval", "is not a duration in whole seconds; 1h is used", "write one such as 1h")
        return _DEFAULT_INTERVAL


# Templates

_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_LIQUID_WORDS: Final = frozenset(
    {"and", "blank", "contains", "else", "empty", "false", "for", "if", "in", "nil", "not", "now", "null", "or",
     "reversed", "true", "values", "with"}
)  # fmt: skip
_FIELD: Final = re.compile(
    r"\{\{(?P<left>-?)\s*(?:\.(?P<name>[A-Za-z_]\w*)|index\s+\.\s+\"(?P<quoted>[-.\w]+)\")(?:\s*\|\s*toString)?\s*(?P<right>-?)\}\}"
)
"""A field reference of a Go template."""
_IN_LIQUID: Final = {
    "b64dec": "| base64_decode", "b64enc": "| base64_encode", "fromJson": "| parse_json", "if": "{% if … %}",
    "lower": "| downcase", "printf": "{{ a }}:{{ b }}", "quote": "| json", "range": "{% for … %}",
    "sha256sum": "| sha256", "toJson": "| json", "trim": "| strip",
    "trunc": "| slice: 0, 8", "upper": "| upcase", "urlquery": "| url_encode",
}  # fmt: skip
"""What to write instead of functions and actions of Go."""
_WRITE: Final = "write it in Liquid under target.template.data (docs/shape.md)"


def _templates(template: Reader, items: list[_Item], *, has_more: bool) -> tuple[list[_Item], dict[str, str]]:
    """Return the items, renamed like the templates that only repeat one, and the other templates."""
    template.one_of("engineVersion", "v2")
    merges = template.text("mergePolicy") == "Merge"
    written, part = template.texts_by_name("data"), template.part("data")
    by_name = {item.name: item for item in items}
    texts: dict[str, str] = {}
    for key, text in written.items():
        fields = [found["name"] or found["quoted"] for found in _FIELD.finditer(text)]
        unknown = [name for name in fields if name not in by_name and not has_more]
        if unknown:
            what = f"reads {unknown[0]!r}, which data does not bring; this key is left out"
            part.lost(key, what, _WRITE, text)
        elif _has_more_than_fields(text):
            used = [f"{name} is {_IN_LIQUID[name]}" for name in _IN_LIQUID if re.search(rf"\b{name}\b", text)]
            what = "has more than field references such as {{ .name }}; this key is left out"
            part.lost(key, what, "; ".join((_WRITE, *used)), text)
        else:
            texts[key] = _FIELD.sub(lambda found: _liquid(found, by_name), text)
    if written and not merges:
        items = _renamed(items, texts, written)
        more = [item.name for item in items if item.name not in written]
        if more or has_more:
            names = ", ".join(more) or "every property of dataFrom"
            what = f"is all that the Secret had; it has {names} as well, since templates read what is in it"
            template.changed("data", what)
    decoded = {item.name: f"{{{{ {item.expression} }}}}" for item in items if item.decoder}
    return items, decoded | texts


def _has_more_than_fields(text: str) -> bool:
    rest = _FIELD.sub("\0", text)
    return any(mark in rest for mark in ("{{", "{%", "{\0"))


def _liquid(found: re.Match[str], by_name: Mapping[str, _Item]) -> str:
    name = found["name"] or found["quoted"]
    item = by_name.get(name) or _Item(name, {})
    return f"{{{{{found['left']} {item.expression} {found['right']}}}}}"


def _renamed(items: list[_Item], texts: dict[str, str], written: Mapping[str, str]) -> list[_Item]:
    """Give a value the names of the templates that only repeat it, and drop those."""
    renamed: list[_Item] = []
    for item in items:
        keys = [key for key, text in texts.items() if text == f"{{{{ {item.expression} }}}}"]
        word = re.compile(rf"(?<![\w-]){re.escape(item.name)}(?![\w-])")
        is_read = any(word.search(text) for key, text in written.items() if key not in keys)
        others = {other.name for other in items} - {item.name}
        if item.decoder or is_read or others & set(keys) or not keys:
            renamed.append(item)
            continue
        for key in keys:
            del texts[key]
            renamed.append(replace(item, name=key))
    return renamed


# The Secret

_TYPES: Final = frozenset(map(str, SecretType))
_FOREIGN: Final = "Argo CD or Flux would prune it, or the name is the operator's"
_TRACKING: Final = frozenset({*TRACKING_LABELS, *TRACKING_ANNOTATIONS})
_RESERVED: Final = re.compile(RESERVED_NAMES)


def _target(
    document: Reader, name: str, short: str, texts: Mapping[str, str], *, is_once: bool
) -> dict[str, Any]:
    """Return spec.target of the ManagedSecret `short`, of the ExternalSecret `name`."""
    part = document.part("spec").part("target")
    written, policy = part.text("name") or name, part.text("creationPolicy")
    part.one_of("deletionPolicy", "Retain")
    return present(
        name=written if written != short else None,
        type=part.part("template").one_of("type", *_TYPES),
        creationPolicy="Merge" if policy == "Merge" else None,
        adopt="IfUnowned",  # the Secret exists, and keeps its values
        deletionPolicy="Delete" if policy in {None, "Owner"} else None,
        immutable=(is_once and policy != "Merge") or None,
        template=present(metadata=_metadata(document, merges=policy == "Merge"), data=dict(texts)),
    )


def _metadata(document: Reader, *, merges: bool) -> dict[str, dict[str, str]]:
    """Return the labels and annotations of the Secret: of the template, without one those of the ExternalSecret."""
    target = document.part("spec").part("target")
    has_template = "template" in target
    metadata = (target.part("template") if has_template else document).part("metadata")
    read = {name: metadata.marks(name) for name in ("labels", "annotations")}
    for name, texts in read.items():
        part = metadata.part(name)
        if merges and texts:
            what = "is not written into a Secret that is merged into"
            metadata.lost(name, what, "write them where the Secret is made")
            texts.clear()
        for key, text in list(texts.items()):
            if has_template and "{{" in text:
                part.lost(key, "is a template, as no label or annotation is", "write a fixed text", text)
            elif not (key in _TRACKING or _RESERVED.match(key)):
                continue
            elif has_template:
                part.lost(key, f"is left out: {_FOREIGN}", "leave it out")
            else:
                part.changed(key, f"is not copied to the Secret: {_FOREIGN}")
            del texts[key]
    return present(**read)
