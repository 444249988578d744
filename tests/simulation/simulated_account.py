"""A database account beside the state: the core decides and records, and a server in memory accepts logins.

Everything but the decision and its records is a model: the server, the pods, and the Secret that they read. The
invariants are checked after each effect, also when the operator dies between effect and record.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from keyturn.api.account import USERNAME
from keyturn.api.emergency import Revoke
from keyturn.api.managedsecret import ManagedSecret
from keyturn.core.errors import Stalled, Wait
from keyturn.core.labels import ROLLBACK, ROTATE
from keyturn.core.observation.emergency import Emergency
from keyturn.core.observation.external import AccountFacts, ProbeVerdict
from keyturn.core.observation.observed import Managed, TargetFacts
from keyturn.core.observation.workload import PodsSeen
from keyturn.core.reasons import ErrorReason, RevisionReason
from keyturn.core.rotation import steps, transitions
from keyturn.core.rotation.credential_slots import staged_login
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.publication import publication_time
from keyturn.core.rotation.steps import Action
from keyturn.core.spec.desired import Desired
from keyturn.core.spec.items import previous_key
from keyturn.core.spec.references import Capacity
from keyturn.core.state.records import UNKNOWN_REVISION, Credential
from keyturn.core.state.state import StateFacts
from keyturn.core.status.status import Outcome, status_of
from tests.unit.core import builders as make

ACCOUNT: Mapping[str, Any] = {"targetRef": {"name": "orders"}, "username": "app"}
ALTERNATING = Capacity.alternating("app")
_SECOND = timedelta(seconds=1)
_STEPS = 400
_MOST_REPAIRS = 3
_MOST_OPEN = 2


class Died(BaseException):
    """The operator's process ended here, as by SIGKILL."""


class Login(NamedTuple):
    """What an application logs in with; a password is named by the revision that brought it."""

    name: str
    password: int


@dataclass(slots=True)
class Pod:
    """A pod, and what it read when it started."""

    name: str
    login: Login | None
    created: datetime
    marker: str
    ready: bool
    leaves: datetime | None = None


@dataclass
class Account:
    """One ManagedSecret with a database account, its workload, and the server."""

    spec: dict[str, Any]
    grace: timedelta = timedelta(0)
    """How long pods are terminating."""
    now: datetime = make.NOW
    annotations: dict[str, str] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    state: StateFacts | None = None
    target: TargetFacts | None = None
    read: dict[str, Login] = field(default_factory=dict)
    """What the Secret has: the login, and the previous one during the overlap."""
    passwords: dict[int, int] = field(default_factory=dict)
    """Every password is another number, by the revision that brought it."""
    keys: dict[int, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)
    """Items with their keys, by revision."""
    generated: int = 0
    capacity: Capacity = ALTERNATING
    """What the server accepts at the same time."""
    server: set[Login] = field(default_factory=set)
    """What it accepts."""
    down: bool = False
    refuses: int = 0
    """How many candidates the server refuses next, whatever it was brought."""
    doomed: set[int] = field(default_factory=set)
    """Revisions with which no pod becomes ready."""
    emergencies: tuple[Emergency, ...] = ()
    revoke: Revoke = Revoke.IMMEDIATELY
    suspended: bool = False
    deleted: bool = False
    finalized: bool = False
    error: Wait | Stalled | None = None
    """What the last reconcile ended with."""
    marker: str = ""
    pods: list[Pod] = field(default_factory=list)
    facts: AccountFacts = field(default_factory=AccountFacts)
    repairs: int = 0
    dies: str | None = None
    """The step between whose effect and record the process ends."""
    closed: set[Login] = field(default_factory=set)
    """What was proven as refused."""
    taken: list[str] = field(default_factory=list)
    """The steps at the server and the writes, in their order."""
    sabotaged: bool = False
    """Whether another writer has changed the server since the last repair."""
    locked: set[str] = field(default_factory=set)
    """Logins that an administrator has closed."""
    started: int = 0
    restarted: datetime | None = None

    # What the operator sees

    def managed(self) -> ManagedSecret:
        spec = self.spec | ({"suspend": True} if self.suspended else {})
        return make.managed(
            spec,
            annotations=self.annotations,
            status=self.status,
            finalized=self.finalized,
            deleted=self.deleted,
        )

    def observed(self) -> Managed:
        self.now += _SECOND
        self._end_pods()
        shown = [
            make.pod(
                pod.name,
                template="",
                owner="uid-of-api",
                created=pod.created,
                marker=pod.marker,
                leaves=pod.leaves,
                ready=pod.ready,
            )
            for pod in self.pods
        ]
        settled = all(pod.marker == self.marker and pod.ready for pod in self.pods if pod.leaves is None)
        failed = any(pod.marker == self.marker and not pod.ready for pod in self.pods)
        api = make.consumer(
            marker=self.marker,
            settled=settled,
            failed=failed and not settled,
            restarted=self.restarted,
            created=make.BEFORE,
        )
        api = replace(api, pods=PodsSeen(pods=tuple(shown)))
        found = make.observed(
            self.spec,
            *([api] if self.pods else []),
            now=self.now,
            annotations=self.annotations,
            state=self.state,
            target=self.target,
            emergencies=self.emergencies,
            finalized=self.finalized,
            deleted=self.deleted,
            capacity=self.capacity,
        )
        return replace(found, managed=self.managed(), account=self.facts)

    # The operator's process

    def settle(self) -> None:
        """Reconcile until nothing is due soon; waits pass at once."""
        self.settle_until("")

    def settle_until(self, name: str) -> None:
        """Reconcile until a step was taken, or nothing is due soon."""
        for _ in range(_STEPS):
            observed = self.observed()
            step, error = self._decide(observed)
            if not isinstance(step, steps.Rest | None):
                self.take(step, observed)
                if _name_of(step) == name:
                    return
                continue
            self._report(observed, Outcome(step, error))
            if not self._pass_time(step):
                return
        raise AssertionError(f"no rest: {self.taken[-12:]}")

    def _decide(self, observed: Managed) -> tuple[steps.Step | None, Wait | Stalled | None]:
        try:
            step = next_step(observed)
        except (Wait, Stalled) as error:
            return None, error
        return step, step.problem if isinstance(step, steps.Rest) else None

    def _report(self, observed: Managed, outcome: Outcome) -> None:
        status = status_of(observed, outcome)
        self.status = status.model_dump(by_alias=True, exclude_none=True, mode="json")
        self.error = outcome.error

    def _pass_time(self, step: steps.Step | None) -> bool:
        """Let the next thing happen that is waited for; return whether there was one."""
        if self._start_pods() or self._probe():
            return True
        until = step.until if isinstance(step, steps.Rest) else None
        if until is None or until > self.now + timedelta(hours=2):
            leaving = [pod.leaves for pod in self.pods if pod.leaves]
            if not leaving:
                return False
            until = min(leaving) + self.grace
        if self.down:
            return False
        self.now = max(self.now, until)
        return True

    def restart(self) -> None:
        """Forget what a process has in memory."""
        self.facts, self.repairs = AccountFacts(), 0

    def take(self, step: steps.Step, observed: Managed) -> None:
        """Execute a step; a process that dies forgets what it knew of the account."""
        desired = make.wanted(observed)
        self.taken.append(_name_of(step))
        try:
            self._take(step, observed, desired)
        except Died:
            self.dies = None
            self.restart()
        self.check()

    def _take(self, step: steps.Step, observed: Managed, desired: Desired) -> None:
        assert not isinstance(step, steps.Adopt | steps.Bind | steps.Rest)  # not in these stories
        assert not isinstance(step, steps.DeletePod | steps.EvictPod)
        match step:
            case steps.Stage():
                content = self._content(step, desired)
                self.keys[step.number] = content.keys
                self.generated += 1
                self.passwords[step.number] = self.generated
                self._record(transitions.stage(step, self.state, observed, content, self.now))
            case steps.Claim():
                self._record(self._claimed(step, observed))
            case steps.TargetWrite():
                self._publish(step, observed)
            case steps.RollOut():
                self.marker, self.started, self.restarted = step.marker, self.started + 1, self.now
            case steps.Finalize():
                self.finalized = step.present
            case steps.Account():
                self._operate(step, observed)
            case _:
                assert self.state is not None
                self._record(transitions.record(step, self.state, observed, self.now))

    def _record(self, state: StateFacts) -> None:
        # The facts about values are those of the current revision.
        self.state = state = replace(state, keys=self.keys.setdefault(state.current_number, state.keys))
        gone = [one for one in state.open_credentials if one.revision != UNKNOWN_REVISION]
        lost = [one for one in gone if one.revision not in state.restorable]
        assert not lost, f"the password of {lost} is dropped"

    # Values

    def _content(self, step: steps.Stage, desired: Desired) -> transitions.Content:
        needs = {USERNAME: frozenset({"password"})}
        fresh = transitions.with_dependents(step.reason.fresh, needs)
        changed = frozenset(key for item in desired.items if item.name in fresh for key in item.keys.values())
        kept = {
            previous_key(key) for item in desired.items if item.keep_previous for key in item.keys.values()
        }
        is_new = self.state is None or "password" not in fresh
        previous = frozenset[str]() if is_new else frozenset(kept)
        assert desired.account is None or staged_login(fresh, self.state, desired) is not None
        return transitions.Content(
            desired.keys,
            {},
            changed | previous,
            previous,
            begins_overlap=bool(previous),
            fresh=frozenset(item.name for item in desired.items if item.recipe and item.name in fresh),
        )

    def _claimed(self, step: steps.Claim, observed: Managed) -> StateFacts:
        if self.state is not None:
            return transitions.take_over(self.state, observed)
        login = self.read["current"].name
        keys = make.wanted(observed).keys
        content = transitions.Content(keys, {}, frozenset(), frozenset(), login=login)
        state = transitions.claim(step, observed, content, make.MADE, self.now)
        self.passwords[step.number] = self.read["current"].password
        return state

    def login_of(self, number: int | None) -> Login | None:
        """Return what the Secret has with a revision."""
        credential = self.state.credential_of(number) if self.state else None
        return self.brought(credential) if credential else None

    def brought(self, credential: Credential) -> Login:
        """Return what a server has that a credential was brought to."""
        return Login(credential.login, self.passwords.get(credential.revision, 0))

    def _publish(self, step: steps.TargetWrite, observed: Managed) -> None:
        assert self.state is not None
        current = self.state.current
        keeps = current.keeps_previous
        self.target = TargetFacts(
            owner="db",
            revision=step.number,
            published=publication_time(step, observed, self.now),
            differs=frozenset(),
            has_metadata_of_spec=True,
            overlapping=keeps,
        )
        login, previous = self.login_of(step.number), self.login_of(current.base)
        self.read = {"current": login} if login else {}
        if keeps and previous:
            self.read["previous"] = previous

    # The workload

    def _start_pods(self) -> bool:
        """Replace the pods of an earlier template; those of a doomed revision never become ready."""
        staying = [pod for pod in self.pods if pod.leaves is None]
        others = [pod for pod in staying if pod.marker != self.marker]
        if not others or (len(staying) > 1 and not staying[-1].ready and staying[-1] not in others):
            return False
        if len(others) < len(staying):  # the template is that of pods that run: the others go
            for pod in others:
                pod.leaves = self.now
            return True
        doomed = self.target is not None and self.target.revision in self.doomed
        login = self.read.get("current")
        self.pods.append(Pod(f"api-{self.started}", login, self.now, self.marker, ready=not doomed))
        for pod in self.pods[:-1]:
            if pod.leaves is None and not (doomed and pod.ready):
                pod.leaves = self.now
        return True

    def add_workload(self) -> None:
        self.pods.append(
            Pod("api-first", self.read.get("current"), self.now + _SECOND, self.marker, ready=True)
        )
        self.now += 2 * _SECOND

    def _end_pods(self) -> None:
        self.pods = [pod for pod in self.pods if pod.leaves is None or pod.leaves + self.grace > self.now]

    # The server

    def _operate(self, step: steps.Account, observed: Managed) -> None:
        assert self.state is not None
        if self.down:
            unreachable = Wait(ErrorReason.DATABASE_UNREACHABLE, "no answer", 5 * _SECOND)
            self.facts = replace(self.facts, problem=unreachable, again=self.now + 5 * _SECOND)
            return
        if step.action is Action.PROVE:
            self._prove(step, observed)
            return
        self.server = {self.brought(one) for one in step.live}
        self.sabotaged = False
        self.locked -= {login.name for login in self.server}
        self.check()
        self._die_in(step)
        if step.action is Action.ASSERT:
            self.repairs += not step.opens
            verdict = ProbeVerdict.CONTESTED if self.repairs > _MOST_REPAIRS else ProbeVerdict.NOT_PROBED
            self.facts = AccountFacts(verdict)
            return
        if step.action is Action.REVOKE:
            credential = step.credential
            assert credential.is_closing, "recorded before it is touched"
            assert self.brought(credential) not in self.server, "proven as refused"
            self.closed.add(self.brought(credential))
        if step.action is Action.RETIRE:
            assert not self.server
        self._done(step, observed)

    def _prove(self, step: steps.Account, observed: Managed) -> None:
        assert self.state is not None
        credential = step.credential
        if self.brought(credential) in self.server and not self.refuses:
            self._die_in(step)
            self._done(step, observed)
            return
        published = self.state.current_credential
        is_beside = published is not None and published is not credential and self.capacity.overlaps
        if is_beside and published and self.brought(published) not in self.server:
            self.facts = replace(self.facts, again=self.now + 5 * _SECOND)
            return  # a refusal proves nothing while the published login is refused too
        refused = self.facts.refused + 1
        if refused == 2 and self.refuses:
            self.refuses -= 1
        self.facts = replace(self.facts, refused=refused, again=self.now + _SECOND)

    def _done(self, step: steps.Account, observed: Managed) -> None:
        assert self.state is not None
        self.facts = AccountFacts(self.facts.verdict)
        self._record(transitions.record(step, self.state, observed, self.now))

    def _die_in(self, step: steps.Step) -> None:
        if self.dies == _name_of(step):
            raise Died

    def _probe(self) -> bool:
        """Log in with the published credential; return whether the verdict changed."""
        credential = self.state.current_credential if self.state else None
        if credential is None or not credential.is_proven or self.down or self.deleted or self.suspended:
            return False
        if self.target is None or self.state is None or self.target.revision != self.state.current_number:
            return False
        login = self.login_of(self.state.current_number)
        verdict = ProbeVerdict.ACCEPTED if login in self.server else ProbeVerdict.REFUSED
        if login and login.name in self.locked:
            verdict = ProbeVerdict.LOCKED
        if self.facts.verdict in {verdict, ProbeVerdict.CONTESTED}:
            return False
        self.facts = replace(self.facts, verdict=verdict)
        return True

    # Invariants

    def check(self) -> None:
        """Check what holds at every instant, unless another writer has changed the server."""
        accepted = self.server
        revived = accepted & self.closed
        assert not revived, f"closed and accepted again: {revived}; {self.taken[-12:]}"
        names = Counter(login.name for login in accepted)
        assert all(count <= self.capacity.values_per_name for count in names.values()), (
            "the server has no room"
        )
        assert len(accepted) <= _MOST_OPEN
        if self.sabotaged or not self.capacity.overlaps or self.deleted:
            return
        published = self.read.get("current")
        assert published is None or published in accepted, f"published and refused; {self.taken[-12:]}"
        previous = self.read.get("previous")
        assert previous is None or previous in accepted or self.has_open_emergency, "readable and refused"
        for pod in self.pods:
            is_working = pod.login is None or pod.login in accepted
            assert is_working or self.has_open_emergency, f"{pod} cannot log in; {self.taken[-12:]}"
        self._check_record(accepted)

    def _check_record(self, accepted: set[Login]) -> None:
        if self.state is None or any(one.revision == UNKNOWN_REVISION for one in self.state.open_credentials):
            return
        known = {self.brought(one) for one in self.state.open_credentials}
        assert accepted <= known, f"accepted and not recorded: {accepted - known}; {self.taken[-12:]}"

    @property
    def accepts(self) -> set[int]:
        """The passwords that the server accepts."""
        return {login.password for login in self.server}

    @property
    def has_open_emergency(self) -> bool:
        return bool(self.emergencies)

    def close_emergencies(self) -> None:
        """Close them; pods whose login an emergency has ended are broken from then on."""
        self.emergencies = ()
        for pod in self.pods:
            if pod.login and pod.login not in self.server:
                pod.login = None

    # What people do

    def rotate(self, text: str) -> None:
        self.annotations[ROTATE] = text

    def roll_back(self, number: int) -> None:
        self.annotations[ROLLBACK] = f"{number}/at-{self.now:%H%M%S}"

    def sabotage(self) -> None:
        """Let another writer change the password of the published login."""
        if login := self.read.get("current"):
            self.server = self._others(login.name) | {Login(login.name, -1)}
            self.sabotaged = True

    def lock(self) -> None:
        """Let an administrator close the published login."""
        if login := self.read.get("current"):
            self.server = self._others(login.name)
            self.locked.add(login.name)
            self.sabotaged = True

    def _others(self, name: str) -> set[Login]:
        return {login for login in self.server if login.name != name}

    def lose_state(self) -> None:
        """Delete the state Secret; a candidate that the server has is then recorded nowhere."""
        self.state, self.sabotaged = None, True
        self._lose_both()

    def lose_secret(self) -> None:
        self.target, self.read = None, {}
        self._lose_both()

    def _lose_both(self) -> None:
        """Without both Secrets nothing has the password any more, so pods that have it are cut off."""
        if self.state is None and self.target is None:
            for pod in self.pods:
                pod.login = None

    def declare(self) -> None:
        """Declare an emergency, which is closed at the next rest."""
        self.emergencies = (Emergency(f"inc-{self.started}", "uid-1", self.now + _SECOND, self.revoke),)

    @property
    def revision(self) -> int | None:
        return self.target.revision if self.target else None

    @property
    def is_emergency_rotated(self) -> bool:
        return self.state is not None and self.state.current.reason == RevisionReason.EMERGENCY


def _name_of(step: steps.Step) -> str:
    return step.action if isinstance(step, steps.Account) else type(step).__name__
