"""The manifests name the kinds of workload that the operator's table has."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from keyturn.core.observation.workload_kinds import (
    OPTIONAL_TYPES,
    REQUIRED_TYPES,
    WORKLOAD_TYPES,
    WorkloadType,
)

_MANIFESTS = Path(__file__).parents[4] / "manifests"
each_kind = pytest.mark.parametrize("row", WORKLOAD_TYPES, ids=lambda row: row.plural)


def documents(path: str) -> list[Any]:
    return list(yaml.load_all((_MANIFESTS / path).read_text(), Loader=yaml.CSafeLoader))


def verbs_of(role: Any, row: WorkloadType) -> list[list[str]]:
    return [
        rule["verbs"]
        for rule in role["rules"]
        if row.group in rule["apiGroups"] and row.plural in rule["resources"]
    ]


@pytest.mark.parametrize("row", REQUIRED_TYPES, ids=lambda row: row.plural)
def test_the_operator_may_watch_and_restart_each_kind(row: WorkloadType) -> None:
    assert verbs_of(documents("base/access/access.yaml")[0], row) == [["list", "watch", "patch"]]


@pytest.mark.parametrize("row", OPTIONAL_TYPES, ids=lambda row: row.plural)
def test_it_may_watch_and_restart_an_optional_kind_with_its_component(row: WorkloadType) -> None:
    assert verbs_of(documents("base/access/access.yaml")[0], row) == []
    role = documents(f"components/{row.component}/{row.plural}.yaml")[0]
    assert verbs_of(role, row) == [["list", "watch", "patch"]]


@each_kind
def test_a_policy_limits_the_operators_patches_of_each_kind(row: WorkloadType) -> None:
    rules = [
        rule
        for path in ("workloads", "rollouts")
        for rule in documents(f"base/own-account/{path}.yaml")[0]["spec"]["matchConstraints"]["resourceRules"]
    ]
    assert any(
        row.group in rule["apiGroups"]
        and row.version in rule["apiVersions"]
        and row.plural in rule["resources"]
        for rule in rules
    )


@each_kind
def test_a_policy_checks_the_authors_right_to_patch_each_kind(row: WorkloadType) -> None:
    policy = documents("base/authors/rollouts.yaml")[0]
    variables = {variable["name"]: variable["expression"] for variable in policy["spec"]["variables"]}
    assert f"t.kind == '{row.kind}'" in variables[row.plural]
    assert f"authorizer.group('{row.group}').resource('{row.plural}')" in variables[row.plural]
