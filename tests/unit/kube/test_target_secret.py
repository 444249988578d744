"""The Secret for workloads: what is written is read again, and what people do to it is seen."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.api.target import Adopt
from keyturn.core.keys import ObjectKey
from keyturn.core.observation.observed import TargetFacts
from keyturn.core.spec.desired import resolve_spec
from keyturn.core.spec.references import UNKNOWN_SOURCE
from keyturn.core.state.records import ItemValues, Revision
from keyturn.core.state.state import State
from keyturn.core.value import Value
from keyturn.kube.target_secret import (
    Stamp,
    filled_by,
    foreign_owner,
    other_writer,
    owner_of,
    size_of,
    target_body,
    target_facts,
    values_of,
)
from tests.unit.core.builders import managed, record
from tests.unit.core.builders import revision as of_revision

KEY = ObjectKey("shop", "db")
WHEN = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
LABELED: dict[str, Any] = {
    "target": {"template": {"metadata": {"labels": {"team": "auth"}, "annotations": {"note": "ours"}}}}
}
WANTED = resolve_spec(managed(LABELED), None)
STAMP = Stamp(2, WHEN)
CANARY = "canary-7Qd0"


def revision(**values: str) -> Revision:
    kept = {
        name: ItemValues("", {"value": Value.of_text(text)}, {"value": name}) for name, text in values.items()
    }
    return Revision(kept)


STATE = record(
    (of_revision(2), revision(password=CANARY)),
    (of_revision(1), revision(password=f"old {CANARY}")),
    uid="uid",
)


def target(**metadata: Any) -> dict[str, Any]:
    body = target_body(KEY, WANTED, STATE, STAMP, None)
    body["metadata"] |= metadata
    return body


def test_what_is_published_in_the_future_is_put_right() -> None:
    later = (WHEN + timedelta(days=1, seconds=1)).isoformat()
    body = target(annotations={"keyturn.dev/revision": "2", "keyturn.dev/published": later})
    found = target_facts(body, KEY, "uid", WANTED, STATE, WHEN)
    assert (found.published, found.has_metadata_of_spec) == (None, False)


@given(st.binary(max_size=3000))
def test_the_size_of_a_secret_is_not_underestimated(content: bytes) -> None:
    body = {"data": {"a": base64.b64encode(content).decode(), "b": ""}}
    assert len(content) <= size_of(body) <= len(content) + 2


def test_a_new_target_has_every_key_and_reports_its_revision() -> None:
    body = target_body(KEY, WANTED, STATE, STAMP, None)
    assert values_of(body) == {"password": Value.of_text(CANARY)}
    del body["data"]
    assert body == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "db",
            "namespace": "shop",
            "labels": {"team": "auth", "keyturn.dev/managed-secret": "db"},
            "annotations": {
                "note": "ours",
                "keyturn.dev/revision": "2",
                "keyturn.dev/published": "2026-11-24T12:00:00.123456+00:00",
                "keyturn.dev/template": "annotation:note,label:team",
            },
        },
        "type": "Opaque",
    }


def test_what_others_put_on_a_target_stays_and_what_is_ours_is_ours() -> None:
    found = target(
        resourceVersion="7",
        uid="u",
        managedFields=[],
        finalizers=["x.dev/hold"],
        ownerReferences=[{"uid": "o"}],
        labels={"argocd": "app", "team": "edited", "keyturn.dev/managed-secret": "stolen"},
        annotations={"argocd": "sync", "note": "edited", "keyturn.dev/revision": "99"},
    )
    assert target_body(KEY, WANTED, STATE, STAMP, found)["metadata"] == {
        "name": "db",
        "namespace": "shop",
        "labels": {"argocd": "app", "team": "auth", "keyturn.dev/managed-secret": "db"},
        "annotations": {
            "argocd": "sync",
            "note": "ours",
            "keyturn.dev/revision": "2",
            "keyturn.dev/published": WHEN.isoformat(),
            "keyturn.dev/template": "annotation:note,label:team",
        },
        "resourceVersion": "7",
        "ownerReferences": [{"uid": "o"}],
        "finalizers": ["x.dev/hold"],
    }


AS_WRITTEN = TargetFacts("db", 2, WHEN, frozenset(), has_metadata_of_spec=True)


def look(body: dict[str, Any], state: State | None = STATE) -> TargetFacts:
    return target_facts(body, KEY, "uid", WANTED, state, WHEN)


def test_a_target_as_it_was_written_differs_in_nothing() -> None:
    assert look(target()) == AS_WRITTEN


def test_more_labels_and_annotations_are_no_difference() -> None:
    body = target()
    body["metadata"]["labels"]["argocd"] = body["metadata"]["annotations"]["argocd"] = "app"
    assert look(body) == AS_WRITTEN


@pytest.mark.parametrize(
    ("data", "differs"),
    [
        pytest.param({"password": "b3RoZXI="}, {"password"}, id="a key was edited"),
        pytest.param({}, {"password"}, id="a key was removed"),
        pytest.param(None, {"password"}, id="there is no data"),
        pytest.param({"x": ""}, {"password", "x"}, id="a key was renamed"),
    ],
)
def test_keys_that_were_changed_differ(data: dict[str, str] | None, differs: set[str]) -> None:
    assert look(target() | {"data": data}) == replace(AS_WRITTEN, differs=frozenset(differs))


def test_a_target_is_compared_with_the_revision_that_it_carries() -> None:
    older = target_body(
        KEY, WANTED, STATE.with_facts(replace(STATE.facts, current_number=1)), Stamp(1, WHEN), None
    )
    assert look(older) == replace(AS_WRITTEN, revision=1)


def test_a_target_whose_revision_is_gone_is_compared_with_the_newest() -> None:
    unknown = target_body(
        KEY, WANTED, STATE.with_facts(replace(STATE.facts, current_number=1)), Stamp(9, WHEN), None
    )
    assert look(unknown) == replace(AS_WRITTEN, revision=9, differs=frozenset({"password"}))


def test_without_a_state_nothing_can_differ() -> None:
    assert look(target() | {"data": {"x": ""}}, None) == AS_WRITTEN


@pytest.mark.parametrize(
    ("metadata", "facts"),
    [
        pytest.param(
            {}, TargetFacts(None, None, None, frozenset(), has_metadata_of_spec=False), id="nothing is left"
        ),
        pytest.param(
            {"labels": {"keyturn.dev/managed-secret": "other"}},
            TargetFacts("other", None, None, frozenset(), has_metadata_of_spec=False),
            id="somebody else's",
        ),
    ],
)
def test_a_target_without_what_we_wrote_on_it(metadata: dict[str, Any], facts: TargetFacts) -> None:
    assert look(target() | {"metadata": metadata}) == facts


@pytest.mark.parametrize(
    "revision", ["", "x", "-1", "1.5", "\u0661", "9" * 5000], ids=lambda text: repr(text[:5])
)
@pytest.mark.parametrize(
    "published", ["", "x", "2026-11-24", "2026-11-24T12:00:00", "9" * 5000], ids=lambda t: t[:10]
)
def test_garbage_in_annotations_is_no_revision_and_no_time(revision: str, published: str) -> None:
    body = target()
    body["metadata"]["annotations"] |= {"keyturn.dev/revision": revision, "keyturn.dev/published": published}
    assert look(body) == replace(AS_WRITTEN, revision=None, published=None, has_metadata_of_spec=False)


@pytest.mark.parametrize(
    ("part", "name"),
    [("labels", "team"), ("annotations", "note")],
)
def test_a_label_or_annotation_that_was_removed_is_seen(part: str, name: str) -> None:
    body = target()
    del body["metadata"][part][name]
    assert not look(body).has_metadata_of_spec


def test_of_a_spec_that_cannot_be_followed_any_dress_is_right() -> None:
    assert target_facts(target() | {"metadata": {}}, KEY, "uid", None, STATE, WHEN).has_metadata_of_spec


def test_the_time_of_publication_keeps_its_parts_of_a_second() -> None:
    stamp = Stamp(2, WHEN + timedelta(microseconds=1))
    assert look(target_body(KEY, WANTED, STATE, stamp, None)).published == stamp.published


@pytest.mark.parametrize("labels", [{}, {"keyturn.dev/managed-secret": None}], ids=str)
def test_a_secret_without_our_label_is_nobodys(labels: dict[str, Any]) -> None:
    assert owner_of({"metadata": {"labels": labels}}) is None


# Whose the Secret is

MERGED = resolve_spec(managed({"target": {"creationPolicy": "Merge"}}), None)
ADOPTED = resolve_spec(managed({"target": {"adopt": "IfUnowned"}}), None)
OURS: dict[str, Any] = {
    "labels": {"keyturn.dev/managed-secret": "db"},
    "annotations": {"keyturn.dev/revision": "1"},
}
REFERENCE = {
    "apiVersion": "keyturn.dev/v1alpha1",
    "kind": "ManagedSecret",
    "name": "db",
    "uid": "uid",
    "controller": True,
}


def existing(data: dict[str, str], type_: str = "Opaque", **metadata: Any) -> dict[str, Any]:
    encoded = {name: base64.b64encode(text.encode()).decode() for name, text in data.items()}
    return {"metadata": {"name": "db", **metadata}, "type": type_, "data": encoded}


def texts(body: dict[str, Any]) -> dict[str, str]:
    return {name: value.reveal().decode() for name, value in values_of(body).items()}


def test_what_left_the_template_leaves_the_secret_and_nothing_else_does() -> None:
    found = target()
    found["metadata"]["labels"]["others"] = found["metadata"]["annotations"]["others"] = "stay"

    written = target_body(KEY, resolve_spec(managed(), None), STATE, STAMP, found)["metadata"]

    assert written["labels"] == {"keyturn.dev/managed-secret": "db", "others": "stay"}
    assert written["annotations"].keys() == {"keyturn.dev/revision", "keyturn.dev/published", "others"}


def test_what_the_template_never_set_is_not_removed_whatever_the_record_says() -> None:
    found = target(annotations={"keyturn.dev/template": "label:team,:,x,annotation:", "note": "theirs"})

    written = target_body(KEY, resolve_spec(managed(), None), STATE, STAMP, found)["metadata"]

    assert written["annotations"]["note"] == "theirs"
    assert written["labels"] == {"keyturn.dev/managed-secret": "db"}


@pytest.mark.parametrize(
    ("before", "binder", "after"),
    [
        pytest.param([], "uid", [REFERENCE], id="bound"),
        pytest.param([REFERENCE], "uid", [REFERENCE], id="bound already"),
        pytest.param([REFERENCE | {"uid": "old"}], "uid", [REFERENCE], id="bound anew"),
        pytest.param([REFERENCE, {"uid": "o"}], "", [{"uid": "o"}], id="unbound"),
        pytest.param([{"uid": "o"}], "uid", [{"uid": "o"}, REFERENCE], id="bound beside others"),
    ],
)
def test_the_managed_secret_is_one_of_the_owners_where_it_should(
    before: list[Any], binder: str, after: list[Any]
) -> None:
    stamp = replace(STAMP, binder=binder)

    written = target_body(KEY, WANTED, STATE, stamp, target(ownerReferences=before))["metadata"]

    assert written.get("ownerReferences", []) == after


def test_only_our_keys_are_merged_and_only_those_are_compared() -> None:
    found = existing({"password": f"old {CANARY}", "theirs": "x"}, "shop.test/any", **OURS)

    written = target_body(KEY, MERGED, STATE, STAMP, found)

    assert texts(written) == {"password": CANARY, "theirs": "x"}
    assert written["type"] == "shop.test/any"
    facts = target_facts(found, KEY, "uid", MERGED, STATE, WHEN)
    assert (facts.differs, facts.taken) == (frozenset(), frozenset())


def test_a_key_that_the_next_revision_has_not_is_taken_out_of_a_merged_secret() -> None:
    state = State.of(STATE.facts, {**STATE.revisions, 2: revision(token="t")})  # noqa: S106
    found = existing({"password": f"old {CANARY}", "theirs": "x"}, **OURS)

    assert texts(target_body(KEY, MERGED, state, STAMP, found)) == {"token": "t", "theirs": "x"}


@pytest.mark.parametrize("adopt", Adopt)
@pytest.mark.parametrize(
    ("text", "is_recorded"),
    [
        pytest.param("theirs", False, id="another value"),
        pytest.param(CANARY, True, id="the current value"),
        pytest.param(f"old {CANARY}", True, id="an earlier value"),
    ],
)
def test_a_key_that_we_have_not_written_is_taken_unless_it_was_adopted(
    text: str, adopt: Adopt, *, is_recorded: bool
) -> None:
    desired = replace(MERGED, target_policy=replace(MERGED.target_policy, adopt=adopt))

    facts = target_facts(existing({"password": text}), KEY, "uid", desired, STATE, WHEN)

    is_adopted = is_recorded and adopt is Adopt.IF_UNOWNED
    assert facts.taken == (set() if is_adopted else {"password"})


def test_a_literal_is_taken_whether_it_is_the_same_or_not() -> None:
    items = (replace(MERGED.items[0], recipe=None, literal=Value(b"guess")),)
    desired = replace(MERGED, items=items)
    guessed = (
        target_facts(existing({"password": text}), KEY, "uid", desired, None, WHEN)
        for text in ("guess", "other")
    )

    assert [facts.taken for facts in guessed] == [{"password"}, {"password"}]


def test_keys_of_data_from_are_not_taken_after_a_loss_of_the_record_until_they_are_written() -> None:
    lost = Revision({"dataFrom[0]": ItemValues(UNKNOWN_SOURCE, {}, {})})
    read = Revision(
        {
            "dataFrom[0]": ItemValues("read", {"user": Value(b"u")}, {"user": "user"}),
            "token": ItemValues("", {"value": Value(b"t")}, {"value": "token"}),
        }
    )
    found = existing({"user": "u", "token": "theirs"}, **OURS)

    def taken(before: Revision, current: Revision) -> frozenset[str]:
        state = State.of(STATE.facts, {1: before, 2: current})
        return target_facts(found, KEY, "uid", MERGED, state, WHEN).taken

    assert taken(lost, read) == {"token"}
    assert taken(Revision({}), read) == {"token", "user"}


def test_of_our_own_merged_secret_without_its_record_nothing_is_taken() -> None:
    assert target_facts(existing({"password": "x"}, **OURS), KEY, "uid", MERGED, None, WHEN).taken == set()


@pytest.mark.parametrize(("keys", "owner"), [({"password"}, "db"), ({"password", "theirs"}, None)])
def test_a_merged_secret_is_ours_alone_if_every_key_is(keys: set[str], owner: str | None) -> None:
    annotations = {"keyturn.dev/revision": "2", "keyturn.dev/creation-policy": "Merge"}
    found = existing(dict.fromkeys(keys, CANARY), labels=OURS["labels"], annotations=annotations)

    assert target_facts(found, KEY, "uid", WANTED, STATE, WHEN).owner == owner


def test_the_operator_that_sets_its_password_is_told_by_its_labels() -> None:
    marked, unmarked = (existing({}, labels=labels) for labels in ({"cnpg.io/reload": "true"}, None))

    found = target_facts(marked, KEY, "uid", ADOPTED, None, WHEN).account_manager
    assert found is not None
    assert found.operator == "CloudNativePG"
    assert target_facts(unmarked, KEY, "uid", ADOPTED, None, WHEN).account_manager is None


@pytest.mark.parametrize(("type_", "other"), [("Opaque", None), ("kubernetes.io/tls", "kubernetes.io/tls")])
def test_the_type_of_a_foreign_secret_is_reported_where_it_differs(type_: str, other: str | None) -> None:
    assert target_facts(existing({}, type_), KEY, "uid", ADOPTED, None, WHEN).other_type == other


def test_what_a_user_made_immutable_stays_so() -> None:
    body = target_body(KEY, WANTED, STATE, STAMP, target() | {"immutable": True})

    assert body["immutable"] is True
    assert look(body) == replace(AS_WRITTEN, immutable=True)


def test_a_secret_that_should_be_immutable_and_is_not_has_other_metadata() -> None:
    desired = resolve_spec(managed(LABELED | {"target": {**LABELED["target"], "immutable": True}}), None)

    assert not target_facts(target(), KEY, "uid", desired, STATE, WHEN).has_metadata_of_spec
    body = target_body(KEY, desired, STATE, STAMP, None)
    assert target_facts(body, KEY, "uid", desired, STATE, WHEN).has_metadata_of_spec


UID = "8d1f0c5e-uid"


def reference(kind: str, uid: str) -> dict[str, Any]:
    return {"ownerReferences": [{"kind": kind, "name": "shop", "uid": uid}]}


OWNED = {
    "an owner reference": (reference("SealedSecret", "other"), "SealedSecret 'shop' (ownerReferences)"),
    "a ManagedSecret of the same name that is gone": (
        reference("ManagedSecret", "other"),
        "ManagedSecret 'shop' (ownerReferences)",
    ),
    "a label of External Secrets": (
        {"labels": {"reconcile.external-secrets.io/managed": "true"}},
        "External Secrets (label reconcile.external-secrets.io/managed)",
    ),
    "an annotation of External Secrets": (
        {"annotations": {"reconcile.external-secrets.io/data-hash": "x"}},
        "External Secrets (annotation reconcile.external-secrets.io/data-hash)",
    ),
    "an annotation of cert-manager": (
        {"annotations": {"cert-manager.io/certificate-name": "x"}},
        "cert-manager (annotation cert-manager.io/certificate-name)",
    ),
    "an annotation of Sealed Secrets": (
        {"annotations": {"sealedsecrets.bitnami.com/managed": "true"}},
        "Sealed Secrets (annotation sealedsecrets.bitnami.com/managed)",
    ),
    "an annotation of Argo CD": (
        {"annotations": {"argocd.argoproj.io/tracking-id": "x"}},
        "Argo CD (annotation argocd.argoproj.io/tracking-id)",
    ),
    "a label of Flux": (
        {"labels": {"kustomize.toolkit.fluxcd.io/name": "x"}},
        "Flux (label kustomize.toolkit.fluxcd.io/name)",
    ),
    "Helm, by the label that everybody uses": (
        {"labels": {"app.kubernetes.io/managed-by": "Helm"}},
        "Helm (label app.kubernetes.io/managed-by)",
    ),
}
FREE: dict[str, dict[str, Any]] = {
    "nothing": {},
    "empty fields": {"labels": None, "annotations": None, "ownerReferences": None},
    "labels of no owner": {"labels": {"team": "auth"}, "annotations": {"shop.test/why": "login"}},
    "our own label": {"labels": {"app.kubernetes.io/managed-by": "keyturn"}},
    "the ManagedSecret itself": reference("ManagedSecret", UID),
}


@pytest.mark.parametrize(("metadata", "who"), [pytest.param(*case, id=name) for name, case in OWNED.items()])
def test_an_owner_is_named_with_what_says_so(metadata: dict[str, Any], who: str) -> None:
    assert foreign_owner(metadata, UID) == who


@pytest.mark.parametrize("metadata", [pytest.param(case, id=name) for name, case in FREE.items()])
def test_nobody_owns_a_secret_with(metadata: dict[str, Any]) -> None:
    assert foreign_owner(metadata, UID) is None


@pytest.mark.parametrize(
    ("type_", "who"),
    [
        ("kubernetes.io/service-account-token", "Kubernetes (type kubernetes.io/service-account-token)"),
        ("helm.sh/release.v1", "Helm (type helm.sh/release.v1)"),
        ("keyturn.dev/state", "Keyturn (type keyturn.dev/state)"),
        ("Opaque", None),
        ("shop.test/settings", None),
    ],
)
def test_a_type_reports_which_program_fills_it(type_: str, who: str | None) -> None:
    assert filled_by(type_) == who


def written(manager: str, second: int = 0) -> dict[str, str]:
    return {"manager": manager, "operation": "Update", "time": f"2026-11-24T12:00:{second:02}Z"}


@pytest.mark.parametrize(
    ("entries", "named"),
    [
        pytest.param([written("keyturn", 9), written("kubectl-edit")], "kubectl-edit", id="one beside us"),
        pytest.param(
            [written("helm", 1), written("argocd-controller", 2)], "argocd-controller", id="the last"
        ),
        pytest.param([written("keyturn")], None, id="only we"),
        pytest.param([], None, id="nobody"),
        pytest.param([written("no name\nof a program")], None, id="what is no name"),
        pytest.param([written("x" * 65)], None, id="what is too long for one"),
        pytest.param([{}], None, id="an entry without anything"),
    ],
)
def test_who_else_has_written_is_named(entries: list[dict[str, str]], named: str | None) -> None:
    assert other_writer({"managedFields": entries}) == named


def test_without_a_record_of_writers_no_user_is_named() -> None:
    assert other_writer({}) is None
