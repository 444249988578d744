"""What people see of our kinds through kubectl."""

import json
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keyturn.api.meta import Condition
from keyturn.api.secretstore import SecretStoreStatus
from keyturn.api.status import HistoryEntry, ManagedSecretStatus, RotationStatus, WorkloadStatus
from keyturn.api.workloads import Via, WorkloadKind, WorkloadState
from sandbox.harness import Kubectl, eventually
from tests.cluster.api.objects import body, managed_secret

_NOW = datetime.now(UTC).replace(microsecond=0)
_DUE = _NOW + timedelta(days=30)


def condition(type_: str, reason: str, message: str) -> Condition:
    return Condition(
        type=type_,
        status="True",
        reason=reason,
        message=message,
        last_transition_time=_NOW,
        observed_generation=1,
    )


STATUS = ManagedSecretStatus(
    observed_generation=1,
    state="Rotating",
    class_name="jwt-secret",
    secret_name="auth-secrets",  # noqa: S106 - a name
    revision=3,
    last_rotation_time=_NOW - timedelta(days=60),
    next_rotation_time=_DUE,
    overdue=False,
    last_trigger="2026-11-24-leaver",
    last_refresh_time=_NOW,
    last_refresh="2026-11-24-moved",
    rotation=RotationStatus(
        id="uid-3", reason="RotationDue", step="RollOut", started_at=_NOW, attempts=1, message="waits"
    ),
    workloads=[
        WorkloadStatus(
            kind=WorkloadKind.DEPLOYMENT,
            name="api",
            via=[Via.ENV, Via.VOLUME],
            state=WorkloadState.ROLLING,
            revision=3,
            message="2 of 3 pods",
        )
    ],
    workloads_summary="0/1",
    history=[
        HistoryEntry(revision=2, reason="RotationDue", started_at=_NOW, finished_at=_NOW, result="Succeeded")
    ],
    conditions=[
        condition("Ready", "Published", "every key is at revision 3"),
        condition("Rotating", "RollOut", "waits"),
        condition("WorkloadsCurrent", "Rolling", "1 of 2 workloads"),
    ],
)


WRITTEN: dict[str, Any] = STATUS.model_dump(mode="json", by_alias=True, exclude_none=True)


@pytest.fixture
def example(kubectl: Kubectl, namespace: str) -> str:
    """A ManagedSecret with a full status; gives its name."""
    name = f"seen-{secrets.token_hex(4)}"
    body = managed_secret(name=name, className="jwt-secret", owner="team-auth", suspend=True)
    kubectl("create", "-n", namespace, "-f", "-", given=body)
    patch = json.dumps({"status": WRITTEN})
    kubectl(
        *("patch", "managedsecret", name, "-n", namespace),
        *("--subresource=status", "--type=merge", "-p", patch),
    )
    return name


def table(printed: str) -> list[list[str]]:
    """Take a table of kubectl apart; its columns are at least three blanks apart."""
    return [re.split(r" {3,}", line.strip()) for line in printed.splitlines()]


def test_a_whole_status_of_the_models_is_kept(example: str, kubectl: Kubectl, namespace: str) -> None:
    assert kubectl.json("get", "managedsecret", example, "-n", namespace)["status"] == WRITTEN


def test_managed_secrets_are_printed_in_a_row(example: str, kubectl: Kubectl, namespace: str) -> None:
    header, row = table(kubectl("get", "ms", example, "-n", namespace))

    assert header == [
        *("NAME", "READY", "STATUS", "REVISION", "WORKLOADS"),
        *("LAST ROTATION", "NEXT ROTATION", "CLASS", "AGE"),
    ]
    due = _DUE.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert row[:-1] == [example, "True", "Rotating", "3", "0/1", "60d", due, "jwt-secret"]


@pytest.fixture
def unseen(kubectl: Kubectl, namespace: str) -> str:
    """A ManagedSecret that no operator looks at; gives its name."""
    name = f"unseen-{secrets.token_hex(4)}"
    kubectl("create", "-n", namespace, "-f", "-", given=managed_secret(name=name))
    return name


def test_an_operator_that_is_absent_is_seen(unseen: str, kubectl: Kubectl, namespace: str) -> None:
    _, row = table(kubectl("get", "ms", unseen, "-n", namespace))
    _, wide = table(kubectl("get", "ms", unseen, "-n", namespace, "-o", "wide"))
    described = kubectl("describe", "ms", unseen, "-n", namespace)

    assert row[:3] == [unseen, "Unknown", "NotReady"]
    assert wide[-1] == (
        "Waiting for the Keyturn operator; if this stays, see kubectl get pods -n keyturn-system"
    )
    assert re.search(r"Reason: +Pending", described)


def test_it_is_not_taken_for_ready(unseen: str, kubectl: Kubectl, namespace: str) -> None:
    kubectl(
        "wait",
        f"ms/{unseen}",
        "-n",
        namespace,
        "--for=jsonpath={.status.observedGeneration}=-1",
        "--timeout=5s",
    )
    done = kubectl.run("wait", f"ms/{unseen}", "-n", namespace, "--for=condition=Ready", "--timeout=1s")

    assert done.returncode != 0


def test_what_was_filled_in_stays_away_from_a_status_that_was_written(
    example: str, kubectl: Kubectl, namespace: str
) -> None:
    kubectl("annotate", "ms", example, "-n", namespace, "example.com/touched=yes")

    assert kubectl.json("get", "ms", example, "-n", namespace)["status"] == WRITTEN


def test_wide_rows_also_say_who_and_how_far(example: str, kubectl: Kubectl, namespace: str) -> None:
    header, row = table(kubectl("get", "ms", example, "-n", namespace, "-o", "wide"))

    assert header[9:] == ["SECRET", "OWNER", "SUSPENDED", "ROTATION", "MESSAGE"]
    assert row[9:] == ["auth-secrets", "team-auth", "true", "RollOut", "every key is at revision 3"]


def test_classes_are_printed_in_a_row(kubectl: Kubectl) -> None:
    name = f"seen-{secrets.token_hex(4)}"
    spec = {"priority": "High", "rotation": {"every": "90d"}, "minLength": 40, "description": "Tokens"}
    kubectl("create", "-f", "-", given=body("SecretClass", name, spec))

    header, row = table(kubectl("get", "sclass", name))
    wide_header, wide_row = table(kubectl("get", "sclass", name, "-o", "wide"))

    assert header == ["NAME", "PRIORITY", "EVERY", "MIN LENGTH", "READY", "AGE"]
    assert row[:5] == [name, "High", "90d", "40", "Unknown"]
    assert (wide_header[6:], wide_row[6:7]) == (["DESCRIPTION", "MESSAGE"], ["Tokens"])


@pytest.mark.parametrize(("kind", "resource"), [("SecretStore", "kstore"), ("ClusterSecretStore", "kcstore")])
def test_stores_are_printed_in_a_row(kind: str, resource: str, kubectl: Kubectl, namespace: str) -> None:
    name = f"seen-{secrets.token_hex(4)}"
    status = SecretStoreStatus(
        observed_generation=1,
        provider="kubernetes",
        conditions=[condition("Ready", "Valid", "the store answers")],
    ).model_dump(mode="json", by_alias=True, exclude_none=True)
    kubectl("create", "-n", namespace, "-f", "-", given=body(kind, name, {"provider": {"kubernetes": {}}}))
    patch = json.dumps({"status": status})
    kubectl(*("patch", resource, name, "-n", namespace, "--subresource=status", "--type=merge", "-p", patch))

    header, row = table(kubectl("get", resource, name, "-n", namespace))
    wide_header, wide_row = table(kubectl("get", resource, name, "-n", namespace, "-o", "wide"))

    assert kubectl.json("get", resource, name, "-n", namespace)["status"] == status
    assert header == ["NAME", "PROVIDER", "READY", "REASON", "AGE"]
    assert row[:-1] == [name, "kubernetes", "True", "Valid"]
    assert (wide_header[5:], wide_row[5:]) == (["MESSAGE"], ["the store answers"])


def test_one_category_has_all_our_kinds(example: str, kubectl: Kubectl, namespace: str) -> None:
    kinds = kubectl("api-resources", "--categories=keyturn", "-o", "name")
    found = kubectl("get", "keyturn", "-n", namespace, "-o", "name")

    assert sorted(kinds.split()) == [
        "clusterdatabasetargets.keyturn.dev",
        "clustersecretstores.keyturn.dev",
        "databasetargets.keyturn.dev",
        "emergencyrotations.keyturn.dev",
        "managedsecrets.keyturn.dev",
        "secretclasses.keyturn.dev",
        "secretstores.keyturn.dev",
    ]
    assert f"managedsecret.keyturn.dev/{example}" in found.split()


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        (
            "managedsecret",
            "One native Secret: the sources of its values, their rotation, and the workloads to restart.",
        ),
        ("managedsecret.spec.rotation.every", "How long a value is used before it is replaced, such as 90d."),
        ("kstore.spec.provider.files", "in a ClusterSecretStore only."),
        (
            "sclass.spec.generate",
            "The generator of every data item that has none of generate, from and literal.",
        ),
    ],
)
def test_explain_prints_the_sentence(field: str, sentence: str, kubectl: Kubectl) -> None:
    # The API server may have just started, and its documentation comes last.
    eventually(lambda: sentence in " ".join(kubectl.run("explain", field).stdout.split()), sentence)


def test_apply_refuses_a_field_that_does_not_exist(kubectl: Kubectl, namespace: str) -> None:
    misspelt = managed_secret(name="misspelt", rotaton={"every": "90d"})

    refused = kubectl.run("apply", "-n", namespace, "-f", "-", given=misspelt)

    assert refused.returncode == 1
    assert 'unknown field "spec.rotaton"' in refused.stderr
