"""Whatever stands in a manifest is in the output, or is named."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from keyturn.offline.convert import Weight, convert, written
from keyturn.offline.convert.conversion import label_of
from tests.support.soak import TIMES
from tests.unit.offline.convert.cases import CASES, Case, told

_Path = tuple[str | int, ...]

# What means nothing: the defaults of External Secrets, which are ours as well, and what a server writes.
_USUAL = {
    ("conversionStrategy", "Default"),
    ("creationPolicy", "Owner"),
    ("decodingStrategy", "None"),
    ("deletionPolicy", "Retain"),
    ("engineVersion", "v2"),
    ("immutable", False),
    ("kind", "SecretStore"),
    ("metadataPolicy", "None"),
    ("refreshInterval", "1h"),
    ("refreshInterval", "1h0m0s"),
    ("refreshPolicy", "Periodic"),
    ("service", "SecretsManager"),
    ("type", "Opaque"),
    ("version", "v2"),
}
_SERVERS = {
    *("status", "uid", "generation", "resourceVersion", "creationTimestamp", "managedFields", "finalizers"),
}
_MARK = "x-unmistakable-x"


def leaves(node: Any, path: _Path = ()) -> Iterator[_Path]:
    """Yield where every single value of a document is."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, child in children:
        yield from leaves(child, (*path, name))
    if not isinstance(node, dict | list):
        yield path


def mappings(node: Any, path: _Path = ()) -> Iterator[_Path]:
    if isinstance(node, dict):
        yield path
    for name, child in (
        node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    ):
        yield from mappings(child, (*path, name))


def at(node: Any, path: _Path) -> Any:
    for name in path:
        node = node[name]
    return node


def without(documents: list[dict[str, Any]], path: _Path) -> list[dict[str, Any]]:
    changed = copy.deepcopy(documents)
    del at(changed, path[:-1])[path[-1]]
    return changed


def everything(documents: list[dict[str, Any]]) -> str:
    """Return all that a conversion says."""
    conversion = convert(documents)
    return written(conversion.manifests) + told(conversion)


def outcome(documents: list[dict[str, Any]]) -> object:
    """Return what `everything` makes its text of; to compare texts, their YAML has to be written each time."""
    conversion = convert(documents)
    manifests = [
        (one.body, one.source, [finding for finding in one.findings if finding.weight is Weight.LOST])
        for one in conversion.manifests
    ]
    return manifests, told(conversion)


def means_nothing(documents: list[dict[str, Any]], path: _Path) -> bool:
    document = documents[int(path[0])]
    text = at(documents, path)
    noise = {"kubectl.kubernetes.io/last-applied-configuration", "force-sync"}
    return (
        (path[-1], text) in _USUAL
        or not _SERVERS.isdisjoint(map(str, path))
        or path[-1] in noise
        or document["kind"] in {"Deployment", "Secret", "ServiceAccount"}
        or is_handed_on(documents, int(path[0]))
        or (path[-2:] == ("target", "name") and text == document["metadata"]["name"])
        # External Secrets reads neither again.
        or (path[-1] == "refreshInterval" and is_never_refreshed(document["spec"]))
    )


def is_handed_on(documents: list[dict[str, Any]], place: int) -> bool:
    """Whether a document stays as it is, beside what is made of it."""
    return any(other is documents[place] for other in convert(documents).others)


def is_never_refreshed(spec: dict[str, Any]) -> bool:
    return spec.get("target", {}).get("immutable") is True


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_field_that_means_something_makes_a_difference(case: Case) -> None:
    documents = case.documents()
    before = outcome(documents)

    silent = [
        path
        for path in leaves(documents)
        if len(path) > 2
        and not means_nothing(documents, path)
        and outcome(without(documents, path)) == before
        and not is_named(documents, path)
    ]

    assert silent == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_field_that_is_unknown_at_the_top_of_a_document_is_named_or_handed_on(case: Case) -> None:
    silent = []
    for place, one in enumerate(case.documents()):
        for path in ((place,), (place, "metadata")):
            documents = case.documents()
            at(documents, path)[_MARK] = "text"
            if one["kind"] not in _READ_BY_OTHERS and not (
                is_named(documents, (*path, _MARK))
                or _MARK in everything(documents)
                or is_handed_on(documents, place)
            ):
                silent.append((one["kind"], path))

    assert silent == []


@settings(max_examples=50 * TIMES)
@given(data=st.data())
def test_a_field_that_is_unknown_is_named_or_handed_on(data: st.DataObject) -> None:
    documents = data.draw(st.sampled_from(CASES)).documents()
    places = [place for place, one in enumerate(documents) if one["kind"] not in _READ_BY_OTHERS]
    assume(places)
    place = data.draw(st.sampled_from(places))
    paths = [path for path in mappings(documents[place], (place,)) if _SERVERS.isdisjoint(map(str, path))]
    path = data.draw(st.sampled_from(paths))
    content = data.draw(st.sampled_from(["text", 7, True, ["a", "b"], {"deep": {"er": 1}}]))
    at(documents, path)[_MARK] = content

    assert (
        is_named(documents, (*path, _MARK))
        or _MARK in everything(documents)
        or is_handed_on(documents, place)
    )


@settings(max_examples=50 * TIMES)
@given(data=st.data())
def test_a_field_of_another_form_is_no_traceback(data: st.DataObject) -> None:
    documents = data.draw(st.sampled_from(CASES)).documents()
    paths = [path for path in leaves(documents) if len(path) > 2 and path[1] not in {"kind", "apiVersion"}]
    path = data.draw(st.sampled_from(paths))
    whole = path[: data.draw(st.integers(3, len(path)))]
    at(documents, whole[:-1])[whole[-1]] = data.draw(
        st.sampled_from(["", 0, None, True, [], ["a"], [[]], {}, {"a": 1}])
    )

    everything(documents)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("part", ["data", "dataFrom"])
@pytest.mark.parametrize("content", [True, 7, {"a": 1}], ids=repr)
def test_what_should_be_a_list_and_is_none_is_no_traceback(case: Case, part: str, content: object) -> None:
    documents = case.documents()
    for document in documents:
        if document["kind"] == "ExternalSecret":
            document["spec"][part] = content
    everything(documents)


# These stand beside what is converted, and are read only where it names them.
_READ_BY_OTHERS = {"Deployment", "Secret", "ServiceAccount"}


def is_named(documents: list[dict[str, Any]], path: _Path) -> bool:
    """Say whether a finding names a field, or something around it, which stands for all within."""
    document = documents[int(path[0])]
    named = {one.field for one in convert(documents).findings if one.document == label_of(document)}
    steps = [
        f"[{step}]" if isinstance(step, int) or not step.isidentifier() else f".{step}" for step in path[1:]
    ]
    if "spec" in named:
        return True  # a document that is not converted is named as a whole
    return any("".join(steps[:count]).removeprefix(".") in named for count in range(1, len(steps) + 1))
