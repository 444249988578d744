"""Equal values: which namespaces count as another environment, and which objects a deletion affects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.controllers.managedsecret.compliance import ComplianceMemory, ValueIndex, with_compliance
from keyturn.core.keys import ObjectKey
from keyturn.core.labels import ENVIRONMENT
from keyturn.core.policy import ClassRule
from keyturn.core.value import Value
from keyturn.kube.cache.cache import InformerCache
from tests.unit.core import builders as make

HERE, THERE, ELSEWHERE = (ObjectKey(namespace, "auth") for namespace in ("here", "there", "elsewhere"))
CANARY = Value.of_text("canary-7Qd0")
OTHER = Value.of_text("canary-8Re1")


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
    [("staging", [ClassRule.DISTINCT]), ("production", []), (None, [])],
    ids=["another environment", "the same environment", "no environment"],
)
def test_equal_values_of_two_environments_violate_the_rule(
    memory: ComplianceMemory, environment: str | None, rules: list[str]
) -> None:
    cache = InformerCache()
    cache.sees_namespaces = True
    for namespace, name in ((HERE.namespace, "production"), (THERE.namespace, environment)):
        labels = {ENVIRONMENT: name} if name else {}
        cache.put_namespace({"metadata": {"name": namespace, "resourceVersion": "1", "labels": labels}})
    observed = make.observed(given=make.secret_class(distinctAcrossEnvironments=True))

    found = with_compliance(HERE, observed, memory, cache)

    assert [violation.rule for violation in found.violations] == rules


def test_a_deletion_affects_objects_with_an_equal_value(memory: ComplianceMemory) -> None:
    memory.forget(THERE)
    assert memory.pop_affected() == {HERE}


def held(**values: Value) -> list[tuple[str, Value]]:
    return list(values.items())


def test_who_holds_an_equal_value_is_a_twin_whatever_it_is_called() -> None:
    tags = ValueIndex()
    tags.put(HERE, held(password=CANARY, token=OTHER))
    tags.put(THERE, held(secret=CANARY))
    assert tags.equal_values(HERE) == {"password": {THERE}}
    assert tags.equal_values(THERE) == {"secret": {HERE}}
    assert tags.equal_values(ELSEWHERE) == {}


def test_two_equal_values_of_one_object_are_no_twins() -> None:
    tags = ValueIndex()
    tags.put(HERE, held(password=CANARY, token=CANARY))
    assert tags.equal_values(HERE) == {}


def test_who_is_concerned_by_news_is_reported_once() -> None:
    tags = ValueIndex()
    assert tags.put(HERE, held(password=CANARY)) == set()
    assert tags.put(THERE, held(password=CANARY)) == {HERE}
    assert tags.put(THERE, held(password=CANARY)) == set()
    assert tags.put(THERE, held(password=CANARY, token=OTHER)) == set()


def test_a_value_that_changes_or_goes_is_a_twin_no_more() -> None:
    tags = ValueIndex()
    for key in (HERE, THERE, ELSEWHERE):
        tags.put(key, held(password=CANARY))
    assert tags.put(HERE, held(password=OTHER)) == {THERE, ELSEWHERE}
    assert tags.drop(ELSEWHERE) == {THERE}
    assert tags.equal_values(THERE) == {}
    assert tags.drop(ELSEWHERE) == set()


def test_the_key_is_another_in_each_process_and_no_tag_holds_a_value() -> None:
    first, second = ValueIndex(), ValueIndex()
    for tags in (first, second):
        tags.put(HERE, held(password=CANARY))
    one, two = (next(iter(tags._tags[HERE])) for tags in (first, second))
    assert one[0] == two[0] == "password"
    assert one[1] != two[1]
    assert len(first._key) == 32
    assert CANARY.reveal() not in one[1]


def test_tags_are_complete_when_all_that_was_there_at_the_start_was_read() -> None:
    tags = ValueIndex()
    assert not tags.is_complete, "nobody has said what there is"
    tags.mark_read(HERE)
    tags.expect([HERE, THERE])
    assert not tags.is_complete
    tags.mark_read(HERE)
    tags.drop(THERE)
    assert tags.is_complete


def test_where_nothing_was_there_tags_are_complete_at_once() -> None:
    tags = ValueIndex()
    tags.expect([])
    assert tags.is_complete


def test_who_waits_for_the_others_continues_when_the_last_was_read() -> None:
    tags = ValueIndex()
    tags.expect([HERE, THERE])
    tags.notify_when_complete(HERE)
    assert tags.mark_read(HERE) == set()
    assert tags.mark_read(THERE) == {HERE}
    assert tags.mark_read(THERE) == set()


@given(st.lists(st.tuples(st.sampled_from([HERE, THERE, ELSEWHERE]), st.integers(0, 3)), max_size=30))
def test_after_any_changes_twins_are_as_if_only_the_last_had_been(
    changes: list[tuple[ObjectKey, int]],
) -> None:
    tags, last = ValueIndex(), dict[ObjectKey, int]()
    for key, number in changes:
        tags.put(key, held(password=Value(bytes([number]))) if number else ())
        last[key] = number
    for key in last:
        others = {other for other in last if other != key and last[other] == last[key] != 0}
        assert tags.equal_values(key) == ({"password": others} if others else {})
    assert len(tags._holders) == len(set(last.values()) - {0}), "nothing is left behind"
