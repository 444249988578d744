"""Converts data and dataFrom."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from .generators import generated, keys_of
from .goregexp import replace_all
from .refs import StoreRef

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .inputs import Inputs
    from .strict_reader import StrictReader

__all__ = ["DECODERS", "ConvertedItem", "Sources", "sources", "store_ref"]

DECODERS: Final = {"Base64": "base64_decode", "Base64URL": "base64_url_safe_decode"}
"""Liquid filter of each decoding strategy."""
_GJSON = re.compile(r"[#*?|@!{}()\[\]]|\\[^.]")
_WHOLE = frozenset({"(.*)", "^(.*)$", "(.+)", "^(.+)$", "^(.*)", "(.*)$"})
_BEGINNING = frozenset({"^", "(^)"})
_PREFIX = re.compile(r"(?P<prefix>[-._A-Za-z0-9]*)\$(?:1|\{1\})")
_TRANSFORM = re.compile(r"(?P<prefix>[-._A-Za-z0-9]*)\{\{-? *\.value *-?\}\}")
_IN_TEMPLATE = "write what you need of them as literals"
_ELSEWHERE = "write the names in data, one item each, or spell them as wanted at the store"


@dataclass(frozen=True, slots=True)
class ConvertedItem:
    """One value with its source."""

    name: str
    source: dict[str, Any]
    """The item without its name: `from` or `generate`, optionally `keys`."""
    path: str
    """Path in the input."""
    decoder: str | None = None

    @property
    def is_pulled(self) -> bool:
        return "from" in self.source

    @property
    def body(self) -> dict[str, Any]:
        return {"name": self.name, **self.source}

    def named(self, name: str) -> ConvertedItem:
        return replace(self, name=name)


@dataclass(frozen=True, slots=True)
class Sources:
    """All sources of the values of one Secret."""

    items: tuple[ConvertedItem, ...]
    whole: tuple[dict[str, Any], ...]
    """Entries of dataFrom."""

    @property
    def pulls(self) -> bool:
        return bool(self.whole) or any(item.is_pulled for item in self.items)

    @property
    def makes(self) -> bool:
        return any("generate" in item.source for item in self.items)


def sources(spec: StrictReader, namespace: str, inputs: Inputs) -> Sources:
    """Convert data and dataFrom of an ExternalSecret."""
    reader = _Reader(store_ref(spec.part("secretStoreRef")), namespace, inputs)
    read = [item for entry in spec.parts("data") if (item := reader.item(entry))]
    items: list[ConvertedItem] = []
    whole: list[dict[str, Any]] = []
    for entry in spec.parts("dataFrom"):
        if "sourceRef" in entry and "generatorRef" in entry.part("sourceRef"):
            items += reader.made(entry)
        elif pulled := reader.whole(entry):
            whole.append(pulled)
    _report_on_clash(spec, whole)
    return Sources(tuple(_last(spec, [*items, *read])), tuple(whole))


def _report_on_clash(spec: StrictReader, whole: list[dict[str, Any]]) -> None:
    prefixes = [entry.get("prefix", "") for entry in whole]
    if len(prefixes) > len(set(prefixes)):
        spec.report.changed(
            spec.at("dataFrom"),
            "has entries that may bring the same key: there the last one wins, here the Secret is not written",
            "give them prefixes if they do",
        )


def _last(spec: StrictReader, items: list[ConvertedItem]) -> Iterator[ConvertedItem]:
    """Drop entries that a later one overwrites."""
    last = {item.name: item for item in items}
    for item in items:
        if last[item.name] is item:
            yield item
        else:
            spec.report.changed(item.path, f"is overwritten by {last[item.name].path} and left out")


def store_ref(part: StrictReader) -> StoreRef | None:
    """Return the store reference, if any."""
    name, kind = part.text("name"), part.text("kind") or "SecretStore"
    return StoreRef(kind, name) if name else None


@dataclass(frozen=True, slots=True)
class _Reader:
    store: StoreRef | None
    namespace: str
    inputs: Inputs

    def item(self, entry: StrictReader) -> ConvertedItem | None:
        source = entry.part("sourceRef")
        source.lost("generatorRef", "is not read in data by External Secrets either", "write it in dataFrom")
        store = store_ref(source.part("storeRef")) or self.store
        name, ref = entry.text("secretKey"), entry.part("remoteRef")
        remote = self._remote(ref, store, ref.text("property"))
        decoder = _decoder(ref)
        if not (name and store and "key" in remote):
            _report_incomplete(entry, secretKey=name, storeRef=store, key=ref.text("key"))
            return None
        return ConvertedItem(
            name, {"from": {"storeRef": store.body, "remoteRef": remote}}, entry.path, decoder
        )

    def made(self, entry: StrictReader) -> list[ConvertedItem]:
        """Convert an entry of dataFrom with a generator."""
        ref = entry.part("sourceRef").part("generatorRef")
        made = generated(ref, self.namespace, self.inputs)
        keys = [key for name, source in made.items() for key in keys_of(name, source).values()]
        renamed = dict(zip(keys, _rename(keys, entry.parts("rewrite")), strict=True))
        return [_named_by_keys(name, source, renamed, entry) for name, source in made.items()]

    def whole(self, entry: StrictReader) -> dict[str, Any] | None:
        """Convert an entry of dataFrom with all properties of a key."""
        store = store_ref(entry.part("sourceRef").part("storeRef")) or self.store
        if "find" in entry:
            entry.lost(
                "find", "searches the store, which Keyturn never does", "name each key in data or dataFrom"
            )
            entry.lost("rewrite", "renames what find would find", "choose the names in data")
            return None
        ref = entry.part("extract") if "extract" in entry else entry  # v1alpha1 has the reference itself
        remote = self._remote(ref, store)
        ref.lost(
            "property",
            "takes the parts of one property; Keyturn takes those of the whole value",
            "name them in data with property: OUTER.INNER",
        )
        if _decoder(ref):
            ref.report.lost(ref.at("decodingStrategy"), "is not applied to parts", "name them in data")
        if not (store and "key" in remote):
            _report_incomplete(entry, storeRef=store, key=ref.text("key"))
            return None
        prefix = _prefix(entry.parts("rewrite"))
        return {"storeRef": store.body, "remoteRef": remote, **({"prefix": prefix} if prefix else {})}

    def _remote(
        self, ref: StrictReader, store: StoreRef | None, property_: str | None = None
    ) -> dict[str, Any]:
        key, version = ref.text("key"), ref.text("version")
        ref.lost_unless("None", "metadataPolicy", "reads tags and labels; Keyturn reads values", _IN_TEMPLATE)
        ref.lost_unless(
            "Default", "conversionStrategy", "respells names; Keyturn takes them as they are", _ELSEWHERE
        )
        remote = {"key": self.inputs.spelled(store, self.namespace, key, ref)} if key and store else {}
        if property_:
            remote["property"] = _property(ref, property_)
        if version:
            remote["version"] = version.removeprefix("uuid/")
        return remote


def _report_incomplete(entry: StrictReader, **parts: object) -> None:
    missing = " and no ".join(name for name, given in parts.items() if not given)
    entry.report.lost(entry.path, f"has no {missing}, and is left out", "write what is missing")


def _property(ref: StrictReader, written: str) -> str:
    if _GJSON.search(written):
        ref.report.lost(
            ref.at("property"),
            "searches in JSON; Keyturn follows names and places with dots between them",
            "write a path such as outer.0.inner",
        )
    return written.replace("\\.", ".")


def _decoder(ref: StrictReader) -> str | None:
    strategy = ref.text("decodingStrategy") or "None"
    if strategy in DECODERS:
        return DECODERS[strategy]
    if strategy != "None":
        ref.report.lost(
            ref.at("decodingStrategy"),
            f"{strategy} decodes what looks like base64; Keyturn never guesses",
            "where it is base64, write a template with base64_decode",
        )
    return None


# Renaming


def _prefix(rewrites: list[StrictReader]) -> str | None:
    """Return the prefix that the rewrites add, if they do nothing else."""
    prefix = ""
    for rewrite in rewrites:
        found = _prefix_of(rewrite)
        if found is None:
            rewrite.report.lost(rewrite.path, "renames by more than a prefix and is left out", _ELSEWHERE)
        prefix = f"{found or ''}{prefix}"
    return prefix or None


def _prefix_of(rewrite: StrictReader) -> str | None:
    if "regexp" in rewrite:
        regexp = rewrite.part("regexp")
        source, target = regexp.text("source") or "", regexp.text("target") or ""
        if source in _BEGINNING:
            return target if "$" not in target else None
        found = _PREFIX.fullmatch(target) if source in _WHOLE else None
        return found["prefix"] if found else None
    if "transform" in rewrite:
        found = _TRANSFORM.fullmatch(rewrite.part("transform").text("template") or "")
        return found["prefix"] if found else None
    rewrite.ignore("merge")  # reported as a whole
    return None


def _rename(names: list[str], rewrites: list[StrictReader]) -> list[str]:
    """Rename the keys that a generator makes, which are known."""
    for rewrite in rewrites:
        regexp = rewrite.part("regexp")
        source, target = regexp.text("source"), regexp.text("target") or ""
        made = [replace_all(source, target, name) if source is not None else None for name in names]
        if None in made:
            rewrite.ignore("transform", "merge")
            rewrite.report.lost(
                rewrite.path, "renames in a way that is not understood here", "rename it in data"
            )
        elif "" in made:
            rewrite.report.lost(
                rewrite.path,
                "leaves no name, so External Secrets drops the value; here it keeps its name",
                "rename it in data; a group before a letter, digit or _ is written ${1}",
            )
        names = [new or name for new, name in zip(made, names, strict=True)]
    return names


def _named_by_keys(
    name: str, source: dict[str, Any], renamed: Mapping[str, str], entry: StrictReader
) -> ConvertedItem:
    """Return a generated item: with one key it has that name, with several it maps each output to its key."""
    keys = keys_of(name, source)
    new = {output: renamed[key] for output, key in keys.items()}
    first, *others = new.values()
    if not others:
        return ConvertedItem(first, source, entry.path)
    if len(set(new.values())) < len(new):
        entry.report.lost(
            entry.at("rewrite"), "gives several outputs one name and is left out", "write keys in data"
        )
        new = keys
    if new == keys:
        return ConvertedItem(name, source, entry.path)
    return ConvertedItem(f"{name}-{first}", {**source, "keys": new}, entry.path)
