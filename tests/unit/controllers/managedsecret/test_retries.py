"""When a ManagedSecret is reconciled again after a pass."""

from datetime import timedelta

import pytest

from keyturn.controllers.managedsecret.generate import GeneratedValues
from keyturn.controllers.managedsecret.pull import PullMemory
from keyturn.controllers.managedsecret.retries import (
    RestartBackoff,
    concerns_one,
    error_of_observation,
    error_of_step,
    next_time,
    pass_pause,
    report_time,
)
from keyturn.core.errors import Stalled, Wait
from keyturn.core.keys import ObjectKey
from keyturn.core.observation.external import being_made, being_read
from keyturn.core.rotation.steps import (
    DeletePod,
    EvictPod,
    Finalize,
    Publish,
    Reason,
    Rest,
    RollOut,
    Stage,
    Step,
)
from keyturn.core.status.status import Outcome
from keyturn.kube import errors
from tests.support.cases import case, cases
from tests.unit.core.builders import NOW, consumer, holding, minutes, observed, pod, seconds, workload

KEY = ObjectKey("shop", "db")
WAIT = Wait("ProviderError", "", seconds(5))


@pytest.mark.parametrize(
    ("failures", "pause"), [(0, 5), (1, 5), (2, 10), (3, 20), (6, 160), (7, 300), (2000, 300)]
)
def test_the_pause_doubles_up_to_five_minutes(failures: int, pause: int) -> None:
    assert pass_pause(WAIT.after, failures) == seconds(pause)


@pytest.mark.parametrize(
    ("until", "error", "due"),
    [
        (None, None, None),
        (NOW + minutes(9), None, NOW + minutes(9)),
        (None, WAIT, NOW + seconds(5)),
        (NOW + minutes(9), WAIT, NOW + seconds(5)),
        (NOW + seconds(2), WAIT, NOW + seconds(2)),
        (None, Stalled("InvalidSpec", ""), NOW + minutes(1)),
        (None, Stalled("RolloutFailed", "", NOW + seconds(15)), NOW + seconds(15)),
        (None, Stalled("RolloutFailed", "", NOW + minutes(5)), NOW + minutes(1)),
    ],
    ids=[
        "nothing is due",
        "a schedule",
        "a failure",
        "a failure first",
        "a schedule first",
        "stalled",
        "stalled with a retry before",
        "stalled with a retry later",
    ],
)
def test_the_next_pass_is_due_at_the_first_of_schedule_and_retry(
    until: object, error: Wait | Stalled | None, due: object
) -> None:
    outcome = Outcome(Rest(until), error)  # type: ignore[arg-type]  # a time or None
    assert next_time(outcome, 0, NOW) == due


@pytest.mark.parametrize(
    ("began", "due"),
    [(timedelta(0), seconds(1)), (seconds(0.9), seconds(0.1)), (seconds(1), None), (seconds(-1), None)],
    ids=["at once", "within the second", "after it", "a clock that was set back"],
)
def test_an_awaited_read_is_reported_after_a_second(began: timedelta, due: timedelta | None) -> None:
    pulls = PullMemory()
    record = pulls.record(KEY)
    record.reading_since = NOW - began
    awaited = Outcome(None, being_read())
    assert report_time(KEY, awaited, GeneratedValues(), pulls, NOW) is None, "no read is in progress"
    record.reading = object()  # type: ignore[assignment]  # a read in progress
    assert report_time(KEY, awaited, GeneratedValues(), pulls, NOW) == (NOW + due if due else None)
    assert report_time(KEY, Outcome(None, being_made()), GeneratedValues(), pulls, NOW) is None
    assert report_time(KEY, Outcome(None, WAIT), GeneratedValues(), pulls, NOW) is None


def test_a_rejected_restart_is_news_until_its_reason_changes() -> None:
    look, restarts = observed(), RestartBackoff()
    given = KEY, Wait("Forbidden", "", seconds(5)), workload(), look
    assert restarts.deny(*given)
    assert not restarts.deny(*given)
    assert restarts.deny(KEY, Wait("AdmissionDenied", "", seconds(5)), workload(), look)
    assert [one.attempts.failures for one in restarts.denials(KEY).values()] == [3]


REASON = Reason("Triggered", "a new trigger asks for it", frozenset(), rotates=True)
STEPS: dict[str, Step] = {
    "the target": Publish(2),
    "the record": Stage(2, REASON),
    "a workload": RollOut(consumer("api"), "db=2"),
    "a pod": DeletePod(consumer("web"), pod("web-1"), 2),
    "a pod with exposed values": EvictPod(holding("report-x")),
    "the object": Finalize(present=True),
}
SECRETS = "/api/v1/namespaces/shop/secrets/db"


def error(kind: type[errors.ApiError], status: int, verb: str = "update") -> errors.ApiError:
    return kind(verb, SECRETS, status, "Whatever")


@pytest.mark.parametrize("step", STEPS)
def test_what_is_invalid_waits_for_a_person(step: str) -> None:
    found = error_of_step(error(errors.Invalid, 422), STEPS[step], observed())
    assert isinstance(found, Stalled)
    assert found.reason == "Refused"


@pytest.mark.parametrize(("kind", "status"), [(errors.Forbidden, 403), (errors.Invalid, 422)])
def test_a_pod_may_be_deleted_by_hand(kind: type[errors.ApiError], status: int) -> None:
    found = error_of_step(error(kind, status, "delete"), STEPS["a pod"], observed())
    assert "kubectl delete pod web-1 -n shop" in found.message


def test_a_budget_that_permits_no_eviction_is_no_failure_of_the_api_server() -> None:
    found = error_of_step(
        error(errors.Throttled, 429, "create"), STEPS["a pod with exposed values"], observed()
    )
    assert found.reason == "Refused"
    assert "report-x" in found.message


def test_a_missing_right_to_evict_names_the_component() -> None:
    found = error_of_step(
        error(errors.Forbidden, 403, "create"), STEPS["a pod with exposed values"], observed()
    )
    assert "manifests/components/pod-eviction" in found.message


@cases(
    ("kind", "status", "reason"),
    case("no right", errors.Forbidden, 403, "Forbidden"),
    case("gone", errors.NotFound, 404, "NotFound"),
    case("throttled", errors.Throttled, 429, "ApiServerUnavailable"),
    case("no answer", errors.Unavailable, 0, "ApiServerUnavailable"),
    case("a webhook that is down", errors.Unavailable, 500, "ApiServerUnavailable"),
    case("a webhook that denies", errors.BadRequest, 400, "Refused"),
    case("any other", errors.ApiError, 451, "Refused"),
)
def test_what_may_pass_is_waited_for(kind: type[errors.ApiError], status: int, reason: str) -> None:
    found = error_of_step(error(kind, status), STEPS["the target"], observed())
    assert isinstance(found, Wait)
    assert found.reason == reason
    assert concerns_one(found) is (reason != "ApiServerUnavailable")


@cases(
    ("kind", "status", "reason"),
    case("no right", errors.Forbidden, 403, "Forbidden"),
    case("no login", errors.Unauthorized, 401, "Forbidden"),
    case("any other", errors.BadRequest, 400, "Refused"),
)
def test_a_look_that_is_refused_leaves_open_what_is_there(
    kind: type[errors.ApiError], status: int, reason: str
) -> None:
    assert error_of_observation(error(kind, status, "get")).reason == reason


@pytest.mark.parametrize("step", STEPS)
def test_the_words_of_the_api_server_are_never_repeated(step: str) -> None:
    for kind in (errors.Invalid, errors.Forbidden, errors.BadRequest, errors.Unavailable):
        assert "Whatever" not in error_of_step(error(kind, 500), STEPS[step], observed()).message


def denied(kind: errors.DenierKind, name: str, verb: str = "update") -> errors.ApiError:
    return errors.Forbidden(verb, SECRETS, 403, "Forbidden", denier=errors.Denier(kind, name, "all"))


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "kind", [errors.DenierKind.VALIDATING_POLICY, errors.DenierKind.WEBHOOK, errors.DenierKind.QUOTA]
)
def test_what_denies_a_request_is_named_and_needs_a_person(kind: errors.DenierKind, step: str) -> None:
    found = error_of_step(denied(kind, "freeze"), STEPS[step], observed())
    assert isinstance(found, Stalled)
    assert found.reason == "Refused"
    assert f"the {kind} 'freeze' with binding 'all' denies the request to update" in found.message


def test_a_webhook_that_is_away_is_named_and_waited_for() -> None:
    found = error_of_step(denied(errors.DenierKind.BROKEN_WEBHOOK, "labels"), STEPS["the target"], observed())
    assert isinstance(found, Wait)
    assert found.reason == "ApiServerUnavailable"
    assert "the admission webhook 'labels' does not answer" in found.message


def test_a_denial_by_keyturns_own_policy_means_that_another_one_changed_the_secret() -> None:
    own = denied(errors.DenierKind.VALIDATING_POLICY, "keyturn-own-secrets")
    assert error_of_step(own, STEPS["the target"], observed()).reason == "ChangedOnWrite"


@pytest.mark.parametrize(("verb", "kept"), [("create", False), ("update", True)])
def test_the_record_of_the_values_is_not_to_be_deleted(verb: str, kept: bool) -> None:
    found = error_of_step(denied(errors.DenierKind.WEBHOOK, "labels", verb), STEPS["the record"], observed())
    assert ("do not delete" in found.message) is kept
