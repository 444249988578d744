"""Database logins with exposed passwords: which ones, when each was refused, and why one may still be accepted."""

from dataclasses import replace
from typing import Any

from keyturn.api.emergency import AffectedLogin, AffectedState
from keyturn.core.emergency.progress import affected, exposed_logins
from keyturn.core.emergency.status import kept_logins
from keyturn.core.errors import Stalled, Wait
from keyturn.core.observation.emergency import Emergency
from keyturn.core.observation.external import AccountFacts
from keyturn.core.observation.observed import Managed
from keyturn.core.state.records import UNKNOWN_REVISION, Credential, Phase
from tests.support.cases import case, cases
from tests.unit.core import builders as make
from tests.unit.core.accounts import credential, look, moved, state, superseding

STAGED, APPLIED, PROVEN, CLOSING, CLOSED = Phase
INCIDENT = Emergency("inc-1", "uid-1", make.NOW - make.minutes(1))
UNREACHABLE = Wait("DatabaseUnreachable", "no answer", make.minutes(1))
DENIED = Stalled("DatabaseDenied", "GRANT app TO keyturn")


def rotated(*before: Credential, **facts: Any) -> Managed:
    """Observe a secret whose new login is published since the declaration."""
    known = moved(state(credential(3), *before), 3, reason="Emergency", made=make.NOW, answers=make.ANSWERED)
    target = make.target(3, published=make.NOW)
    return look(known, **{"emergencies": (INCIDENT,), "target": target, **facts})


def exposed(observed: Managed, error: Wait | Stalled | None = None) -> list[tuple[str, str | None]]:
    """Return each login with the reason why it may still be accepted."""
    return [(one.login, one.message) for one in exposed_logins(INCIDENT, observed, error)]


def closed_at(number: int, **before_now: float) -> Credential:
    return replace(credential(number, CLOSED), since=make.NOW - make.seconds(before_now["seconds"]))


def test_a_login_is_named_with_the_time_at_which_it_was_refused() -> None:
    assert exposed_logins(INCIDENT, rotated(closed_at(2, seconds=20)), None) == (
        AffectedLogin(login="app_b", revision=2, refused_at=make.NOW - make.seconds(20)),
    )


def test_the_progress_of_a_secret_has_its_logins() -> None:
    found = affected(INCIDENT, rotated(closed_at(2, seconds=20)), None)
    assert [one.login for one in found.logins] == ["app_b"]


def test_a_login_that_was_refused_before_the_declaration_is_not_exposed() -> None:
    assert exposed(rotated(closed_at(1, seconds=61), closed_at(2, seconds=60))) == [("app_b", None)]


def test_the_new_login_is_not_exposed() -> None:
    assert exposed(rotated()) == []


def test_before_the_rotation_every_open_login_is_exposed() -> None:
    assert exposed(look(emergencies=(INCIDENT,))) == [
        ("app_a", "the Secret has it until the database server accepts a new one")
    ]


def test_a_revision_that_kept_the_password_has_the_login_of_an_earlier_one() -> None:
    known = state(credential(1), revisions=(superseding(2, credential=1, changed=()), superseding(1)))
    assert exposed(look(known, emergencies=(INCIDENT,)))[0][1] == (
        "the Secret has it until the database server accepts a new one"
    )


def test_an_unpublished_login_is_exposed_too() -> None:
    seen = look(state(credential(2, STAGED), credential(1), current=1), emergencies=(INCIDENT,))
    assert exposed(seen)[1] == ("app_b", "it is unpublished, and given up")


def test_without_a_secret_no_login_is_published() -> None:
    gone = replace(rotated(credential(2)), target=None)
    assert exposed(gone) == [("app_b", "it is closed when every workload runs on the new values")]


@cases(
    ("phase", "facts", "error", "why"),
    case("next", CLOSING, {}, None, "it is to be closed"),
    case("rollout", PROVEN, {}, None, "it is closed when every workload runs on the new values"),
    case("no answer", CLOSING, {"account": AccountFacts(problem=UNREACHABLE)}, None, "no answer"),
    case(
        "a missing right",
        CLOSING,
        {"account": AccountFacts(problem=DENIED)},
        None,
        "DatabaseDenied: GRANT app TO keyturn",
    ),
    case("a reconcile that failed", CLOSING, {}, UNREACHABLE, "no answer"),
    case(
        "suspended",
        CLOSING,
        {"others": {"suspend": True}},
        None,
        "spec.suspend is true, so nothing is closed",
    ),
)
def test_a_login_that_may_be_accepted_has_the_reason(
    phase: Phase, facts: dict[str, Any], error: Wait | None, why: str
) -> None:
    assert exposed(rotated(credential(2, phase), **facts), error) == [("app_b", why)]


def test_an_account_that_left_the_spec_is_not_closed() -> None:
    seen = rotated(credential(2))
    assert seen.desired is not None
    gone = replace(seen, desired=replace(seen.desired, account=None))
    message = (
        "the spec has no account any more, so Keyturn closes nothing; add it again, or close it yourself"
    )
    assert exposed(gone) == [("app_b", message)]
    told = affected(INCIDENT, gone, None)
    assert (told.state, told.message) == (AffectedState.STALLED, f"login app_b: {message}")


def test_before_a_process_has_asked_the_server_there_is_no_problem_to_report() -> None:
    assert exposed(rotated(credential(2, CLOSING))) == [("app_b", "it is to be closed")]


def test_a_login_whose_password_is_lost_has_no_revision() -> None:
    lost = credential(UNKNOWN_REVISION, CLOSING)
    assert [one.revision for one in exposed_logins(INCIDENT, rotated(lost), None)] == [None]


# What an earlier status had

OPEN = AffectedLogin(login="app_b", revision=2, message="it is to be closed")
REFUSED = AffectedLogin(login="app_b", revision=2, refused_at=make.NOW)
EARLIER = AffectedLogin(login="app_a", revision=1, refused_at=make.NOW)


def test_the_latest_observation_of_a_login_counts() -> None:
    assert kept_logins([OPEN], [REFUSED]) == [REFUSED]


def test_a_login_that_the_record_has_dropped_stays() -> None:
    assert kept_logins([EARLIER], [REFUSED]) == [EARLIER, REFUSED]


def test_without_a_database_there_are_no_logins() -> None:
    assert kept_logins((), ()) is None


def test_the_latest_eight_logins_are_kept() -> None:
    before = [of_revision(number) for number in range(1, 12)]
    kept = kept_logins(before, ())
    assert kept is not None
    assert [one.revision for one in kept] == [*range(4, 12)]


def of_revision(number: int) -> AffectedLogin:
    return EARLIER.model_copy(update={"revision": number})
