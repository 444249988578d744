"""Which Secret may be written, and what comes first."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from keyturn.core.errors import Stalled, Wait
from keyturn.core.observation.external import manager_of
from keyturn.core.observation.observed import Managed, TargetFacts
from keyturn.core.reasons import RevisionReason
from keyturn.core.rotation import decision
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.steps import Adopt, Bind, Claim, Publish, Rest, Stage
from keyturn.core.state.records import Phase
from tests.support.cases import case, cases
from tests.unit.core.accounts import credential, look, superseding
from tests.unit.core.accounts import spec as account_spec
from tests.unit.core.accounts import state as account_state
from tests.unit.core.builders import PUBLISHED_TARGET, observed, state

FOREIGN = replace(PUBLISHED_TARGET, owner=None, revision=None, published=None, has_metadata_of_spec=False)
MERGE: dict[str, Any] = {"target": {"creationPolicy": "Merge"}}
ADOPT: dict[str, Any] = {"target": {"adopt": "IfUnowned"}}
ADOPT_INTO = {"target": {"creationPolicy": "Merge", "adopt": "IfUnowned"}}
IMMUTABLE: dict[str, Any] = {"target": {"immutable": True}}
NEW: dict[str, Any] = {"state": None, "status": {}}


def refusal(found: Managed) -> Stalled | Wait:
    with pytest.raises((Stalled, Wait)) as refused:
        next_step(found)
    assert isinstance(refused.value, Stalled | Wait)
    return refused.value


def test_the_name_of_a_deleted_secret_stays_that_of_its_owner() -> None:
    refused = refusal(replace(observed(target=None, **NEW), deleted_of="other"))

    assert refused.message.startswith(
        "the Secret 'db' belongs to the ManagedSecret 'other' and is not touched"
    )


def test_a_secret_to_merge_into_is_waited_for() -> None:
    refused = refusal(observed(MERGE, target=None, **NEW))

    assert isinstance(refused, Wait)
    assert (refused.reason, refused.message) == (
        "TargetNotFound",
        "the Secret 'db' does not exist, and creationPolicy: Merge does not create it; create it, or write Create",
    )


def test_a_secret_of_others_is_merged_into() -> None:
    assert isinstance(next_step(observed(MERGE, target=FOREIGN, **NEW)), Stage)
    assert next_step(observed(MERGE, target=FOREIGN)) == Publish(1)


def test_a_secret_whose_owner_is_known_is_merged_into_all_the_same() -> None:
    assert next_step(observed(MERGE, target=replace(FOREIGN, foreign_owner="Helm"))) == Publish(1)


def test_what_has_no_owner_is_recorded_before_it_is_written() -> None:
    assert next_step(observed(ADOPT, target=FOREIGN, **NEW)) == Adopt(1)
    assert next_step(observed(ADOPT, target=FOREIGN, state=state())) == Adopt(2)
    assert next_step(observed(ADOPT, target=replace(FOREIGN, recorded=True))) == Publish(1)


def test_what_holds_nothing_to_keep_is_written_at_once() -> None:
    assert isinstance(next_step(observed(ADOPT, target=replace(FOREIGN, recorded=True), **NEW)), Stage)


def test_a_managed_secret_that_was_made_again_claims_its_state_before_it_adopts() -> None:
    assert next_step(observed(ADOPT, target=FOREIGN, state=state(uid="another"))) == Claim(1)


MANAGED = replace(FOREIGN, account_manager=manager_of({"cnpg.io/reload": "true"}))
"""A Secret whose password CloudNativePG sets at its server."""

REFUSED: dict[str, tuple[dict[str, Any], TargetFacts, str]] = {
    "a foreign one": ({}, FOREIGN, "SecretNotOwned"),
    "one of another ManagedSecret": (ADOPT_INTO, replace(FOREIGN, owner="other"), "SecretNotOwned"),
    "one that somebody owns": (ADOPT, replace(FOREIGN, foreign_owner="Helm (label x)"), "SecretNotOwned"),
    "one that a program fills": (MERGE, replace(FOREIGN, filled_by="Kubernetes (type x)"), "SecretNotOwned"),
    "one of another type": (ADOPT, replace(FOREIGN, other_type="kubernetes.io/tls"), "TypeDiffers"),
    "one that takes nothing": (MERGE, replace(FOREIGN, immutable=True), "Immutable"),
    "one with a key of ours": (MERGE, replace(FOREIGN, taken=frozenset({"b", "a"})), "KeyConflict"),
    "one with a key of ours that cannot be adopted": (
        ADOPT_INTO,
        replace(FOREIGN, taken=frozenset({"a"}), recorded=True),
        "KeyConflict",
    ),
    "one whose password another operator sets": (
        account_spec(None, **ADOPT),
        MANAGED,
        "AccountManagedElsewhere",
    ),
}
"""The messages of these are in tests/unit/golden/messages.txt."""


@pytest.mark.parametrize(("spec", "found", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_to_be_touched_is_refused(spec: dict[str, Any], found: TargetFacts, reason: str) -> None:
    assert refusal(observed(spec, target=found, **NEW)).reason == reason


@cases(
    ("shape", "found"),
    case("to be adopted", ADOPT, MANAGED),
    case("not to be adopted", {}, MANAGED),
    case("with an owner", ADOPT, replace(MANAGED, foreign_owner="Cluster 'shop-db' (ownerReferences)")),
    case("to merge into", MERGE, MANAGED),
)
def test_an_account_of_another_operator_is_refused(shape: dict[str, Any], found: TargetFacts) -> None:
    refused = refusal(observed(account_spec(None, **shape), target=found, **NEW))

    assert refused.reason == "AccountManagedElsewhere"


def test_a_password_without_a_database_may_be_given_to_another_operator() -> None:
    assert next_step(observed(ADOPT, target=MANAGED, **NEW)) == Adopt(1)


def test_an_account_that_was_found_there_is_refused_until_a_login_has_proven_it() -> None:
    found = replace(credential(1, Phase.APPLIED, login="app"), target="DatabaseTarget/orders")
    adopted = superseding(1, reason=RevisionReason.CLAIMED)
    recorded = replace(MANAGED, recorded=True)
    unproven = account_state(found, revisions=(adopted,))

    assert refusal(look(unproven, target=recorded, others=ADOPT)).reason == "AccountManagedElsewhere"
    proven = account_state(replace(found, phase=Phase.PROVEN), revisions=(adopted,))
    assert next_step(look(proven, target=recorded, others=ADOPT)) == Publish(1)


def test_a_key_that_is_to_be_adopted_is_no_conflict() -> None:
    found = replace(FOREIGN, taken=frozenset({"password"}))

    assert next_step(observed(ADOPT_INTO, target=found, **NEW)) == Adopt(1)


WRITTEN_ONCE = replace(PUBLISHED_TARGET, immutable=True)


@cases(
    ("changed", "why"),
    case("another value", {"mismatched_items": ["password"]}, "the spec asks for other values: password"),
    case("a trigger", {"annotations": {"keyturn.dev/rotate": "x"}}, "a new trigger asks for it"),
    case(
        "a return", {"annotations": {"keyturn.dev/rollback": "1"}}, "keyturn.dev/rollback asks for revision 1"
    ),
)
def test_an_immutable_secret_keeps_its_values(changed: dict[str, Any], why: str) -> None:
    refused = refusal(observed(IMMUTABLE, target=WRITTEN_ONCE, **changed))

    assert (refused.reason, refused.message) == (
        "Immutable",
        (
            f"the Secret 'db' is immutable and keeps its values, but {why};"
            " create another ManagedSecret for new values, or revert that change"
        ),
    )


def test_a_secret_that_a_user_made_immutable_can_be_created_again() -> None:
    refused = refusal(observed(target=WRITTEN_ONCE, annotations={"keyturn.dev/rotate": "x"}))

    assert refused.message.endswith(
        "but a new trigger asks for it; delete it, so that it is created again, or create another ManagedSecret"
        " for new values, or revert that change"
    )


def test_a_secret_of_others_that_is_immutable_is_not_to_be_deleted() -> None:
    merged = {"target": {"creationPolicy": "Merge"}}
    refused = refusal(observed(merged, target=WRITTEN_ONCE, annotations={"keyturn.dev/rotate": "x"}))

    assert "delete it" not in refused.message


def test_a_deleted_immutable_secret_may_get_new_values() -> None:
    found = observed(IMMUTABLE, target=None, mismatched_items=["password"])

    assert not isinstance(next_step(found), Rest)


def test_nothing_is_done_for_what_is_being_deleted() -> None:
    found = observed(target=None)
    metadata = found.managed.metadata.model_copy(
        update={"deletion_timestamp": datetime(2026, 11, 24, tzinfo=UTC)}
    )

    assert next_step(replace(found, managed=found.managed.model_copy(update={"metadata": metadata}))) == Rest(
        None
    )


def test_when_all_is_written_the_record_is_bound() -> None:
    assert next_step(replace(observed(), has_wrong_binder=True)) == Bind()


def test_a_changed_target_name_is_refused_while_the_secret_under_the_other_name_exists() -> None:
    refused = refusal(replace(observed(target=None), other_target="old"))

    assert (refused.reason, refused.message) == (
        "InvalidSpec",
        (
            "target.name cannot change from 'old' to 'db'; write 'old' again and create a second ManagedSecret with"
            " the new name, or delete the Secret 'old' if no pod uses it"
        ),
    )


@pytest.mark.parametrize("is_state", [False, True])
def test_a_secret_without_label_may_have_lost_it(*, is_state: bool) -> None:
    found = replace(observed(), state_is_foreign=True) if is_state else observed(target=FOREIGN)
    new = replace(observed(**NEW), state_is_foreign=True) if is_state else observed(target=FOREIGN, **NEW)

    remedy = "restore its label keyturn.dev/managed-secret: db if that was removed"
    renamed = replace(found, managed=observed(status={"revision": 1, "secretName": "old"}).managed)
    assert remedy in refusal(found).message
    assert is_state or remedy not in refusal(renamed).message
    assert remedy not in refusal(new).message


def test_a_secret_whose_values_would_be_replaced_is_not_adopted() -> None:
    unadoptable = Stalled("KeyConflict", "the Secret 'db' has values that would be replaced")

    assert (
        refusal(observed(ADOPT, target=replace(FOREIGN, unadoptable=unadoptable), **NEW)) is not unadoptable
    )
    assert refusal(observed(ADOPT, target=replace(FOREIGN, unadoptable=unadoptable))).reason == "KeyConflict"


def test_nothing_is_read_for_a_secret_that_may_not_be_written() -> None:
    refused = decision.refusal(observed(target=FOREIGN, **NEW))
    assert refused
    assert refused.reason == "SecretNotOwned"
    assert decision.refusal(observed(ADOPT, target=FOREIGN, **NEW)) is None
