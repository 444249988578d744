"""What an older CRD lacks is named, field by field; a newer one lacks nothing."""

import copy
from typing import Any

import pytest

from keyturn.installation.checks import Point, Result
from keyturn.installation.checks.schemas import APPLY, SHALLOW, Installed, compared, lacking, points_of
from keyturn.installation.crds.definition import KINDS

_ALL = {kind.name: kind.schema() for kind in KINDS}


def older(kind: str, *fields: str) -> dict[str, Any]:
    """Return all schemas, without some fields of one kind."""
    schemas = copy.deepcopy(_ALL)
    for field in fields:
        *parents, name = field.split(".")
        node = schemas[kind]
        for parent in parents:
            node = node["properties"][parent.removesuffix("[]")]
            node = node["items"] if parent.endswith("[]") else node
        del node["properties"][name]
    return schemas


def shortfalls(schemas: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    return {one.crd: one.lacks for one in compared(schemas) if one.is_outdated}


def test_the_schemas_of_this_version_lack_nothing() -> None:
    assert shortfalls(_ALL) == {}


@pytest.mark.parametrize(
    "fields",
    [
        ("status.workloads", "status.history"),
        ("status.conditions[].reason",),
        ("spec.data[].generate.password.length",),
        ("spec",),
    ],
    ids=["of the status", "in a list", "of a generator", "a whole part"],
)
def test_each_missing_field_is_named(fields: tuple[str, ...]) -> None:
    found = shortfalls(older("ManagedSecret", *fields))

    assert {crd: set(lacks) for crd, lacks in found.items()} == {"managedsecrets.keyturn.dev": set(fields)}


def test_a_value_that_an_enumeration_lacks_is_named() -> None:
    desired = {"properties": {"onFailure": {"enum": ["Rollback", "Pause"]}}}
    there = {"properties": {"onFailure": {"enum": ["Pause"]}}}

    assert list(lacking(desired, there, "spec")) == ["spec.onFailure: Rollback"]


@pytest.mark.parametrize(
    "there",
    [
        {"properties": {"a": {"properties": {"b": {}, "c": {}}}, "new": {}}},
        {"properties": {"a": {"x-kubernetes-preserve-unknown-fields": True}}},
    ],
    ids=["newer", "keeps everything"],
)
def test_what_keeps_every_field_lacks_nothing(there: dict[str, Any]) -> None:
    assert list(lacking({"properties": {"a": {"properties": {"b": {}}}}}, there, "spec")) == []


def test_a_kind_that_is_not_there_is_named() -> None:
    schemas = {name: schema for name, schema in _ALL.items() if name != "EmergencyRotation"}

    (one,) = [one for one in compared(schemas) if one.is_outdated]
    assert one.shortfall == "emergencyrotations.keyturn.dev is not installed"


def test_without_generators_and_providers_the_rest_is_compared_all_the_same() -> None:
    schemas = older("ManagedSecret", "status.workloads", "spec.data[].generate.password")

    (one,) = [one for one in compared(schemas, SHALLOW) if one.is_outdated]
    assert one.lacks == ("status.workloads",)


def test_many_missing_fields_are_counted() -> None:
    fields = tuple(f"status.{letter}" for letter in "abcdefgh")

    assert points_of((Installed("a", is_there=True, lacks=fields),)) == [
        Point(
            "crds",
            Result.FAILED,
            "a lacks status.a, status.b, status.c, status.d, status.e, status.f and 2 more",
            APPLY,
        )
    ]
