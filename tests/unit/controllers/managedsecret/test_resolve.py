"""What is invalid in a spec with its class, and how it is reported."""

from typing import Any

import pytest

from keyturn.controllers.managedsecret import resolve
from keyturn.controllers.managedsecret.resolve import ParsedSpecs, resolved
from keyturn.core.errors import Stalled
from keyturn.core.keys import ObjectKey
from keyturn.core.spec.references import Capacity
from keyturn.kube.cache.cache import InformerCache
from tests.support.cases import case, cases
from tests.unit.core.accounts import ALONE, TWICE, spec
from tests.unit.core.builders import PASSWORD, account_in, managed

_OVERLAPS = {"every": "1h", "overlap": "24h"}
_READS = "{{ password }}{% if previous.password %},{{ previous['password'] }}{% endif %}"


def refusal(spec: dict[str, Any], *classes: str) -> Stalled | None:
    cache = InformerCache()
    for name in classes:
        metadata = {"name": name, "uid": name, "resourceVersion": "1"}
        cache.put_class({"metadata": metadata, "spec": {}})
    return resolved(managed({"data": [PASSWORD], **spec}), ParsedSpecs(), cache)[2]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("a", "b"), "there is no SecretClass 'nope'; create it or write one of these as className: a, b"),
        (
            (),
            "there is no SecretClass 'nope', and the cluster has none; create it, or write className: \"\"",
        ),
    ],
    ids=["others", "none"],
)
def test_an_unknown_class_is_refused_with_what_to_write(classes: tuple[str, ...], message: str) -> None:
    found = refusal({"className": "nope"}, *classes)

    assert found is not None
    assert (found.reason, found.message) == ("SecretClassNotFound", message)


@cases(
    ("spec", "reason", "message"),
    case(
        "no class",
        {"data": [{**PASSWORD, "className": "nope"}]},
        "SecretClassNotFound",
        "there is no SecretClass 'nope', and the cluster has none; create it, or remove className of data item"
        " 'password'",
    ),
    case(
        "too often",
        {"data": [{**PASSWORD, "rotation": {"every": "1s"}}]},
        "InvalidSchedule",
        "data item 'password': rotation.every is too short; write 10s or longer",
    ),
    case(
        "an overlap beyond the next rotation",
        {"data": [{**PASSWORD, "keepPrevious": True, "rotation": {"every": "1h", "overlap": "2h"}}]},
        "InvalidSchedule",
        "rotation.overlap (2h) lasts until the next rotation, which can come after 54m and ends it; write a"
        " shorter overlap",
    ),
    case(
        "left out",
        {
            "data": [{**PASSWORD, "rotation": {"every": "90d"}}, {**PASSWORD, "name": "b"}],
            "rotation": {"only": ["b"]},
        },
        "InvalidSchedule",
        "data item 'password' has a rotation of its own, and rotation.only leaves it out; name it there too, or"
        " remove one of the two",
    ),
    case(
        "all are gathered",
        {
            "data": [{**PASSWORD, "rotation": {"every": "2d"}}, {**PASSWORD, "name": "b"}],
            "rotation": {"every": "90d", "jitter": "0%", "gather": "2d"},
        },
        "InvalidSchedule",
        "rotation.gather (2d) is as long as the shortest interval, so that every value would rotate each time;"
        " write a shorter one",
    ),
)
def test_a_value_of_its_own_kind_is_refused_with_what_to_write(
    spec: dict[str, Any], reason: str, message: str
) -> None:
    found = refusal(spec)

    assert found is not None
    assert (found.reason, found.message) == (reason, message)


def test_a_spec_is_resolved_again_once_it_or_what_it_names_is_another_one() -> None:
    cache, specs, key = InformerCache(), ParsedSpecs(), ObjectKey("shop", "db")
    metadata = {"name": "db", "namespace": "shop", "uid": "db", "generation": 1}

    def put(version: str, every: str) -> None:
        # Of an object whose metadata was too large the spec is read without a change of the generation.
        body = spec(data=[{**PASSWORD, "className": "jwt"}], rotation={"every": every})
        cache.put_managed({"metadata": metadata | {"resourceVersion": version}, "spec": body})

    def put_class(version: str, every: str) -> None:
        named = {"name": "jwt", "uid": "jwt", "resourceVersion": version}
        cache.put_class({"metadata": named, "spec": {"rotation": {"every": every}}})

    def wanted(capacity: Capacity = ALONE) -> Any:
        parsed = specs.parsed(key, cache)
        return parsed and resolved(parsed.managed, specs, cache, account_in(parsed.managed, capacity))[1]

    put("1", "90d")
    put_class("1", "80d")
    first = wanted()
    assert wanted() is first
    assert wanted(TWICE).account != first.account
    put_class("2", "70d")
    assert wanted().timetables != first.timetables
    put("2", "60d")
    assert wanted().cadence != first.cadence
    cache.drop_managed(key)
    assert wanted() is None


def test_few_specs_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "_MOST_KEPT", 2)
    specs = ParsedSpecs()
    for name in ("a", "b", "c"):
        resolved(managed({"data": [PASSWORD]}, name=name), specs, InformerCache())
    assert [key.name for key in specs.resolved] == ["b", "c"]


def test_a_generator_that_is_too_weak_is_refused_with_its_item() -> None:
    found = refusal({"data": [{"name": "b", "generate": {"password": {"length": 8}}}]})

    assert found is not None
    assert found.reason == "TooWeak"
    assert found.message.startswith("data item 'b': password gives 8 characters and ")


@cases(
    ("text", "more", "is_refused"),
    case("it reads one", _READS, {}, True),
    case("the word is no expression", "{{ password }}, the previous. one", {}, False),
    case("it reads the current value", "{{ password }}", {}, False),
    case("the overlap ends before", _READS, {"rotation": {"every": "90d"}}, False),
    case("there is no overlap", _READS, {"rotation": {"every": "1h", "overlap": "0s"}}, False),
    case(
        "an item hides previous values",
        _READS,
        {"data": [PASSWORD, {"name": "previous", "literal": "x"}]},
        False,
    ),
)
def test_a_template_reads_previous_values_for_a_whole_overlap(
    text: str, more: dict[str, Any], is_refused: bool
) -> None:
    found = refusal({"target": {"template": {"data": {"KEYS": text}}}, "rotation": _OVERLAPS, **more})

    assert (
        found is not None and found.message.startswith("template 'KEYS' reads previous values")
    ) is is_refused
    assert is_refused or found is None


CA = {"name": "ca", "generate": {"certificate": {"isCA": True, "commonName": "CA"}}}
KEYS = {"tls.crt": "leaf.crt", "tls.key": "leaf.key", "ca.crt": "leaf-ca.crt"}


def signed_by(secret: str) -> dict[str, Any]:
    signed = {"dnsNames": ["orders"], "issuer": {"secretRef": {"name": secret}}}
    return {"name": "leaf", "generate": {"certificate": signed}, "keys": KEYS}


@cases(
    ("spec", "is_refused"),
    case("its own", {"data": [CA, signed_by("db")]}, True),
    case("another", {"data": [CA, signed_by("db")], "target": {"name": "other"}}, False),
    case("of another writer", {"data": [signed_by("db")], "target": {"creationPolicy": "Merge"}}, False),
)
def test_a_certificate_is_signed_by_another_secret(spec: dict[str, Any], *, is_refused: bool) -> None:
    found = refusal(spec)
    assert (found is not None and found.reason == "InvalidGenerator") is is_refused
