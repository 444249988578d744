"""What comes of a new ManagedSecret."""

import re

from sandbox.harness import Kubectl
from tests.cluster.namespace import Space, bytes_, literal, password


def test_a_managed_secret_becomes_a_secret_with_every_key(space: Space) -> None:
    space.managed(
        password(length=40), bytes_(), {"name": "id", "generate": {"uuid": {}}}, literal("username", "shop")
    )

    assert space.lengths() == {"password": 40, "token": 44, "id": 36, "username": 4}


def test_the_secret_says_whose_it_is_and_which_revision(space: Space) -> None:
    space.managed()

    secret = space.get("Secret", "auth")
    published = secret["metadata"]["annotations"].pop("keyturn.dev/published")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00", published)
    assert secret["metadata"]["labels"] == {"keyturn.dev/managed-secret": "auth"}
    assert secret["metadata"]["annotations"] == {"keyturn.dev/revision": "1"}
    assert secret["type"] == "Opaque"


def test_the_secret_gets_the_name_type_labels_and_annotations_of_the_target(space: Space) -> None:
    space.managed(
        literal("username", "shop"),
        password(),
        target={
            "name": "login",
            "type": "kubernetes.io/basic-auth",
            "template": {"metadata": {"labels": {"team": "auth"}, "annotations": {"shop.test/why": "login"}}},
        },
    )

    secret = space.get("Secret", "login")
    assert secret["type"] == "kubernetes.io/basic-auth"
    assert secret["metadata"]["labels"] == {"keyturn.dev/managed-secret": "auth", "team": "auth"}
    assert secret["metadata"]["annotations"]["shop.test/why"] == "login"


def test_the_status_of_a_new_secret_is_whole(space: Space) -> None:
    status = space.managed(rotation={"every": "90d", "jitter": "0%", "trigger": "first"})

    conditions = [(one["type"], one["status"], one["reason"]) for one in status.pop("conditions")]
    assert conditions == [
        ("Ready", "True", "Published"),
        ("Rotating", "False", "Idle"),
        ("WorkloadsCurrent", "True", "NoConsumers"),
        ("PolicyCompliant", "True", "Compliant"),
    ]
    (entry,) = status.pop("history")
    last, due = status.pop("lastRotationTime"), status.pop("nextRotationTime")
    assert (entry["startedAt"], last < due) == (last, True)
    assert status["schedule"].pop("since") <= last
    assert {"revision": 1, "reason": "Created", "result": "Succeeded"}.items() <= entry.items()
    assert status == {
        "observedGeneration": 1,
        "state": "Ready",
        "secretName": "auth",
        "revision": 1,
        "overdue": False,
        "lastTrigger": "first",
        "schedule": {"text": "every 90d, jitter 0%"},
    }


def test_kubectl_can_wait_for_a_new_secret(space: Space, kubectl: Kubectl) -> None:
    space.manage()

    kubectl("wait", "ms/auth", "-n", space.namespace, "--for=condition=Ready", "--timeout=20s")


def test_kubectl_prints_what_matters_in_a_row(space: Space, kubectl: Kubectl) -> None:
    status = space.managed(className="jwt-secret", owner="team-auth@shop.test")

    rows = kubectl("get", "ms", "-n", space.namespace, "-o", "wide", "--no-headers").splitlines()

    (row,) = (re.split(r" {2,}", one.strip()) for one in rows)
    assert [*row[:4], *row[5:7], *row[8:]] == [
        *("auth", "True", status["state"], "1"),
        *(status["nextRotationTime"], "jwt-secret"),
        *("auth", "team-auth@shop.test", "Idle"),
        "the Secret holds revision 1 with every key",
    ]


def test_kubectl_get_keyturn_lists_it(space: Space, kubectl: Kubectl) -> None:
    space.managed()

    assert "managedsecret.keyturn.dev/auth" in kubectl("get", "keyturn", "-n", space.namespace, "-o", "name")


def test_describe_reports_in_an_event_that_it_was_created(space: Space, kubectl: Kubectl) -> None:
    space.managed()

    assert space.until_event("Created") == "revision 1 is in the Secret"
    assert "revision 1 is in the Secret" in kubectl("describe", "ms", "auth", "-n", space.namespace)
