"""What the watches told: only news count, and each change names whom it concerns."""

import tracemalloc
from dataclasses import replace
from typing import Any

import pytest

from keyturn.api.status import HistoryEntry, ManagedSecretStatus
from keyturn.api.target import DeletionPolicy
from keyturn.core.errors import Stalled
from keyturn.core.keys import (
    DATABASE_TARGET,
    SECRET_STORE,
    EmergencyKey,
    ObjectKey,
    StoreKey,
    TargetKey,
    WorkloadKey,
)
from keyturn.core.observation.workload import Workload
from keyturn.kube.cache.cache import InformerCache, namespace_key
from keyturn.kube.secret_informer import SecretMeta
from tests.support.cases import case, cases
from tests.unit.core.builders import use, workload

DB, CACHE = ObjectKey("shop", "db"), ObjectKey("shop", "cache")
API = WorkloadKey("shop", "Deployment", "api")
CANARY = "canary-7Qd0"
CREATED = "2026-11-24T12:00:00Z"
EPOCH, BAD = "1970-01-01T00:00:00Z", "0000-01-01T00:00:00Z"
ENTRY = {"reason": "Due", "startedAt": CREATED, "result": "Succeeded"}


def managed(version: int = 1, name: str = "db", **spec: Any) -> dict[str, Any]:
    metadata = {
        "name": name,
        "namespace": "shop",
        "uid": "u",
        "generation": 1,
        "resourceVersion": str(version),
    }
    return {"metadata": metadata, "spec": {"data": [{"name": "a", "generate": {"password": {}}}]} | spec}


def secret(name: str = "db", version: int = 1, owner: str = "db", uid: str = "u") -> SecretMeta:
    return SecretMeta("shop", name, str(version), uid, owner, 1, None)


def secret_class(version: int = 1, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "strict", "resourceVersion": str(version)}, "spec": spec}


# ManagedSecrets


@cases(
    ("version", "is_news"),
    case("newer", 6, True),
    case("the same", 5, False),
    case("older", 4, False),
)
def test_only_a_newer_object_is_news(version: int, *, is_news: bool) -> None:
    cache = InformerCache()
    cache.put_managed(managed(5, owner="first"))
    assert cache.put_managed(managed(version, owner="second")) == is_news
    found = cache.managed(DB)
    assert found
    assert found[0].spec.owner == ("second" if is_news else "first")
    assert cache.version_of(DB) == max(version, 5)


def test_a_thousand_objects_take_less_than_three_kibibytes_each() -> None:
    bodies = [managed(name=f"secret-{number}") for number in range(1000)]
    cache = InformerCache()
    tracemalloc.start()
    try:
        for body in bodies:
            cache.put_managed(body)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken / 1000 < 3 * 1024


@pytest.mark.parametrize("part", ["labels", "annotations", "finalizers"])
def test_of_an_object_with_too_much_metadata_the_identity_and_the_status_are_kept(part: str) -> None:
    many = {f"keyturn.dev/{number}": "x" * 60 for number in range(10_000)}
    body = managed()
    body["metadata"][part] = list(many) if part == "finalizers" else many
    cache = InformerCache()
    cache.put_managed(body | {"status": {"revision": 7}})

    found = cache.managed(DB)

    assert found
    assert found[1]
    assert (found[0].status.revision, found[0].spec.data, found[1].reason) == (7, [], "InvalidSpec")
    assert len(str(found[0].metadata)) < 1000
    assert cache.managed_labels(DB) == {}
    assert cache.managed_in("shop") == [DB]


def test_an_object_with_too_much_metadata_is_deleted_as_its_spec_says() -> None:
    body = managed(target={"deletionPolicy": "Delete"})
    body["metadata"] |= {
        "labels": {str(number): "x" * 60 for number in range(1000)},
        "finalizers": ["a", "b"],
    }
    cache = InformerCache()
    cache.put_managed(body)

    found = cache.managed(DB)

    assert found
    assert found[0].metadata.finalizers == ["a", "b"]
    assert found[0].spec.target.deletion_policy is DeletionPolicy.DELETE


def test_managed_secrets_are_found_by_the_name_of_a_secret_that_is_missing() -> None:
    cache = InformerCache()
    cache.put_managed(managed())
    cache.put_managed(managed(2, "cache", target={"name": "db"}))
    cache.put_managed(managed(3, "other", target={"name": "third"}) | {"status": {"secretName": "former"}})

    assert set(cache.managed_with_target("shop", "db")) == {DB, CACHE}
    for name in ("third", "former"):
        assert cache.managed_with_target("shop", name) == [ObjectKey("shop", "other")]
    assert cache.managed_with_target("shop", "other") == cache.managed_with_target("bank", "db") == []


def test_versions_are_numbers_and_not_text() -> None:
    cache = InformerCache()
    cache.put_managed(managed(9))
    assert cache.put_managed(managed(10))


def test_what_was_deleted_is_gone_and_may_come_again() -> None:
    cache = InformerCache()
    cache.put_managed(managed(9, className="strict"))
    cache.drop_managed(DB)
    assert cache.managed(DB) is None
    assert not cache.has_managed(DB)
    assert cache.version_of(DB) == -1
    assert cache.of_class("strict") == []
    assert cache.put_managed(managed(3))
    assert list(cache.managed_keys()) == [DB]
    assert cache.has_managed(DB)


def test_what_is_older_than_its_deletion_does_not_come_again() -> None:
    cache = InformerCache()
    cache.put_managed(managed(5))
    cache.note_deletion(DB, 7)
    cache.drop_managed(DB)
    assert [cache.put_managed(managed(version)) for version in (5, 6, 7)] == [False] * 3
    assert not cache.has_managed(DB)
    assert cache.put_managed(managed(8))
    assert cache.version_of(DB) == 8


def test_of_many_deletions_the_last_ones_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyturn.kube.cache.cache._MOST_DELETIONS", 2)
    cache = InformerCache()
    for name in ("db", "cache", "queue"):
        cache.note_deletion(ObjectKey("shop", name), 7)
    assert [cache.version_of(ObjectKey("shop", name)) for name in ("db", "cache", "queue")] == [-1, 7, 7]


def test_users_of_a_class_are_those_that_name_it_now() -> None:
    cache = InformerCache()
    cache.put_managed(managed(1, className="strict"))
    cache.put_managed(managed(2, name="cache", className="strict"))
    cache.put_managed(managed(3))
    assert cache.of_class("strict") == [CACHE]


def test_users_of_a_class_are_those_with_a_value_of_it_too() -> None:
    cache = InformerCache()
    cache.put_managed(managed(1, className="strict", data=[{"name": "a", "className": "strict"}]))
    cache.put_managed(managed(2, name="cache", data=[{"name": "a"}, {"name": "b", "className": "strict"}]))
    assert set(cache.of_class("strict")) == {DB, CACHE}
    cache.put_managed(managed(3, data=[{"name": "a"}]))
    cache.drop_managed(CACHE)
    assert cache.of_class("strict") == []


def test_a_spec_that_cannot_be_read_is_reported_and_what_can_be_is_kept() -> None:
    cache = InformerCache()
    cache.put_managed(managed(data=[{"name": "a", "literal": {CANARY: 1}}]) | {"status": {"revision": 7}})
    found = cache.managed(DB)
    assert found
    read, trouble = found
    assert (read.metadata.name, read.status.revision, read.spec.data) == ("db", 7, [])
    assert trouble
    assert trouble.reason == "InvalidSpec"
    assert trouble.message.startswith("spec.data[0].literal: ")


def test_of_every_kind_a_status_that_cannot_be_read_counts_as_none() -> None:
    cache = InformerCache()
    condition = {"type": "Ready", "status": "True", "reason": "Valid", "message": ""}
    status = {"conditions": [{**condition, "lastTransitionTime": "0000-01-01T00:00:00Z"}]}
    metadata = {"name": "a", "namespace": "shop", "resourceVersion": "1", "creationTimestamp": CREATED}
    specs: dict[str, dict[str, Any]] = {
        SECRET_STORE: {"provider": {"kubernetes": {}}},
        DATABASE_TARGET: {
            "postgresql": {"host": "db", "database": "orders"},
            "adminCredentials": {"secretRef": {"name": "db-admin"}},
        },
        "SecretClass": {},
    }
    store, target = StoreKey(SECRET_STORE, "shop", "a"), TargetKey(DATABASE_TARGET, "shop", "a")
    bodies = {kind: {"metadata": metadata, "spec": spec, "status": status} for kind, spec in specs.items()}

    cache.put_external(store, bodies[SECRET_STORE])
    cache.put_external(target, bodies[DATABASE_TARGET])
    cache.put_class(bodies["SecretClass"])

    found = [cache.stores.get(store), cache.targets.get(target), cache.secret_class("a")]
    assert [one and one.status.conditions for one in found] == [[]] * 3


EMERGENCY = EmergencyKey("shop", "leak")


def emergency(**status: Any) -> dict[str, Any]:
    metadata = {"name": "leak", "namespace": "shop", "resourceVersion": "1", "creationTimestamp": CREATED}
    return {"metadata": metadata, "spec": {"reason": "stolen", "names": ["db"]}, "status": status}


def test_of_an_emergency_only_what_cannot_be_read_is_absent() -> None:
    """Its status is a record, and decides what rotates."""
    cache = InformerCache()
    entry = {"time": CREATED, "who": "ada", "reason": "Declared", "what": "x"}
    rows = [{"name": "cache", "state": "OfALaterVersion"}, {"name": "db", "state": "Rotated"}]
    cache.put_emergency(EMERGENCY, emergency(timeline=[{**entry, "time": BAD}, entry], secrets=rows))

    declared = cache.emergencies.declared(EMERGENCY)

    assert declared is not None
    assert [one.what for one in declared.emergency.status.timeline] == ["x"]
    assert declared.states == {"cache": "Pending", "db": "Rotated"}
    assert [one.name for one in cache.emergencies.of(CACHE, {})] == ["leak"], "it was affected"
    assert cache.emergencies.flaw(EMERGENCY) is None


@pytest.mark.parametrize("stage", ["rotatedAt", "servicesUpdatedAt", "accessAuditAt", "documentedAt"])
def test_an_emergency_of_which_a_stage_cannot_be_read_is_not_open_again(stage: str) -> None:
    cache = InformerCache()
    cache.put_emergency(EMERGENCY, emergency(**{"servicesUpdatedAt": CREATED, stage: BAD}))

    flaw = cache.emergencies.flaw(EMERGENCY)

    assert cache.emergencies.declared(EMERGENCY) is None
    assert cache.emergencies.of(DB, {}) == ()
    assert flaw is not None
    assert f"status.{stage}" in flaw.message


@pytest.mark.parametrize("row", [{"state": "Rotated"}, "Rotated", None, 7, ["db"]], ids=str)
def test_an_emergency_whose_rows_have_no_names_is_not_handled(row: Any) -> None:
    cache = InformerCache()
    cache.put_emergency(EMERGENCY, emergency(secrets=[{"name": "db", "state": "Rotated"}, row]))

    assert cache.emergencies.declared(EMERGENCY) is None
    assert cache.emergencies.flaw(EMERGENCY) is not None


def test_an_emergency_whose_spec_cannot_be_read_is_not_handled() -> None:
    cache = InformerCache()
    cache.put_emergency(EMERGENCY, {**emergency(), "spec": {}})

    assert cache.emergencies.declared(EMERGENCY) is None
    assert cache.emergencies.flaw(EMERGENCY) is not None


# Classes


@pytest.mark.parametrize(
    "time", ["0000-01-01T00:00:00Z", "2026-01-01T00:00:00+99:99"], ids=["in the year 0", "in no zone"]
)
def test_what_a_status_has_that_cannot_be_read_counts_as_absent(time: str) -> None:
    """The rest stays: without its history, a workload that breaks later would be rolled back."""
    cache = InformerCache()
    entries = [
        {**ENTRY, "revision": number, "finishedAt": at} for number, at in ((3, CREATED), (2, time), (1, time))
    ]
    status = {"revision": 3, "lastRotationTime": time, "rotation": time, "history": entries}
    cache.put_managed(managed(owner="me") | {"status": status})

    found = cache.managed(DB)

    assert found is not None
    left = ManagedSecretStatus(revision=3, history=[HistoryEntry.model_validate(entries[0])])
    assert (found[0].status, found[0].spec.owner, found[1]) == (left, "me", None)


@cases(
    "status",
    case("a text", "lost"),
    case("shifted", {"conditions": [{"lastTransitionTime": at} for at in ("1970-01-01T00:00:00Z", BAD)]}),
)
def test_a_status_of_which_nothing_can_be_read_counts_as_absent(status: object) -> None:
    """Conditions of 1970 are dropped before the others are numbered."""
    cache = InformerCache()
    cache.put_managed(managed() | {"status": status})

    found = cache.managed(DB)

    assert found is not None
    assert (found[0].status, found[1]) == (ManagedSecretStatus(), None)


def test_of_an_object_that_cannot_be_read_at_all_the_error_of_its_spec_is_reported() -> None:
    cache = InformerCache()
    status = {"lastRotationTime": "0000-01-01T00:00:00Z"}
    cache.put_managed(managed(rotation={"every": "999999d"}) | {"status": status})

    found = cache.managed(DB)

    assert found is not None
    assert found[0].status == ManagedSecretStatus()
    assert found[1] is not None
    assert found[1].message.startswith("spec.rotation.every: ")


def test_a_class_that_cannot_be_read_stalls_who_asks_for_it() -> None:
    cache = InformerCache()
    cache.put_class(secret_class(minLength=CANARY))
    with pytest.raises(Stalled) as caught:
        cache.secret_class("strict")
    assert caught.value.reason == "SecretClassInvalid"
    assert (CANARY in caught.value.message) is False
    with pytest.raises(Stalled) as again:
        cache.secret_class("strict")
    assert again.value is not caught.value  # each raise of one object would keep further frames in memory
    assert again.value.message == caught.value.message
    assert cache.put_class(secret_class(2, minLength=40))
    found = cache.secret_class("strict")
    assert found
    assert found.spec.min_length == 40


def test_a_class_is_known_until_it_is_deleted() -> None:
    cache = InformerCache()
    assert cache.put_class(secret_class())
    assert not cache.put_class(secret_class())
    assert list(cache.class_names()) == ["strict"]
    cache.drop_class("strict")
    assert cache.secret_class("strict") is None


def default_class(name: str, created: str, version: int = 1, mark: str = "true") -> dict[str, Any]:
    metadata = {
        "name": name,
        "resourceVersion": str(version),
        "creationTimestamp": created,
        "annotations": {"keyturn.dev/is-default-class": mark},
    }
    return {"metadata": metadata, "spec": {}}


def test_without_a_default_class_who_names_none_follows_none() -> None:
    cache = InformerCache()
    cache.put_class(secret_class())
    cache.put_class(default_class("other", "2026-01-01T00:00:00Z", mark="false"))
    cache.put_managed(managed())
    assert cache.class_name(None) is None
    assert cache.default_classes() == []
    assert cache.of_class("strict") == []


def test_the_newest_default_class_counts_and_of_two_the_first_by_name() -> None:
    cache = InformerCache()
    for name, created in (("old", "2025"), ("b", "2026"), ("a", "2026")):
        cache.put_class(default_class(name, created))
    assert cache.default_classes() == ["a", "b", "old"]
    assert cache.class_name(None) == "a"
    cache.drop_class("a")
    cache.put_class(default_class("b", "2026", 2, mark="no"))
    assert cache.default_classes() == ["old"]


def test_a_default_class_is_followed_by_who_names_it_or_none_but_not_by_who_wants_none() -> None:
    cache = InformerCache()
    cache.put_class(default_class("usual", "2026"))
    cache.put_managed(managed(1))
    cache.put_managed(managed(1, name="cache", className="usual"))
    cache.put_managed(managed(1, name="free", className=""))
    cache.put_managed(managed(1, name="strict", className="strict"))
    assert cache.of_class("usual") == [DB, CACHE]
    assert cache.class_name("") is None
    assert cache.class_name("strict") == "strict"


def test_a_default_class_that_cannot_be_read_is_not_passed_over() -> None:
    cache = InformerCache()
    cache.put_class(default_class("usual", "2026") | {"spec": {"minLength": CANARY}})
    assert cache.class_name(None) == "usual"
    with pytest.raises(Stalled):
        cache.secret_class("usual")


# Namespaces


def namespace(version: int = 1, environment: str | None = None, name: str = "shop") -> dict[str, Any]:
    labels = {} if environment is None else {"keyturn.dev/environment": environment}
    return {"metadata": {"name": name, "resourceVersion": str(version), "labels": labels}}


def test_only_a_change_of_the_environment_is_news_of_a_namespace() -> None:
    cache = InformerCache()
    assert not cache.put_namespace(namespace(1))
    assert cache.put_namespace(namespace(2, "production"))
    assert not cache.put_namespace(namespace(3, "production"))
    assert not cache.put_namespace(namespace(2, "development")), "an older one"
    assert cache.environment("shop") == "production"
    assert cache.put_namespace(namespace(4))
    assert cache.environment("shop") is None


def test_a_namespace_that_is_gone_has_no_environment() -> None:
    cache = InformerCache()
    cache.put_namespace(namespace(9, "production"))
    cache.put_managed(managed())
    assert cache.namespaces() == [namespace_key("shop")]
    cache.drop_namespace(namespace_key("shop"))
    assert cache.environment("shop") is None
    assert cache.namespaces() == []
    assert cache.put_namespace(namespace(3, "production")), "it may come again"


# Secrets


@cases(
    ("coming", "is_news"),
    case("newer", secret(version=6), True),
    case("the same", secret(version=5), False),
    case("older: the echo of a write before ours", secret(version=4), False),
    case("another Secret of that name", secret(version=4, uid="another"), True),
)
def test_only_news_of_a_secret_count(coming: SecretMeta, *, is_news: bool) -> None:
    cache = InformerCache()
    cache.put_secret(secret(version=5))
    assert cache.put_secret(coming) == is_news
    assert cache.secret("shop", "db") == (coming if is_news else secret(version=5))


def test_a_deleted_secret_reports_whose_it_was() -> None:
    cache = InformerCache()
    cache.put_secret(secret(owner="writer"))
    assert cache.drop_secret(DB) == "writer"
    assert cache.drop_secret(DB) is None
    assert cache.secret("shop", "db") is None


def test_a_secret_that_is_older_than_its_deletion_does_not_come_again() -> None:
    cache = InformerCache()
    cache.put_secret(secret(version=5))
    assert cache.drop_secret(DB, 7) == "db"
    assert not cache.put_secret(secret(version=6))
    assert cache.secret("shop", "db") is None
    assert cache.put_secret(secret(version=8, uid="another"))


def test_the_deletion_of_an_earlier_secret_leaves_the_one_that_was_written_since() -> None:
    cache = InformerCache()
    cache.put_secret(secret(version=8, uid="another"))
    assert cache.drop_secret(DB, 7) is None
    assert cache.secret("shop", "db") == secret(version=8, uid="another")


def test_what_a_managed_secret_has_written_is_known_under_every_name() -> None:
    cache = InformerCache()
    for name in ("db", "db-keyturn", "one", "two"):
        cache.put_secret(secret(name))
    cache.put_secret(secret("cache", owner="cache"))
    assert cache.written_by(DB) == {"db", "one", "two"}
    assert cache.written_by(CACHE) == {"cache"}

    cache.put_secret(replace(secret("copy"), written=False))
    assert cache.written_by(DB) == {"db", "one", "two"}

    cache.put_secret(secret("one", 2, owner="cache"))
    cache.drop_secret(ObjectKey("shop", "db"))
    assert cache.written_by(DB) == {"two"}
    assert cache.written_by(CACHE) == {"cache", "one"}

    cache.drop_secret(ObjectKey("shop", "two"))
    assert cache.written_by(DB) == set()


def test_a_secret_is_of_another_by_its_status() -> None:
    cache = InformerCache()
    others = {"cache": "sessions", "mail": 7, "queue": "queue", "gone": "gone"}
    for version, (name, has) in enumerate({"db": "db", **others}.items(), start=1):
        cache.put_managed(managed(version, name) | {"status": {"secretName": has}})
    cache.put_managed(managed(9, "queue") | {"status": {"secretName": "jobs"}})
    cache.drop_managed(ObjectKey("shop", "gone"))

    names = (
        "cache-keyturn",
        "sessions",
        "mail-keyturn",
        "queue-keyturn",
        "queue",
        "jobs",
        "gone",
        "db",
        "db-keyturn",
    )
    found = {name for name in names if cache.is_of_another(DB, name)}

    assert found == {"cache-keyturn", "sessions", "queue-keyturn", "jobs"}
    assert not cache.is_of_another(ObjectKey("bank", "db"), "sessions")
    assert (cache.other_by_status(DB, "jobs"), cache.other_by_status(DB, "db")) == ("queue", None)


# Workloads


def test_a_workload_concerns_who_writes_what_it_uses_and_who_lists_it() -> None:
    cache = InformerCache()
    cache.put_secret(secret("db", owner="writer"))
    cache.put_managed(managed(name="cache", rollout={"targets": [{"kind": "Deployment", "name": "api"}]}))
    found = workload("api", uses=(use("db"), use("somebody-elses")))
    assert cache.put_workload(found) == {ObjectKey("shop", "writer"), CACHE}
    assert cache.put_workload(found) == set(), "nothing new"
    assert cache.workload(API) == found
    assert cache.workload_keys("Deployment") == [API]
    assert cache.workload_keys("DaemonSet") == []


def test_who_is_no_longer_used_or_listed_is_concerned_once_more_only() -> None:
    cache = InformerCache()
    cache.put_secret(secret("db"))
    cache.put_secret(secret("cache", owner="cache"))
    cache.put_workload(workload("api", uses=(use("db"),)))
    assert cache.put_workload(workload("api", uses=(use("cache"),))) == {DB, CACHE}
    assert cache.put_workload(workload("api", uses=(use("cache"),), paused=True)) == {CACHE}
    assert cache.users_of("shop", "db") == []
    assert [one.key for one in cache.users_of("shop", "cache")] == [API]


CANARY_ROLLOUT = WorkloadKey("shop", "Rollout", "canary")


def referencing(*, settled: bool = True) -> Workload:
    """Make a Rollout that uses the pod template of the Deployment."""
    made = workload("canary", kind="Rollout", uses=(), settled=settled)
    return replace(made, template_of=API, template_generation=1)


def test_a_workload_with_the_template_of_another_one_uses_what_that_uses() -> None:
    cache = InformerCache()
    cache.put_secret(secret())
    assert cache.put_workload(referencing()) == set(), "no template yet"
    assert cache.put_workload(workload("api", marker="db=2")) == {DB}

    found = cache.workload(CANARY_ROLLOUT)

    assert found
    assert (found.marker, found.template_uid) == ("db=2", "uid-of-api")
    assert [one.key for one in cache.users_of("shop", "db")] == [API, CANARY_ROLLOUT]
    assert cache.users_of("shop", "db")[1] == found


def test_its_changes_concern_the_users_of_that_template() -> None:
    cache = InformerCache()
    cache.put_secret(secret())
    cache.put_workload(workload("api", marker="db=2"))
    cache.put_workload(referencing())

    assert cache.put_workload(referencing()) == set(), "nothing new"
    assert cache.put_workload(referencing(settled=False)) == {DB}
    assert cache.rolling_workloads() == [CANARY_ROLLOUT]
    cache.put_workload(replace(referencing(), template_generation=0))
    cache.put_workload(replace(workload("api", marker="db=2"), generation=1))
    assert cache.rolling_workloads() == [CANARY_ROLLOUT], "it has not observed that template"
    assert cache.drop_workload(CANARY_ROLLOUT) == {DB}
    assert [one.key for one in cache.users_of("shop", "db")] == [API]


def test_a_change_of_that_template_concerns_who_lists_the_workload() -> None:
    cache = InformerCache()
    cache.put_managed(managed(rollout={"targets": [{"kind": "Rollout", "name": "canary"}]}))
    cache.put_workload(referencing())

    assert cache.put_workload(workload("api")) == {DB}


def test_a_deleted_workload_uses_nothing() -> None:
    cache = InformerCache()
    cache.put_secret(secret("db"))
    cache.put_workload(workload("api"))
    cache.put_workload(workload("web"))
    assert cache.drop_workload(API) == {DB}
    assert cache.drop_workload(API) == set()
    assert cache.workload(API) is None
    assert [one.key.name for one in cache.users_of("shop", "db")] == ["web"]
    assert cache.users_of("shop", "unknown") == []


def test_a_list_of_targets_ends_with_its_managed_secret() -> None:
    cache = InformerCache()
    for name in ("db", "cache"):
        targets = [{"kind": "Deployment", "name": "api"}]
        cache.put_managed(managed(name=name, rollout={"targets": targets}))
    assert cache.put_workload(workload("api")) == {ObjectKey("shop", "db"), ObjectKey("shop", "cache")}

    cache.drop_managed(ObjectKey("shop", "db"))

    assert cache.drop_workload(workload("api").key) == {ObjectKey("shop", "cache")}
    cache.drop_managed(ObjectKey("shop", "cache"))
    assert not cache._listings._users


def test_a_list_of_targets_that_changed_concerns_the_new_ones() -> None:
    cache = InformerCache()
    cache.put_managed(managed(1, rollout={"targets": [{"kind": "Deployment", "name": "api"}]}))
    cache.put_managed(managed(2, rollout={"targets": [{"kind": "Deployment", "name": "web"}]}))
    assert cache.put_workload(workload("api", uses=())) == set()
    assert cache.put_workload(workload("web", uses=())) == {DB}


# The names of Secrets, for who may not list them


def told(name: object) -> dict[str, Any]:
    return {"status": {"secretName": name}}


@cases(
    ("body", "names"),
    case("its own name", managed(), {"db"}),
    case("another", managed(target={"name": "new"}), {"new"}),
    case("another than before", managed(target={"name": "new"}) | told("old"), {"new", "old"}),
    case("no name", managed() | told(".."), {"db"}),
    case("no text", managed() | told(7), {"db"}),
)
def test_secrets_are_named_by_spec_and_status(body: dict[str, Any], names: set[str]) -> None:
    cache = InformerCache()
    cache.put_managed(body)

    assert cache.secret_names(DB) == {"db-keyturn", *names}


def test_a_secret_that_was_written_under_another_name_is_named() -> None:
    cache = InformerCache()
    cache.put_managed(managed())
    cache.put_secret(secret("older"))
    cache.put_secret(secret("another", owner="another"))

    assert cache.secret_names(DB) == {"db", "db-keyturn", "older"}


def test_of_one_that_is_gone_its_names_are_known() -> None:
    cache = InformerCache()
    cache.put_managed(managed(target={"name": "new"}))
    cache.put_secret(secret("new"))
    cache.drop_managed(DB)

    assert {"db-keyturn", "new"} <= cache.secret_names(DB)
