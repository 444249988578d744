"""What a refusal of the API server means, and what is advised for each kind of object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keyturn.core.errors import Stalled, Wait
from keyturn.core.renewal import Reason
from keyturn.core.steps import Begin, DeletePod, Finalize, Publish, Release, RollOut, Stage
from keyturn.denials import denied, unread
from keyturn.kube import errors
from tests.core.builders import consumer, pod, seen

if TYPE_CHECKING:
    from keyturn.core.steps import Step

REASON = Reason("Triggered", "a new trigger asks for it", frozenset(), rotates=True)
STEPS: dict[str, Step] = {
    "the target": Publish(2),
    "a Secret under an old name": Release("old"),
    "the record": Stage(2, REASON),
    "a workload": RollOut(consumer("api"), "db=2"),
    "a pod": DeletePod(consumer("web"), pod("web-1"), 2),
    "the status": Begin("uid/2", 2, REASON),
    "the object": Finalize(present=True),
}
SECRETS = "/api/v1/namespaces/shop/secrets/db"


def error(kind: type[errors.ApiError], status: int, verb: str = "update") -> errors.ApiError:
    return kind(verb, SECRETS, status, "Whatever")


@pytest.mark.parametrize(
    ("step", "is_advised"), [(name, name in {"the target", "a Secret under an old name"}) for name in STEPS]
)
def test_only_what_is_made_again_may_be_deleted(step: str, is_advised: bool) -> None:  # noqa: FBT001
    found = denied(error(errors.Invalid, 422), STEPS[step], seen())
    assert isinstance(found, Stalled)
    assert ("delete it" in found.message) is is_advised
    assert "admission polic" in found.message


@pytest.mark.parametrize(
    ("kind", "status", "message"),
    [
        (
            errors.Forbidden,
            403,
            (
                "the API server forbids to delete the pod 'web-1'; look at the namespace's quota and admission"
                " policies and at the operator's rights, or run: kubectl delete pod web-1 -n shop"
            ),
        ),
        (
            errors.Invalid,
            422,
            (
                "the API server refused to delete the pod 'web-1' as invalid; look at the admission policies for"
                " pods, or run: kubectl delete pod web-1 -n shop"
            ),
        ),
    ],
)
def test_a_pod_may_be_deleted_by_hand(kind: type[errors.ApiError], status: int, message: str) -> None:
    assert denied(error(kind, status, "delete"), STEPS["a pod"], seen()).message == message


def test_a_workload_may_be_restarted_by_hand() -> None:
    found = denied(error(errors.Invalid, 422, "patch"), STEPS["a workload"], seen())
    assert found.message == (
        "the API server refused to patch Deployment/api as invalid;"
        " look at the admission policies for workloads, or restart it yourself"
    )


@pytest.mark.parametrize(
    ("kind", "status", "reason", "message"),
    [
        pytest.param(errors.NotFound, 404, "NotFound", "the Secret 'db' is gone", id="gone"),
        pytest.param(
            errors.Throttled, 429, "ApiServerUnavailable", "the API server does not answer", id="throttled"
        ),
        pytest.param(
            errors.Unavailable, 0, "ApiServerUnavailable", "the API server does not answer", id="no answer"
        ),
        pytest.param(
            errors.Unavailable,
            500,
            "ApiServerUnavailable",
            "the API server answers 500 when asked to update the Secret 'db';"
            " it is in trouble, or an admission webhook is",
            id="a webhook that is down",
        ),
        pytest.param(
            errors.BadRequest,
            400,
            "Refused",
            "the API server answers 400 when asked to update the Secret 'db';"
            " look for an admission webhook that denies it",
            id="a webhook that denies",
        ),
        pytest.param(
            errors.ApiError,
            451,
            "Refused",
            "the API server answers 451 when asked to update the Secret 'db';"
            " look for an admission webhook that denies it",
            id="any other",
        ),
    ],
)
def test_what_may_pass_is_waited_for(
    kind: type[errors.ApiError], status: int, reason: str, message: str
) -> None:
    found = denied(error(kind, status), STEPS["the target"], seen())
    assert isinstance(found, Wait)
    assert (found.reason, found.message) == (reason, message)


@pytest.mark.parametrize(
    ("kind", "status", "reason", "advice"),
    [
        pytest.param(
            errors.Forbidden, 403, "Forbidden", "; give the operator its rights back", id="no right"
        ),
        pytest.param(
            errors.Unauthorized, 401, "Forbidden", "; give the operator its rights back", id="no login"
        ),
        pytest.param(errors.BadRequest, 400, "Refused", "", id="any other"),
    ],
)
def test_a_look_that_is_refused_leaves_open_what_is_there(
    kind: type[errors.ApiError], status: int, reason: str, advice: str
) -> None:
    found = unread(error(kind, status, "get"))
    assert found.reason == reason
    assert found.message == (
        f"the API server answers {status} when asked to get secrets,"
        f" so that nobody knows whether the Secret is whole{advice}"
    )
