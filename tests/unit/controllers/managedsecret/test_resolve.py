"""What is invalid in a spec with its class, and how it is reported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from keyturn.controllers.managedsecret.resolve import ParsedSpecs, resolved
from keyturn.kube.cache.cache import InformerCache
from tests.unit.core.accounts import ALONE, TWICE, spec
from tests.unit.core.builders import PASSWORD, database_in, managed

if TYPE_CHECKING:
    from keyturn.core.errors import Stalled

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


@pytest.mark.parametrize(
    ("spec", "reason", "message"),
    [
        pytest.param(
            {"data": [{**PASSWORD, "className": "nope"}]},
            "SecretClassNotFound",
            "there is no SecretClass 'nope', and the cluster has none; create it, or remove className of data item"
            " 'password'",
            id="no class",
        ),
        pytest.param(
            {"data": [{**PASSWORD, "rotation": {"every": "1s"}}]},
            "InvalidSchedule",
            "data item 'password': rotation.every is too short; write 10s or longer",
            id="too often",
        ),
        pytest.param(
            {"data": [{**PASSWORD, "keepPrevious": True, "rotation": {"every": "1h", "overlap": "2h"}}]},
            "InvalidSchedule",
            "rotation.overlap (2h) lasts until the next rotation, which can come after 54m and ends it; write a"
            " shorter overlap",
            id="an overlap beyond the next rotation",
        ),
        pytest.param(
            {
                "data": [{**PASSWORD, "rotation": {"every": "90d"}}, {**PASSWORD, "name": "b"}],
                "rotation": {"only": ["b"]},
            },
            "InvalidSchedule",
            "data item 'password' has a rotation of its own, and rotation.only leaves it out; name it there too, or"
            " remove one of the two",
            id="left out",
        ),
        pytest.param(
            {
                "data": [{**PASSWORD, "rotation": {"every": "2d"}}, {**PASSWORD, "name": "b"}],
                "rotation": {"every": "90d", "jitter": "0%", "gather": "2d"},
            },
            "InvalidSchedule",
            "rotation.gather (2d) is as long as the shortest interval, so that every value would rotate each time;"
            " write a shorter one",
            id="all are gathered",
        ),
    ],
)
def test_a_value_of_its_own_kind_is_refused_with_what_to_write(
    spec: dict[str, Any], reason: str, message: str
) -> None:
    found = refusal(spec)

    assert found is not None
    assert (found.reason, found.message) == (reason, message)


def test_a_changed_class_of_a_value_changes_what_is_wanted() -> None:
    cache, specs = InformerCache(), ParsedSpecs()
    found = managed({"data": [{**PASSWORD, "className": "jwt"}]})

    def intervals(every: str, version: str) -> list[Any]:
        metadata = {"name": "jwt", "uid": "jwt", "resourceVersion": version}
        cache.put_class({"metadata": metadata, "spec": {"rotation": {"every": every}}})
        desired = resolved(found, specs, cache)[1]
        assert desired
        return [one.cadence for one in desired.timetables]

    assert intervals("90d", "1") != intervals("30d", "2")


def test_a_changed_capacity_of_the_server_changes_what_is_wanted() -> None:
    cache, specs = InformerCache(), ParsedSpecs()
    found = managed(spec())
    for capacity in (ALONE, TWICE):
        database = database_in(found, capacity)
        _, desired, _ = resolved(found, specs, cache, database)
        assert desired
        assert desired.database == database


def test_a_generator_that_is_too_weak_is_refused_with_its_item() -> None:
    found = refusal({"data": [{"name": "b", "generate": {"password": {"length": 8}}}]})

    assert found is not None
    assert found.reason == "TooWeak"
    assert found.message.startswith("data item 'b': password gives 8 characters and ")


@pytest.mark.parametrize(
    ("text", "more", "is_refused"),
    [
        pytest.param(_READS, {}, True, id="it reads one"),
        pytest.param("{{ password }}, the previous. one", {}, False, id="the word is no expression"),
        pytest.param("{{ password }}", {}, False, id="it reads the current value"),
        pytest.param(_READS, {"rotation": {"every": "90d"}}, False, id="the overlap ends before"),
        pytest.param(_READS, {"rotation": {"every": "1h", "overlap": "0s"}}, False, id="there is no overlap"),
        pytest.param(
            _READS,
            {"data": [PASSWORD, {"name": "previous", "literal": "x"}]},
            False,
            id="an item hides previous values",
        ),
    ],
)
def test_a_template_reads_previous_values_for_a_whole_overlap(
    text: str,
    more: dict[str, Any],
    is_refused: bool,  # noqa: FBT001
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


@pytest.mark.parametrize(
    ("spec", "is_refused"),
    [
        pytest.param({"data": [CA, signed_by("db")]}, True, id="its own"),
        pytest.param({"data": [CA, signed_by("db")], "target": {"name": "other"}}, False, id="another"),
        pytest.param(
            {"data": [signed_by("db")], "target": {"creationPolicy": "Merge"}}, False, id="of another writer"
        ),
    ],
)
def test_a_certificate_is_signed_by_another_secret(spec: dict[str, Any], *, is_refused: bool) -> None:
    found = refusal(spec)
    assert (found is not None and found.reason == "InvalidGenerator") is is_refused
