"""Equal values: which namespaces count as another environment, and which objects a deletion affects."""

from __future__ import annotations

import pytest

from keyturn.controllers.managedsecret.compliance import ComplianceMemory, with_compliance
from keyturn.core.keys import ObjectKey
from keyturn.core.labels import ENVIRONMENT
from keyturn.core.policy.rules import DISTINCT
from keyturn.core.value import Value
from keyturn.kube.cache.cache import InformerCache
from tests.unit.core import builders as make

HERE, THERE = ObjectKey("shop", "db"), ObjectKey("office", "db")


@pytest.fixture
def memory() -> ComplianceMemory:
    """Both objects have one value."""
    memory = ComplianceMemory()
    for key in (HERE, THERE):
        memory.index.put(key, [("password", Value.of_text("x"))])
    memory.index.expect(())
    return memory


@pytest.mark.parametrize(
    ("environment", "rules"),
    [("staging", [DISTINCT]), ("production", []), (None, [])],
    ids=["another environment", "the same environment", "no environment"],
)
def test_equal_values_of_two_environments_violate_the_rule(
    memory: ComplianceMemory, environment: str | None, rules: list[str]
) -> None:
    cache = InformerCache()
    cache.sees_namespaces = True
    for namespace, name in (("shop", "production"), ("office", environment)):
        labels = {ENVIRONMENT: name} if name else {}
        cache.put_namespace({"metadata": {"name": namespace, "resourceVersion": "1", "labels": labels}})
    observed = make.observed(given=make.secret_class(distinctAcrossEnvironments=True))

    found = with_compliance(HERE, observed, memory, cache)

    assert [violation.rule for violation in found.violations] == rules


def test_a_deletion_affects_objects_with_an_equal_value(memory: ComplianceMemory) -> None:
    memory.forget(THERE)
    assert memory.pop_affected() == {HERE}
