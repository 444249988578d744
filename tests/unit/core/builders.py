"""A managed secret at rest, and each part of it with one thing changed."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from keyturn.api.account import Strategy
from keyturn.api.managedsecret import ManagedSecret
from keyturn.api.secretclass import SecretClass
from keyturn.api.workloads import Via
from keyturn.core.errors import Attempts, Stalled, Wait
from keyturn.core.keys import WorkloadKey
from keyturn.core.labels import FINALIZER
from keyturn.core.observation.emergency import Emergency
from keyturn.core.observation.external import NOT_PULLED, Pulled, RevocationProblem
from keyturn.core.observation.observed import (
    Consumer,
    Denial,
    Managed,
    Observed,
    Restarted,
    RestartWait,
    Sibling,
    TargetFacts,
    with_facts,
)
from keyturn.core.observation.workload import Controller, Pod, PodsSeen, Use, Workload
from keyturn.core.policy.rules import Violation
from keyturn.core.spec.desired import Desired, resolve_spec
from keyturn.core.spec.references import AccountDesired, Capacity, Destination, account_desired
from keyturn.core.state.records import Revision, RevisionFacts
from keyturn.core.state.state import Publication, Pushed, State, StateFacts, Triggers

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
MADE = NOW - timedelta(hours=1)
PUBLISHED = MADE + timedelta(seconds=1)
BEFORE = MADE - timedelta(days=1)
UID = "8d1f0c5e-uid"
ANSWERED = frozenset({"uid-1", UID})
"""UIDs of the emergencies of most tests."""
NAMESPACE = "shop"
PASSWORD: Mapping[str, Any] = {"name": "password", "generate": {"password": {}}}
USERNAME: Mapping[str, Any] = {"name": "username", "literal": "shop"}
VAULT: Mapping[str, Any] = {"name": "vault"}
API_KEY: Mapping[str, Any] = {
    "name": "api-key",
    "from": {"storeRef": VAULT, "remoteRef": {"key": "prod/api"}},
}
EVERYTHING: Mapping[str, Any] = {"storeRef": VAULT, "remoteRef": {"key": "prod/app"}}
PUSH: Mapping[str, Any] = {"storeRef": VAULT, "remoteRef": {"key": "shop/db"}}


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def managed(
    spec: Mapping[str, Any] | None = None,
    *,
    name: str = "db",
    uid: str = UID,
    annotations: Mapping[str, str] | None = None,
    status: Mapping[str, Any] | None = None,
    finalized: bool = False,
    deleted: bool = False,
) -> ManagedSecret:
    """Make a ManagedSecret as the API server hands it out."""
    metadata = {
        "name": name,
        "namespace": NAMESPACE,
        "uid": uid,
        "generation": 1,
        "resourceVersion": "100",
        "annotations": dict(annotations or {}),
        "finalizers": [FINALIZER] if finalized else [],
        "deletionTimestamp": NOW if deleted else None,
    }
    body = {
        "metadata": metadata,
        "spec": {name: part for name, part in ({"data": [PASSWORD]} | dict(spec or {})).items() if part},
        "status": dict(status or {}),
    }
    return ManagedSecret.model_validate(body)


def secret_class(**spec: Any) -> SecretClass:
    return SecretClass.model_validate({"metadata": {"name": "strict"}, "spec": spec})


def desired(
    spec: Mapping[str, Any] | None = None, given: SecretClass | None = None, capacity: Capacity | None = None
) -> Desired:
    found = managed(spec)
    return replace(resolve_spec(found, given), account=account_in(found, capacity))


def account_in(found: ManagedSecret, capacity: Capacity | None = None) -> AccountDesired | None:
    """Return the account of a spec, at a server of PostgreSQL unless another capacity is given."""
    spec = found.spec.account
    if spec is None:
        return None
    alone = spec.postgresql is not None and spec.postgresql.strategy is Strategy.SINGLE_USER
    usual = Capacity((spec.username,)) if alone else Capacity.alternating(spec.username)
    return account_desired(spec, capacity or usual)


def revision(
    number: int = 1,
    reason: str = "Created",
    *,
    made: datetime = MADE,
    changed: Iterable[str] = ("password",),
    base: int | None = None,
    **others: Any,
) -> RevisionFacts:
    """Make a revision out of the one before, on which every workload ran; what changed was generated, or the spec."""
    base, of_keys = base or (number - 1 or None), frozenset(changed)
    answers = ANSWERED if reason == "Emergency" else frozenset[str]()
    fresh = frozenset[str]() if reason in {"Claimed", "SpecChanged", "Refreshed"} else of_keys
    return RevisionFacts(
        number,
        reason,
        made,
        of_keys,
        base,
        **{"fallback": base, "fresh": fresh, "answers": answers, **others},
    )


def state(
    *revisions: RevisionFacts,
    uid: str = UID,
    rotated: datetime = MADE,
    triggers: Triggers = Triggers(),  # noqa: B008  # frozen
    names: Iterable[str] = ("password",),
    current: int | None = None,
    restorable: Iterable[int] | None = None,
    **others: Any,
) -> StateFacts:
    """Make a state, its newest revision first; of one revision where none is given."""
    revisions = revisions or (revision(),)
    numbers = [one.number for one in revisions]
    published = tuple(Publication(one.number, one.made) for one in revisions[1:])
    return StateFacts(
        uid=uid,
        rotated=rotated,
        triggers=triggers,
        revisions=revisions,
        restorable=frozenset(numbers if restorable is None else restorable),
        current_number=current or numbers[0],
        **{
            "keys": {name: {"value": name} for name in names},
            "templates": {},
            "lives": {},
            "publications": published,
            **others,
        },
    )


def record(*revisions: tuple[RevisionFacts, Revision], **facts: Any) -> State:
    """Make a state with values, its newest revision first."""
    known = state(*(of_revision for of_revision, _ in revisions), **{"publications": (), **facts})
    return State.of(known, {of_revision.number: values for of_revision, values in revisions})


def target(
    revision: int | None = 1,
    *,
    owner: str | None = "db",
    published: datetime | None = PUBLISHED,
    differs: Iterable[str] = (),
    has_metadata_of_spec: bool = True,
    overlapping: bool = False,
) -> TargetFacts:
    return TargetFacts(owner, revision, published, frozenset(differs), has_metadata_of_spec, overlapping)


def use(of: str = "db", *keys: str, via: tuple[Via, ...] = (Via.ENV_FROM,)) -> Use:
    """Make a use of some keys; of all of them where none is given."""
    return Use(of, via, frozenset(keys) or None)


def workload(
    name: str = "api",
    *,
    kind: str = "Deployment",
    created: datetime = BEFORE,
    uses: tuple[Use, ...] = (use(),),
    marker: str = "",
    restart: str | None = None,
    paused: bool = False,
    settled: bool = True,
    is_updated: bool = False,
    failed: bool = False,
    hint: str | None = None,
    restarted: datetime | None = None,
    complaint: str | None = None,
    templates: tuple[str, ...] = (),
    terminates: bool | None = None,
    in_place: bool = False,
    aborted: bool = False,
    progressed: datetime | None = None,
    progressing: datetime | None = None,
) -> Workload:
    return Workload(
        key=WorkloadKey(NAMESPACE, kind, name),
        uid=f"uid-of-{name}",
        created=created,
        uses=uses,
        marker=marker,
        restart=restart,
        selector=f"app={name}",
        paused=paused,
        settled=settled,
        is_updated=is_updated,
        failed=failed,
        hint=hint,
        restarted=restarted,
        complaint=complaint,
        templates=templates,
        terminates=terminates,
        in_place=in_place,
        aborted=aborted,
        progressed=progressed,
        progressing=progressing,
    )


def consumer(
    name: str = "api",
    *siblings: Sibling,
    renewed: bool = False,
    pods: Iterable[Pod] | None = None,
    deletable: bool = False,
    **of_workload: Any,
) -> Consumer:
    made = workload(name, **of_workload)
    shown = None if pods is None else PodsSeen(tuple(pods), NOW + minutes(1), deletable)
    return Consumer(made, made.use_of("db"), siblings, renewed, shown)


def pod(name: str = "api-0", *, owner: str = "uid-of-api", **facts: Any) -> Pod:
    known: dict[str, Any] = {"template": "new", "created": BEFORE, "marker": "db=2", "ready": True}
    known |= {"owner": ("Deployment", "api"), "controller": Controller("StatefulSet", "", owner)} | facts
    return Pod(name=name, uid=f"uid-of-{name}", version="7", began=known["created"], **known)


def holding(
    name: str = "report",
    *,
    began: datetime = BEFORE,
    uses: tuple[Use, ...] = (use(),),
    owner: tuple[str, str] | None = None,
    leaves: datetime | None = None,
    controller: Controller | None = None,
) -> Pod:
    """Make a pod that no consumer controls; without an owner if none is given."""
    about = owner or ("Pod", name), controller, uses
    return Pod(name, f"uid-of-{name}", "7", BEFORE, began, *about, leaves=leaves)


def pushed(
    destination: Destination,
    number: int = 1,
    *,
    done: bool = True,
    deletes: bool = False,
    kept: bool = False,
    ours: bool | None = None,
) -> Pushed:
    """Make the record of a push that is done; the key is ours unless the store kept other content."""
    owns_target = done and not kept if ours is None else ours
    return Pushed(destination.id, destination.text, number, done, deletes, kept, owns_target)


def push_problems(*places: Destination, error: Wait | Stalled, again: datetime) -> dict[str, Attempts]:
    return {one.id: Attempts(error, again) for one in places}


AT_REST = state()
PUBLISHED_TARGET = target()


def observed(
    spec: Mapping[str, Any] | None = None,
    *consumers: Consumer,
    now: datetime = NOW,
    uid: str = UID,
    annotations: Mapping[str, str] | None = None,
    status: Mapping[str, Any] | None = None,
    given: SecretClass | None = None,
    spec_error: Stalled | None = None,
    state: StateFacts | None = AT_REST,
    state_owner: str | None = None,
    state_is_foreign: bool = False,
    target: TargetFacts | None = PUBLISHED_TARGET,
    mismatched_items: Iterable[str] = (),
    violations: tuple[Violation, ...] = (),
    missing_targets: tuple[str, ...] = (),
    pulled: Pulled = NOT_PULLED,
    push_problems: Mapping[str, Attempts] | None = None,
    denials: Mapping[WorkloadKey, Denial] | None = None,
    restarted: Mapping[WorkloadKey, Restarted] | None = None,
    revocation_problems: Mapping[str, RevocationProblem] | None = None,
    emergencies: tuple[Emergency, ...] = (),
    restart_wait: RestartWait | None = None,
    finalized: bool = False,
    deleted: bool = False,
    holders: PodsSeen | None = None,
    capacity: Capacity | None = None,
) -> Managed:
    """Look at a managed secret that is done and rests, but for what is given.

    It is typed as the case that most tests are about; without state, or with an error of the spec, it is another one.
    """
    status = {"revision": 1, "secretName": "db"} if status is None else status
    if status.get("revision"):  # its schedule is as old as its values
        status = {"nextRotationTime": NOW} | dict(status)
    found = managed(
        spec, uid=uid, annotations=annotations, status=status, finalized=finalized, deleted=deleted
    )
    account = account_in(found, capacity)
    desired = None if spec_error else replace(resolve_spec(found, given), account=account)
    look = with_facts(
        Observed(NOW, found, given, desired, spec_error),
        now=now,
        account_desired=account,
        state=state,
        state_owner=state_owner,
        state_is_foreign=state_is_foreign,
        target=target,
        mismatched_items=frozenset(mismatched_items),
        violations=violations,
        consumers=consumers,
        missing_targets=missing_targets,
        pulled=pulled,
        push_problems=push_problems or {},
        denials=denials or {},
        restarted=restarted or {},
        revocation_problems=revocation_problems or {},
        emergencies=emergencies,
        restart_wait=restart_wait,
        holders=holders,
    )
    return cast("Managed", look)


def wanted(found: Observed) -> Desired:
    """Return the spec of an observation in which it is valid."""
    assert found.desired is not None
    return found.desired


def with_holders(found: Managed, **changes: Any) -> Managed:
    """Change the pods that no consumer controls."""
    return replace(found, holders=replace(found.holders or PodsSeen(), **changes))
