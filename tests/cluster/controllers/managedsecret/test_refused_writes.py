"""What real admission policies and webhooks refuse or change is told in words that help, and nothing is half done."""

import pytest

from sandbox.harness import eventually
from tests.cluster.admission_policies import Policy, asked
from tests.cluster.namespace import Space, bytes_, password
from tests.cluster.workloads import deployment, env_from
from tests.support.objects import Body, Objects
from tests.support.operator import Operator
from tests.support.webhook import Review, Webhook, allow, deny, patch

KEPT = {**password(), "keepPrevious": True}
KEEPS_THE_OVERLAP = (
    "request.operation == 'CREATE' || !has(oldObject.metadata.annotations)"
    " || !('keyturn.dev/overlap' in oldObject.metadata.annotations)"
    " || 'keyturn.dev/overlap' in object.metadata.annotations"
)


def test_a_refused_revocation_is_reported_until_it_is_done(
    space: Space, policy: Policy, operator: Operator
) -> None:
    policy.refuse("secrets", unless=KEEPS_THE_OVERLAP, reason="Forbidden")
    space.managed(KEPT, bytes_(), rotation={"overlap": "2s"})

    space.rotate()

    status = space.until_condition("Rotating", "True", "Settle")
    assert "password.previous" in space.values()
    assert status["previous"]["revision"] == 1
    assert status["previous"]["validUntil"]
    assert status["rotation"]["step"] == "Settle"
    assert status["rotation"]["message"].startswith(
        f"the ValidatingAdmissionPolicy {policy.name!r} with binding {policy.name!r} denies the request to update"
        " the Secret 'auth'"
    )
    labels = f'{{namespace="{space.namespace}",name="auth"}}'
    assert f"keyturn_previous_valid_until_timestamp_seconds{labels}" in operator.get("/metrics")[1]
    policy.lift()
    space.looked_at()
    eventually(lambda: "password.previous" not in space.values(), "the value before is gone")
    assert "previous" not in space.settled()


@pytest.mark.parametrize(
    "code", [pytest.param(0, id="without a status"), pytest.param(500, id="as if the API server had failed")]
)
def test_a_webhook_that_denies_is_named(code: int, space: Space, hook: Webhook) -> None:
    hook.review = deny(code)
    with asked(hook, space.objects, space.namespace, "ValidatingWebhookConfiguration", "secrets"):
        space.manage()

        space.until_condition("Ready", "False", "Refused")
        sentence = (
            "the admission webhook 'refusals.keyturn.test' denies the request to create the Secret 'auth-keyturn';"
            " write what it requires, such as a label in target.template.metadata, or exempt Keyturn's ServiceAccount"
            " from it"
        )
        assert space.stalled("Refused") == sentence
        assert space.until_event("Refused") == sentence
        hook.review = allow
        space.looked_at()
        space.settled(revision=1)


def test_a_webhook_that_answers_with_conflict_is_reported(space: Space, hook: Webhook) -> None:
    hook.review = deny(409, "Conflict")
    with asked(hook, space.objects, space.namespace, "ValidatingWebhookConfiguration", "secrets"):
        space.manage()

        space.until_condition("Ready", "Unknown", "Contended")
        assert "admission webhook" in space.until_event("Contended")
        hook.review = allow
        space.looked_at()
        space.settled(revision=1)


def test_a_policy_that_refuses_the_first_record_is_named_without_its_words(
    space: Space, policy: Policy, operator: Operator
) -> None:
    canary = "canary-of-a-policy-that-quotes-a-value"
    policy.refuse("secrets", unless="false", message=canary)

    space.manage()

    assert space.stalled("Refused").startswith(
        f"the ValidatingAdmissionPolicy {policy.name!r} with binding {policy.name!r} denies the request to create"
        " the Secret 'auth-keyturn'; write what it requires"
    )
    assert policy.name in space.until_event("Refused")
    shown = [space.get("ManagedSecret", "auth"), space.events("Refused"), operator.lines(space.namespace)]
    assert canary not in repr(shown)


def test_a_label_that_a_policy_requires_of_every_secret_is_written_once_for_both(
    space: Space, policy: Policy
) -> None:
    labelled = "has(object.metadata.labels) && 'cost-centre' in object.metadata.labels"
    policy.refuse("secrets", unless=labelled, message="label cost-centre is required on every Secret")
    space.manage()
    space.stalled("Refused")

    labels = {"cost-centre": "4711"}
    space.respec(lambda spec: spec.update(target={"template": {"metadata": {"labels": labels}}}))

    space.settled(revision=1)
    space.rotated()
    for name in ("auth", "auth-keyturn"):
        assert space.get("Secret", name)["metadata"]["labels"]["cost-centre"] == "4711"


@pytest.mark.usefixtures("operator")
def test_a_namespace_of_kubernetes_itself_is_not_served(objects: Objects) -> None:
    """By the policy keyturn-own-secrets, under which every test runs."""
    space = Space(objects, "kube-system")
    space.manage(name="refused")
    try:
        assert space.stalled("Refused", "refused") == (
            "Keyturn writes no Secrets in kube-system (admission policy keyturn-own-secrets); use another namespace"
        )
    finally:
        space.delete("ManagedSecret", "refused")


def test_a_workload_that_may_not_be_restarted_blocks_no_other(space: Space, policy: Policy) -> None:
    space.managed()
    space.run(deployment("api", env_from("auth")))
    space.run(deployment("web", env_from("auth")))
    policy.refuse("deployments", unless="object.metadata.name != 'api'")

    space.rotate()

    space.until_workload("web", state="Current", revision=2)
    sentence = (
        f"the ValidatingAdmissionPolicy {policy.name!r} with binding {policy.name!r} denies the request to patch"
        " Deployment/api; exempt Keyturn's ServiceAccount from it, or restart it yourself"
    )
    space.until_workload("api", state="Pending", message=sentence)
    assert space.until_event("Refused") == sentence
    assert (space.marker("web"), space.marker("api")) == ("auth=2", None)
    assert space.condition("Stalled") is None


def drop(path: str, name: str) -> Review:
    """Take a part out of the writes of one Secret."""

    def review(request: Body) -> Body:
        is_it = request["kind"]["kind"] == "Secret" and request["name"] == name
        return patch({"op": "remove", "path": path})(request) if is_it else allow(request)

    return review


@pytest.mark.parametrize(
    ("path", "what", "ready"),
    [
        pytest.param("/data/token", "token", ("Ready", "False", "ChangedOnWrite"), id="a key"),
        pytest.param(
            "/metadata/labels/team",
            "its labels and annotations",
            ("Ready", "True", "Published"),
            id="a label",
        ),
    ],
)
def test_a_webhook_that_changes_the_secret_is_named(
    path: str, what: str, ready: tuple[str, str, str], space: Space, hook: Webhook
) -> None:
    hook.review = drop(path, "auth")
    with asked(hook, space.objects, space.namespace, "MutatingWebhookConfiguration", "secrets"):
        space.manage(target={"template": {"metadata": {"labels": {"team": "auth"}}}})

        sentence = space.stalled("ChangedOnWrite")
        assert sentence == (
            f"the API server stores the Secret 'auth' with changes ({what}): find the mutating"
            " admission webhook or policy, and exclude the Secret from it"
        )
        space.until_condition(*ready)
        hook.review = allow
        space.looked_at()
        space.settled(revision=1)
    assert space.lengths() == {"password": 32, "token": 44}


def test_a_change_that_keyturns_own_policy_denies_is_named_as_one(space: Space, hook: Webhook) -> None:
    hook.review = patch({"op": "add", "path": "/metadata/finalizers", "value": ["example.com/kept"]})
    with asked(hook, space.objects, space.namespace, "MutatingWebhookConfiguration", "secrets"):
        space.manage()

        assert "own admission policy keyturn-own-secrets denies" in space.stalled("ChangedOnWrite")
        hook.review = allow
        space.looked_at()
        space.settled(revision=1)


def test_a_record_that_a_webhook_changes_is_published_nowhere(space: Space, hook: Webhook) -> None:
    hook.review = drop("/data/state", "auth-keyturn")
    with asked(hook, space.objects, space.namespace, "MutatingWebhookConfiguration", "secrets"):
        space.manage()

        assert "'auth-keyturn' with changes" in space.until_event("ChangedOnWrite")
        assert space.find("Secret", "auth") is None


def test_who_edits_the_secret_again_and_again_is_named_and_put_back_later(space: Space) -> None:
    space.managed()
    before, other = space.values(), {"token": "b3RoZXI="}

    for _ in range(4):
        space.edit("Secret", "auth", lambda secret: secret["data"].update(other))
        eventually(lambda: space.values() == before, "the value is put back")
    space.edit("Secret", "auth", lambda secret: secret["data"].update(other))

    told = space.stalled("Contested")
    assert not told.startswith("somebody")
    assert told.endswith(
        " (field manager) keeps changing the Secret 'auth'; repairs continue with exponential back-off;"
        " stop the other writer"
    )
