"""What real repositories hold is converted as the files beside this one say."""

from typing import Any

import pytest
import yaml

from keyturn.api import ManagedSecret
from keyturn.offline.convert import convert, written
from tests.unit.offline.convert.cases import CASES, Case, documents, told

_EACH = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def test_there_are_cases_of_every_kind() -> None:
    kinds = {document["kind"] for case in CASES for document in case.documents()}

    assert {"ClusterSecretStore", "ExternalSecret", "Password", "Secret", "SecretStore"} <= kinds


@_EACH
def test_a_repository_is_converted_as_expected(case: Case) -> None:
    conversion = convert(case.documents())

    assert written(conversion.manifests) == case.output
    assert told(conversion) == case.findings


@_EACH
def test_the_output_says_again_what_was_made(case: Case) -> None:
    conversion = convert(case.documents())

    assert documents(written(conversion.manifests)) == [manifest.body for manifest in conversion.manifests]


@_EACH
def test_the_operator_can_read_every_managed_secret(case: Case) -> None:
    for body in _of_kind(case, "ManagedSecret"):
        ManagedSecret.model_validate(body)


@_EACH
def test_a_second_conversion_finds_nothing_more_to_convert(case: Case) -> None:
    once = convert(case.documents())

    again = convert(documents(case.output))

    assert (again.manifests, again.findings) == ((), ())
    assert len(again.others) == len(once.manifests)


def test_no_value_of_a_secret_is_printed() -> None:
    for case in CASES:
        values = [
            value
            for document in case.documents()
            if document["kind"] == "Secret"
            for part in ("data", "stringData")
            for value in document.get(part, {}).values()
        ]
        assert [value for value in values if value in case.output + case.findings] == []


def test_what_belongs_to_others_is_handed_back_untouched() -> None:
    others = convert(_case("foreign").documents()).others

    assert [other["kind"] for other in others] == ["Secret", "Deployment"]


def test_meaning_is_whole_where_nothing_is_lost() -> None:
    whole = {case.name for case in CASES if convert(case.documents()).is_whole}

    assert whole == {case.name for case in CASES if "LOST " not in case.findings}
    assert "plain" in whole


def _case(name: str) -> Case:
    (case,) = (case for case in CASES if case.name == name)
    return case


def _of_kind(case: Case, kind: str) -> list[dict[str, Any]]:
    return [body for body in yaml.safe_load_all(case.output) if body and body["kind"] == kind]
