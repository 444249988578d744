"""Markers on pod templates: written the same way every time, read whatever people wrote."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.api.workloads import Via
from keyturn.core.keys import WorkloadKey
from keyturn.core.observation.workload import (
    Controller,
    Pod,
    Use,
    Workload,
    is_of,
    owners_of,
    read_marker,
    uses_of,
    write_marker,
)
from tests.support.cases import case, cases
from tests.unit.core import builders as make
from tests.unit.core.builders import NOW, seconds

if TYPE_CHECKING:
    from datetime import datetime


names = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,20}[a-z0-9])?", fullmatch=True)


@given(st.dictionaries(names, st.integers(0, 10**10 - 1)))
def test_a_marker_reads_as_it_was_written(revisions: dict[str, int]) -> None:
    assert read_marker(write_marker(revisions)) == revisions


@given(st.permutations(["db=1", "api=2", "tls=3"]))
def test_a_marker_does_not_depend_on_the_order(entries: list[str]) -> None:
    assert write_marker(read_marker(",".join(entries))) == "api=2,db=1,tls=3"


@pytest.mark.parametrize(("secrets", "is_kept"), [(10, True), (1000, False)])
def test_what_a_long_marker_says_is_not_kept(secrets: int, is_kept: bool) -> None:
    marker = write_marker({f"secret-{number}": 1 for number in range(secrets)})
    assert len(read_marker(marker)) == secrets
    assert (read_marker(marker) is read_marker(marker)) is is_kept


@given(st.text())
def test_whatever_people_write_can_be_read(text: str) -> None:
    assert all(number >= 0 for number in read_marker(text).values())


@pytest.mark.parametrize(
    "marker",
    [
        "",
        ",",
        "db",
        "db=",
        "db=x",
        "db=-1",
        "db=1.5",
        "db= 1",
        "db=\u0661",
        "db=²",
        "db=1=2",
        f"db={'9' * 5000}",
    ],
    ids=lambda marker: repr(marker[:8]),
)
def test_what_is_no_marker_is_ignored(marker: str) -> None:
    assert read_marker(marker) == {}


# The pod template of another workload

DEPLOYMENT = replace(make.workload("web", marker="db=2", restarted=make.NOW), generation=7)


def referencing(*, generation: int | None = 7, **facts: object) -> Workload:
    """Make a Rollout that uses the pod template of the Deployment."""
    plain = make.workload("canary", kind="Rollout", uses=())
    key = WorkloadKey("shop", "Deployment", "web")
    return replace(plain, template_of=key, template_generation=generation, **facts)  # type: ignore[arg-type]


def test_it_has_what_the_template_says() -> None:
    found = referencing().with_template_of(DEPLOYMENT)

    assert (found.uses, found.marker, found.restarted) == (DEPLOYMENT.uses, "db=2", make.NOW)
    assert (found.key.kind, found.uid, found.template_uid) == ("Rollout", "uid-of-canary", "uid-of-web")
    assert found.settled


def test_its_status_counts_after_it_has_observed_the_template() -> None:
    stale = referencing(generation=6, failed=True).with_template_of(DEPLOYMENT)
    assert (stale.settled, stale.failed) == (False, False)
    assert referencing(generation=8, failed=True).with_template_of(DEPLOYMENT).failed


@cases(
    ("restarted", "progressed", "expected"),
    case("without a restart", None, None, True),
    case("without progress", make.NOW, None, False),
    case("progress before the restart", make.NOW, make.NOW - make.seconds(1), False),
    case("progress since the restart", make.NOW, make.NOW, True),
)
def test_without_a_generation_the_progress_since_the_restart_counts(
    restarted: datetime | None, progressed: datetime | None, expected: bool
) -> None:
    other = replace(DEPLOYMENT, restarted=restarted)
    found = referencing(generation=None, progressed=progressed).with_template_of(other)

    assert found.settled is expected


def test_its_own_selector_and_annotation_come_first() -> None:
    never = replace(DEPLOYMENT, restart="never")
    assert referencing().with_template_of(never).restart == "never"
    assert referencing(restart="allow").with_template_of(never).restart == "allow"
    assert referencing(selector="").with_template_of(never).selector == "app=web"
    assert referencing(selector="app=x").with_template_of(never).selector == "app=x"


# Which workload controls a pod that one list of a namespace shows


REPLICA_SET = Controller("ReplicaSet", "api-5d8f", "uid-of-the-replica-set", "5d8f", "Deployment")
LONG = "a" * 253


@cases(
    ("controller", "kind", "name", "expected"),
    case("a bare pod has none", None, "Deployment", "api", False),
    case("a Deployment by the hash of its template", REPLICA_SET, "Deployment", "api", True),
    case("another Deployment", REPLICA_SET, "Deployment", "api-5d8f", False),
    case("a Job of that name", Controller("Job", "api-5d8f", "uid"), "Deployment", "api", False),
    case(
        "a long name is truncated",
        Controller("ReplicaSet", f"{LONG[:248]}-5d8f", "uid", "5d8f", "Deployment"),
        "Deployment",
        LONG,
        True,
    ),
    case("a Rollout of the same name", REPLICA_SET, "Rollout", "api", False),
    case(
        "a Rollout by the hash of its template",
        REPLICA_SET._replace(workload_kind="Rollout"),
        "Rollout",
        "api",
        True,
    ),
    case("a StatefulSet by UID", Controller("StatefulSet", "api", "uid-of-api"), "StatefulSet", "api", True),
    case("one of its name", Controller("StatefulSet", "api", "uid-before"), "StatefulSet", "api", False),
)
def test_a_pod_belongs_to_the_workload_that_controls_it(
    controller: Controller | None, kind: str, name: str, expected: bool
) -> None:
    pod = replace(make.holding(), controller=controller)

    assert is_of(pod, make.workload(name, kind=kind)) is expected


def test_a_pod_uses_the_secrets_of_its_spec() -> None:
    pod = make.holding(uses=(make.use("db", "password"), make.use("mail")))

    assert pod.use_of("db") == make.use("db", "password")
    assert pod.use_of("cache") is None


ALL = Use("db", (Via.ENV_FROM,), None)
ONE = Use("db", (Via.ENV,), frozenset({"password"}))
OTHER = Use("db", (Via.VOLUME,), frozenset({"token"}))
JOB = ("Job", "report")


def pod(name: str, *uses: Use, began: datetime = NOW, owner: tuple[str, str] = JOB) -> Pod:
    return make.holding(name, began=began, uses=uses or (ALL,), owner=owner)


def test_pods_of_one_owner_are_one_row_with_the_oldest_start() -> None:
    (found,) = owners_of([pod("a"), pod("b", began=NOW - seconds(9))], "db")

    assert (str(found), len(found.pods), found.since) == ("Job/report", 2, NOW - seconds(9))


def test_owners_are_sorted_by_kind_and_name() -> None:
    pods = [pod("x", owner=("Pod", "x")), pod("a", owner=("Job", "z")), pod("b", owner=("Job", "y"))]

    assert [str(one) for one in owners_of(pods, "db")] == ["Job/y", "Job/z", "Pod/x"]


def test_pods_that_use_another_secret_do_not_count() -> None:
    assert owners_of([pod("a", Use("other", (Via.ENV_FROM,), None))], "db") == ()


@cases(
    ("age", "before"),
    case("after the publication", -1, 0),
    case("in the same second", 0, 1),
    case("before it", 1, 1),
)
def test_a_pod_is_older_than_a_publication(age: float, before: int) -> None:
    (found,) = owners_of([pod("a", began=NOW - seconds(age))], "db")

    assert found.started_before(NOW) == before


def test_without_a_publication_no_pod_is_older() -> None:
    assert owners_of([pod("a")], "db")[0].started_before(None) == 0


@cases(
    ("uses", "keys", "via"),
    case("some keys each", (ONE, OTHER), {"password", "token"}, (Via.ENV, Via.VOLUME)),
    case("one uses all", (ONE, ALL), None, (Via.ENV, Via.ENV_FROM)),
)
def test_an_owner_uses_what_its_pods_use(
    uses: tuple[Use, ...], keys: set[str] | None, via: tuple[Via, ...]
) -> None:
    (found,) = owners_of([pod(str(number), use) for number, use in enumerate(uses)], "db")

    assert (found.keys, found.via) == (keys, via)


# Who uses a Secret, in every way that a pod template has


def env(secret: str, key: str, **more: Any) -> dict[str, Any]:
    return {"name": "X", "valueFrom": {"secretKeyRef": {"name": secret, "key": key} | more}}


def container(*variables: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "app", "env": list(variables)} | more


def used(secret: str, *via: Via, keys: set[str] | None = None) -> Use:
    return Use(secret, via, None if keys is None else frozenset(keys))


ENV_FROM = {"envFrom": [{"secretRef": {"name": "db"}}]}


@cases(
    ("pod_spec", "uses"),
    case(
        "env",
        {"containers": [container(env("db", "user"), env("db", "pass"))]},
        (used("db", Via.ENV, keys={"user", "pass"}),),
    ),
    case(
        "env, optional",
        {"containers": [container(env("db", "user", optional=True))]},
        (replace(used("db", Via.ENV, keys={"user"}), optional=True),),
    ),
    case("envFrom", {"containers": [ENV_FROM]}, (used("db", Via.ENV_FROM),)),
    case(
        "envFrom, optional, with a prefix",
        {"containers": [{"envFrom": [{"prefix": "P_", "secretRef": {"name": "db", "optional": True}}]}]},
        (replace(used("db", Via.ENV_FROM), optional=True),),
    ),
    case("init container", {"initContainers": [ENV_FROM]}, (used("db", Via.ENV_FROM),)),
    case("ephemeral container", {"ephemeralContainers": [ENV_FROM]}, (used("db", Via.ENV_FROM),)),
    case("volume", {"volumes": [{"name": "v", "secret": {"secretName": "db"}}]}, (used("db", Via.VOLUME),)),
    case(
        "volume of some keys",
        {"volumes": [{"secret": {"secretName": "db", "items": [{"key": "a", "path": "x"}, {"key": "b"}]}}]},
        (used("db", Via.VOLUME, keys={"a", "b"}),),
    ),
    case(
        "volume, items: []",
        {"volumes": [{"secret": {"secretName": "db", "items": []}}]},
        (used("db", Via.VOLUME),),
    ),
    case(
        "projected volume",
        {
            "volumes": [
                {
                    "projected": {
                        "sources": [
                            {"configMap": {"name": "c"}},
                            {"secret": {"name": "db"}},
                            {"secret": {"name": "tls", "items": [{"key": "tls.crt"}]}},
                        ]
                    }
                }
            ]
        },
        (used("db", Via.PROJECTED), used("tls", Via.PROJECTED, keys={"tls.crt"})),
    ),
    case(
        "several ways, one takes all keys",
        {
            "containers": [container(env("db", "a"), **ENV_FROM)],
            "volumes": [{"secret": {"secretName": "db", "items": [{"key": "b"}]}}],
        },
        (used("db", Via.ENV, Via.ENV_FROM, Via.VOLUME),),
    ),
    case(
        "several ways, each some keys",
        {
            "containers": [container(env("db", "a"))],
            "volumes": [{"secret": {"secretName": "db", "items": [{"key": "b"}]}}],
        },
        (used("db", Via.ENV, Via.VOLUME, keys={"a", "b"}),),
    ),
    case(
        "several Secrets, sorted",
        {"containers": [container(env("z", "k"), env("a", "k"))]},
        (used("a", Via.ENV, keys={"k"}), used("z", Via.ENV, keys={"k"})),
    ),
)
def test_each_way_of_using_a_secret_is_found(pod_spec: dict[str, Any], uses: tuple[Use, ...]) -> None:
    assert uses_of(pod_spec) == uses


@pytest.mark.parametrize(
    "pod_spec",
    [
        {},
        {"containers": None, "volumes": None, "imagePullSecrets": None},
        {"containers": [{"name": "app", "env": None, "envFrom": None}]},
        {
            "containers": [
                container({"name": "X", "value": "1"}, {"name": "Y"}, {"name": "Z", "valueFrom": None})
            ]
        },
        {
            "containers": [
                container({"name": "X", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}})
            ]
        },
        {
            "containers": [
                {"envFrom": [{"configMapRef": {"name": "c"}}, {"secretRef": None}, {"secretRef": {}}]}
            ]
        },
        {"containers": [container({"name": "X", "valueFrom": {"secretKeyRef": {"key": "k"}}})]},
        {"volumes": [{"emptyDir": {}}, {"secret": None}, {"secret": {}}, {"projected": None}]},
        {"volumes": [{"projected": {"sources": None}}, {"projected": {"sources": [{"secret": {}}]}}]},
        {"imagePullSecrets": [{"name": "registry"}]},
    ],
    ids=[
        "nothing",
        "sections of null",
        "a container's sections of null",
        "variables without a Secret",
        "a ConfigMap's key",
        "envFrom without a Secret",
        "a key of no Secret",
        "volumes without a Secret",
        "projections without a Secret",
        "a Secret that only the kubelet reads",
    ],
)
def test_what_names_no_secret_is_no_use(pod_spec: dict[str, Any]) -> None:
    assert uses_of(pod_spec) == ()
