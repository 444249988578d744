"""What people are told of operations at a database, and of a login that it refuses."""

from dataclasses import dataclass, field, replace

import pytest

from keyturn.controllers.context import Context
from keyturn.controllers.managedsecret.account.operation import Claimed, Effect, OpenSessions
from keyturn.controllers.managedsecret.account_report import report_account_step, report_verdict
from keyturn.controllers.managedsecret.memory import Memory, Pass
from keyturn.core.errors import Wait
from keyturn.core.keys import ObjectKey
from keyturn.core.observation.external import AccountFacts, ProbeVerdict
from keyturn.core.rotation.steps import Account as AccountStep
from keyturn.core.state.records import Credential, Phase
from keyturn.databases.base import Endpoint
from tests.unit.core import builders as make
from tests.unit.core.accounts import At
from tests.unit.core.builders import NOW, seconds

KEY = ObjectKey("shop", "db")
STATE = make.state(
    make.revision(credential=1),
    credentials=(Credential(1, "app_a", Phase.PROVEN, NOW, item="password", target="DatabaseTarget/orders"),),
)


@dataclass
class Teller:
    """Events that were posted: reason and note, and the type of each."""

    events: list[tuple[str, str]] = field(default_factory=list)
    types: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.context = Context(api=None, events=self, now=lambda: NOW)  # type: ignore[arg-type]  # fakes
        self.memory = Memory(self.context)
        self.account = self.memory.accounts.of(KEY)

    def record(self, about: object, reason: str, note: str, type_: str, **options: object) -> None:
        del about, options
        self.events.append((str(reason), note))
        self.types.append(str(type_))

    def tell(
        self, step: AccountStep, effect: Effect | None = None, verdict: ProbeVerdict = ProbeVerdict.NOT_PROBED
    ) -> list[tuple[str, str]]:
        if effect:
            self.account.effect = effect
        observed = replace(make.observed(state=STATE), account=AccountFacts(verdict))
        report_account_step(step, Pass(KEY, observed, self.memory, self.context))
        return self.events

    def judge(
        self, verdict: ProbeVerdict, *, known: str = "Accepted", cause: str = ""
    ) -> list[tuple[str, str]]:
        condition = {
            "type": "CredentialValid",
            "status": "True",
            "reason": known,
            "message": "",
            "lastTransitionTime": NOW,
        }
        observed = make.observed(state=STATE, status={"conditions": [condition]})
        observed = replace(observed, account=AccountFacts(verdict=verdict, cause=cause))
        report_verdict(Pass(KEY, observed, self.memory, self.context))
        return self.events


@pytest.fixture
def teller() -> Teller:
    return Teller()


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (At.apply(1), "CredentialApplied"),
        (At.prove(1), "CredentialProven"),
        (At.repair(), "CredentialRepaired"),
        (At.revoke(1), "CredentialRevoked"),
        (At.retire(), "CredentialRevoked"),
    ],
    ids=lambda one: type(one).__name__ if not isinstance(one, str) else one,
)
def test_a_step_is_an_event(teller: Teller, step: AccountStep, reason: str) -> None:
    ((told, _),) = teller.tell(step, Effect())

    assert told == reason


@pytest.mark.parametrize(
    ("claimed", "reason"), [(Claimed.CREATED, "AccountCreated"), (Claimed.ADOPTED, "AccountAdopted")]
)
def test_a_new_account_is_an_event_of_its_own(teller: Teller, claimed: Claimed, reason: str) -> None:
    assert [told for told, _ in teller.tell(At.apply(1), Effect(claimed))] == [reason, "CredentialApplied"]


def test_an_operation_in_progress_or_failed_is_no_event(teller: Teller) -> None:
    assert teller.tell(At.apply(1)) == []
    teller.account.fail(Wait("DatabaseUnreachable", "it does not answer", seconds(5)), NOW)
    assert teller.tell(At.apply(1)) == []


def test_a_step_is_reported_once(teller: Teller) -> None:
    teller.tell(At.apply(1), Effect())

    assert len(teller.tell(At.apply(1))) == 1


def test_a_refused_candidate_is_named_with_its_endpoint(teller: Teller) -> None:
    ((told, note),) = teller.tell(At.prove(1), Effect(refused_at=Endpoint("db", 5432)))

    assert (told, "db:5432" in note) == ("CandidateRefused", True)


def test_a_candidate_that_could_not_be_proven_is_no_event(teller: Teller) -> None:
    silent = Wait("DatabaseUnreachable", "it does not answer", seconds(5))

    assert teller.tell(At.prove(1), Effect(unproven=silent)) == []


@pytest.mark.parametrize("step", [At.apply(2), At.revoke(2)], ids=str)
def test_a_locked_login_that_is_opened_is_named(teller: Teller, step: AccountStep) -> None:
    ((_, note),) = teller.tell(step, Effect(), ProbeVerdict.LOCKED)

    assert note.endswith("; app_a, which was locked there, is open again")
    assert teller.types == ["Warning"]


def test_a_login_that_is_opened_on_request_was_not_refused(teller: Teller) -> None:
    ((told, note),) = teller.tell(At.repair(opens=True), Effect())

    assert (told, note.endswith("a requested rotation opens it")) == ("CredentialRepaired", True)


def test_a_repair_names_what_was_wrong(teller: Teller) -> None:
    ((_, refused),) = teller.tell(At.repair(), Effect(), ProbeVerdict.REFUSED)
    _, (_, strayed) = teller.tell(At.repair(), Effect(), ProbeVerdict.WRONG_ROLE)

    assert refused.startswith("the database refused the published password")
    assert strayed.startswith("sessions of the published login did not act as the account")


def test_sessions_that_a_revoked_login_has_open_are_counted_by_address(teller: Teller) -> None:
    addresses = ["10.0.0.7", ""] + [f"10.0.1.{last}" for last in range(6)]
    sessions = tuple(OpenSessions("app_a", address, 9 - at) for at, address in enumerate(addresses))

    ((_, note),) = teller.tell(At.revoke(1), Effect(sessions=sessions))

    assert "44 of its sessions stay open until their applications close them: " in note
    assert teller.types == ["Normal"]
    assert "10.0.0.7, an unknown address, 10.0.1.0, 10.0.1.1, 10.0.1.2 and 3 other addresses" in note


def test_sessions_that_were_to_end_and_stay_open_are_a_warning(teller: Teller) -> None:
    sessions = (OpenSessions("app_a", "10.0.0.7", 2),)

    ((told, note),) = teller.tell(At.revoke(1, ends_sessions=True), Effect(sessions=sessions))

    assert (told, teller.types) == ("CredentialRevoked", ["Warning"])
    assert note.endswith("; 2 of its sessions could not be ended: 10.0.0.7")


def test_sessions_that_were_ended_are_no_warning(teller: Teller) -> None:
    teller.tell(At.revoke(1, ends_sessions=True), Effect())

    assert teller.types == ["Normal"]


@pytest.mark.parametrize("verdict", [ProbeVerdict.REFUSED, ProbeVerdict.LOCKED, ProbeVerdict.CONTESTED])
def test_a_login_that_is_refused_is_a_warning_when_it_is_new(teller: Teller, verdict: ProbeVerdict) -> None:
    assert [told for told, _ in teller.judge(verdict)] == ["CredentialRefused"]
    assert len(teller.judge(verdict, known=str(verdict))) == 1


@pytest.mark.parametrize(
    "verdict", [ProbeVerdict.ACCEPTED, ProbeVerdict.UNREACHABLE, ProbeVerdict.NOT_PROBED]
)
def test_a_login_that_is_accepted_or_unknown_is_no_event(teller: Teller, verdict: ProbeVerdict) -> None:
    assert teller.judge(verdict) == []


def test_the_event_of_a_locked_login_says_how(teller: Teller) -> None:
    ((_, note),) = teller.judge(ProbeVerdict.LOCKED, cause="login 'app_a' does not exist")

    assert note == "the published login is closed at the database server: login 'app_a' does not exist"
