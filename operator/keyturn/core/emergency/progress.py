"""Progress of one ManagedSecret in an emergency: what keeps it from being done, and logins with old passwords."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeAlias

from keyturn.api.emergency import AffectedLogin, AffectedState
from keyturn.api.workloads import WorkloadState
from keyturn.core.errors import Stalled, Wait
from keyturn.core.labels import LEASES_REVOKED
from keyturn.core.observation.emergency import Emergency
from keyturn.core.observation.observed import Managed, Observed, Specified
from keyturn.core.rotation.completion import kept_items
from keyturn.core.rotation.emergency import (
    asked_at,
    first_answer,
    generated_items,
    has_only_new_values,
    is_rotated_before,
    is_target_immutable,
    renewed_by,
    without_signers,
)
from keyturn.core.rotation.old_pods import are_unread, behind_message, owners_behind, unread
from keyturn.core.rotation.ownership import is_created_again
from keyturn.core.rotation.publication import published_at, was_published
from keyturn.core.rotation.rollout import progress_of_workloads
from keyturn.core.rotation.store_steps import Unpushed, refused_leases, stated_at, unpushed, unrevoked
from keyturn.core.spec.items import previous_key
from keyturn.core.state.records import UNKNOWN_REVISION, Credential, RevisionFacts, is_found
from keyturn.core.texts import first_within
from keyturn.core.times import clock, to_second

MAX_MESSAGE = 1024
"""Characters of a message at most."""
_CERTIFICATE = "tls.crt"
"""The key of a Secret that has the CA, if it has one."""
_WORST_FIRST = (
    AffectedState.FAILED,
    AffectedState.STALLED,
    AffectedState.SUSPENDED,
    AffectedState.PODS_UNKNOWN,
    AffectedState.RELOAD_UNPROVEN,
    AffectedState.ROTATED,
)
"""The states of a secret with new values that is not done."""
_OF_WORKLOADS: Mapping[WorkloadState, AffectedState] = {
    WorkloadState.FAILED: AffectedState.FAILED,
    WorkloadState.ROLLING: AffectedState.ROTATED,
    WorkloadState.PENDING: AffectedState.ROTATED,
    WorkloadState.RELOADED: AffectedState.RELOAD_UNPROVEN,
}
"""The states of workloads that keep a secret from being done."""
_Point: TypeAlias = "tuple[AffectedState, Sequence[str]]"
"""What keeps a secret from being done: the state that follows, and a message for each workload, pod or store."""


@dataclass(frozen=True, slots=True)
class Affected:
    """Progress of one ManagedSecret in an emergency."""

    state: AffectedState
    revision: int | None = None
    """The published revision, if its values are new since the declaration."""
    rotated: datetime | None = None
    """When those values were published."""
    message: str | None = None
    open_points: tuple[str, ...] = ()
    """Everything that keeps it from being done; the message has as many as fit."""
    workloads: tuple[str, ...] = ()
    """The consumers."""
    others: tuple[str, ...] | None = None
    """Owners of other pods that hold exposed values, each with a message; None if they were not read."""
    pulled: tuple[str, ...] = ()
    """Pulled items, each with its store, where they must be rotated."""
    literals: tuple[str, ...] = ()
    """Literal items, which the spec shows in plain text."""
    found: tuple[str, ...] = ()
    """Keys of an adopted Secret that no item writes; their values stay as they were found."""
    unpushed: tuple[Unpushed, ...] = ()
    """Destinations that may hold values from before the declaration."""
    logins: tuple[AffectedLogin, ...] = ()
    """Database logins with passwords from before the declaration."""
    has_new_ca: bool = False
    """Whether its Secret has a CA that is new since the declaration, or not taken by it, whatever else is not."""
    items: tuple[str, ...] | None = None
    """Its values that the emergency names; None if it takes all."""


def affected(emergency: Emergency, observed: Observed, error: Wait | Stalled | None) -> Affected:
    """Return the progress of a secret, after a reconcile that ended with `error` or without one."""
    if isinstance(observed, Managed):
        return _Recorded(emergency, observed, error).progress()
    if isinstance(observed, Specified):
        return _Pass(emergency, observed, error).progress()
    return replace(_unrotated(observed, error), items=_named_items(emergency, observed))


def _named_items(emergency: Emergency, observed: Observed) -> tuple[str, ...] | None:
    if emergency.items is None:
        return None
    return tuple(sorted(emergency.taken([item.name for item in observed.managed.spec.data])))


def _unrotated(observed: Observed, error: Wait | Stalled | None) -> Affected:
    if observed.managed.spec.suspend:
        return Affected(AffectedState.SUSPENDED, message="spec.suspend is true, so nothing is written")
    if isinstance(error, Stalled):
        return Affected(AffectedState.STALLED, message=f"{error.reason}: {error.message}")
    return Affected(AffectedState.PENDING, message=error.message if error else None)


@dataclass(frozen=True)
class _Pass:
    """A reconcile of an affected ManagedSecret, and its error."""

    emergency: Emergency
    observed: Specified
    error: Wait | Stalled | None

    def progress(self) -> Affected:
        """Return the progress of a secret without a revision."""
        progress, unrotated = self._known(), _unrotated(self.observed, self.error)
        if generated_items(self.emergency, self.observed.desired):
            return replace(progress, state=unrotated.state, message=unrotated.message or self._waiting())
        if unrotated.message:  # what it has is unknown
            return replace(progress, state=unrotated.state, message=unrotated.message)
        return self._elsewhere(progress)

    def _known(self) -> Affected:
        """Return what the spec shows."""
        desired, replaced = self.observed.desired, self._replaced_by_lease()
        taken = self.emergency.taken(desired.names)
        return Affected(
            AffectedState.PENDING,
            workloads=tuple(str(consumer.workload.key) for consumer in self.observed.consumers),
            pulled=tuple(
                f"{item.name} ({item.source.ref.name})"
                for item in desired.pulled
                if item.source and item.name in taken and item.name not in replaced
            ),
            literals=tuple(
                item.name for item in desired.items if item.literal is not None and item.name in taken
            ),
            items=_named_items(self.emergency, self.observed),
        )

    def _replaced_by_lease(self) -> frozenset[str]:
        """Return the items whose dynamic credentials were issued since the declaration."""
        return frozenset()

    def _elsewhere(self, progress: Affected) -> Affected:
        """Return the progress of a secret without generated values, whose others are replaced elsewhere."""
        literals = f"written in the spec: {', '.join(progress.literals)}" if progress.literals else None
        message = self._with_statement(_elsewhere(progress) or literals)
        return replace(progress, state=AffectedState.NOTHING_TO_ROTATE, message=message)

    def _waiting(self) -> str | None:
        emergency, observed = self.emergency, self.observed
        if is_target_immutable(observed):
            other = "create another ManagedSecret for new values, and let its workloads use the new Secret"
            again = (
                "delete it, so that it is created again, or " if is_created_again(observed.desired) else ""
            )
            return f"the Secret is immutable: {again}{other}"
        is_rotated = isinstance(observed, Managed) and is_rotated_before(emergency, observed)
        if emergency.signer and is_rotated:
            return (
                f"its certificate may still be signed by the exposed CA of the ManagedSecret {emergency.signer!r},"
                " which is not rotated yet"
            )
        if emergency.signer and not emergency.goes_first:
            return f"the ManagedSecret {emergency.signer!r}, whose CA signs its certificate, is rotated first"
        asked = asked_at(observed) if isinstance(observed, Managed) else None
        asking, when = asked or (None, None)
        if asking is None or asking.name != emergency.name or when is None or when <= observed.now:
            return None
        if is_rotated:
            return f"its certificate may still be signed by an exposed CA; it is rotated again at {when:%H:%M:%S} UTC"
        return f"another emergency rotated it a moment ago; it is rotated again at {when:%H:%M:%S} UTC"

    def _with_statement(self, message: str | None) -> str | None:
        """Return a message after a person's statement about leases of earlier credentials, if there is one."""
        stated = stated_at(self.observed)
        if stated is None or stated < self.emergency.started:
            return message
        statement = (
            f"a person states by {LEASES_REVOKED} that leases which Keyturn could not revoke were revoked at the"
            f" store by {clock(stated.astimezone(UTC))}; Keyturn has not seen it"
        )
        return "; ".join(part for part in (statement, message) if part)


@dataclass(frozen=True)
class _Recorded(_Pass):
    """One with a revision."""

    observed: Managed

    def progress(self) -> Affected:
        observed = self.observed
        kept = observed.state.keys if self.emergency.items is None else {}
        progress = replace(
            self._known(),
            found=tuple(sorted(key for name in kept if is_found(name) for key in kept[name].values())),
            logins=exposed_logins(self.emergency, observed, self.error),
            has_new_ca=self._has_new_ca(),
        )
        if not generated_items(self.emergency, observed.desired):
            return self._without_generated_values(progress)
        renewed = renewed_by(self.emergency, observed)
        if renewed is None or not self._was_published_since(renewed):
            unrotated = _unrotated(observed, self.error)
            return replace(progress, state=unrotated.state, message=unrotated.message or self._waiting())
        return self._rotated(progress, renewed)

    def _has_new_ca(self) -> bool:
        """Whether the new CA of a Secret is published; other certificates beside it may wait for another CA."""
        emergency, observed, state = self.emergency, self.observed, self.observed.state
        items = [name for name, keys in state.keys.items() if _CERTIFICATE in keys.values()]
        if not items and _CERTIFICATE not in state.templates:
            return False
        if items and not emergency.taken(items):
            return True
        renewed = renewed_by(emergency, observed, items)
        if renewed is None or observed.current.number < renewed.number:
            return False
        if not has_only_new_values(emergency, observed):
            return False
        return any(published_at(one, observed) is not None for one in (renewed, observed.current))

    def _was_published_since(self, one: RevisionFacts) -> bool:
        """Whether a revision or a later one was published."""
        is_later = self.observed.current.number > one.number
        return was_published(one, self.observed) or (is_later and self.observed.is_published)

    def _without_generated_values(self, progress: Affected) -> Affected:
        """Return the progress of a secret without generated values, which waits for pods with earlier ones, too."""
        observed, current = self.observed, self.observed.current
        progress = self._with_places(progress)
        if points := list(self._open_points(progress)):
            waits = _with_points(progress, points)
            is_progress = waits.state is AffectedState.ROTATED
            return replace(waits, state=AffectedState.PENDING) if is_progress else waits
        done = self._elsewhere(progress)
        if not self._replaced_by_lease() or _elsewhere(progress):
            return done
        published = published_at(current, observed) or current.made
        return replace(done, state=AffectedState.ROLLED_OUT, revision=current.number, rotated=published)

    def _rotated(self, progress: Affected, renewed: RevisionFacts) -> Affected:
        observed, current = self.observed, self.observed.current
        if current.number < renewed.number:
            message = (
                f"rolled back to revision {current.number}, which has the values from before the emergency;"
                " rotate it again"
            )
            return replace(progress, state=AffectedState.FAILED, message=message)
        if not has_only_new_values(self.emergency, observed):
            message = (
                f"the record does not show that every value of revision {current.number} was generated since the"
                " declaration, such as after a rollback or an adoption; rotate it again"
            )
            return replace(progress, state=AffectedState.FAILED, message=message)
        rotated = published_at(renewed, observed) or published_at(current, observed) or renewed.made
        progress = replace(self._with_places(progress), revision=current.number, rotated=rotated)
        if points := list(self._open_points(progress)):
            return _with_points(progress, points)
        done = _elsewhere(progress)
        previous = current.previous
        if self.emergency.items is not None:
            keys = (observed.state.keys.get(name, {}) for name in self.emergency.items)
            previous &= {previous_key(key) for of_item in keys for key in of_item.values()}
        if previous and observed.consumers and not done:
            done = (
                f"its pods have read the previous value of {', '.join(sorted(previous))} next to the new one;"
                " restart them if they still accept it"
            )
        return replace(progress, state=AffectedState.ROLLED_OUT, message=self._with_statement(done))

    def _with_places(self, progress: Affected) -> Affected:
        """Return the progress with the stores and the other pods that may hold earlier values."""
        observed, others = self.observed, None
        if observed.holders is not None and not observed.holders.forbidden:
            owners = owners_behind(observed)
            others = tuple(f"{owner} {behind_message(owner, observed)}" for owner in owners)
        taken = self.emergency.taken(observed.desired.names)
        return replace(progress, unpushed=unpushed(observed, taken), others=others)

    def _open_points(self, progress: Affected) -> Iterator[_Point]:
        """Yield everything that keeps a secret with new values from being done, the first to come first."""
        observed, current = self.observed, self.observed.current
        if not observed.is_published:
            yield AffectedState.ROTATED, [f"the Secret is to be written with revision {current.number}"]
        yield from self._points_of_pods()
        overlapping = observed.target is not None and observed.target.overlapping
        if current.keeps_previous:
            overlapping = self._takes(kept_items(observed))
        if overlapping:
            yield AffectedState.ROTATED, ["the previous values are still readable"]
        yield from self._points_of_leases()
        if previous := self._previous_login():
            yield AffectedState.ROTATED, [previous]
        elif open_ := [login for login in progress.logins if login.refused_at is None]:
            yield AffectedState.STALLED, [f"login {login.login}: {login.message}" for login in open_]
        if places := sorted(progress.unpushed, key=lambda one: (not one.needs_a_person, one.place)):
            state = AffectedState.STALLED if places[0].needs_a_person else AffectedState.ROTATED
            yield state, [f"pushTo: {one.message}" for one in places]
        if self.emergency.uid in {one.uid for one in observed.stale_for_emergencies}:
            # Dynamic credentials are issued by a read.
            because = f": {self.error.message}" if self.error else ""
            yield self._kept_from(f"its stores are read again{because}", AffectedState.ROTATED)

    def _points_of_leases(self) -> Iterator[_Point]:
        """Yield the leases of earlier credentials that are not revoked yet."""
        observed = self.observed
        if not self._takes(item.name for item in observed.desired.pulled):
            return
        carried = sum(lease.is_carried for lease in observed.idle_leases) - len(refused_leases(observed))
        if carried:
            waits = f"leases of earlier credentials are to be revoked: {carried}"
            yield self._kept_from(waits, AffectedState.ROTATED)
        if refused := unrevoked(observed):
            yield self._kept_from(refused.message, AffectedState.STALLED)

    def _takes(self, names: Iterable[str]) -> bool:
        """Whether the emergency takes one of some values; one without items takes also what has no name any more."""
        return self.emergency.items is None or bool(self.emergency.items.intersection(names))

    def _points_of_pods(self) -> Iterator[_Point]:
        """Yield the workloads that are behind or not proven to be current, and the owners of other pods."""
        observed = self.observed
        workloads = progress_of_workloads(observed)
        for state, verdict in _OF_WORKLOADS.items():
            is_reloaded = state is WorkloadState.RELOADED
            remedy = "; remove that annotation, and Keyturn restarts it" if is_reloaded else ""
            if messages := [f"{one.described()}{remedy}" for one in workloads if one.state is state]:
                yield verdict, messages
        if owners := owners_behind(observed):
            yield AffectedState.ROTATED, [f"{owner} {behind_message(owner, observed)}" for owner in owners]
        if are_unread(observed):
            is_denied = observed.unread is None
            yield AffectedState.PODS_UNKNOWN if is_denied else AffectedState.ROTATED, [unread(observed)]

    def _kept_from(self, waits: str, state: AffectedState) -> _Point:
        """Return what the operator is still to do, with its state; or what keeps it from all writes."""
        kept = _unrotated(self.observed, self.error)
        if kept.message is None or kept.state is AffectedState.PENDING:
            return state, [waits]
        return kept.state, [kept.message]

    def _previous_login(self) -> str | None:
        """Return a message with the logins that Keyturn closes at the database server."""
        state, account = self.observed.state, self.observed.account
        desired = self.observed.desired.account
        if desired is None or not self._takes([desired.password]):
            return None
        logins = sorted(one.name for one in state.open_credentials if one is not state.current_credential)
        because = f": {account.problem.message}" if account.problem else ""
        return f"the previous login {', '.join(logins)} is to be closed{because}" if logins else None

    def _replaced_by_lease(self) -> frozenset[str]:
        """Return the items whose dynamic credentials were issued since the declaration."""
        state = self.observed.state
        since = first_answer(self.emergency.uid, state)
        before = (one.number for one in state.revisions if since is None or one.number < since)
        exposed = frozenset[str]().union(*(state.leases_by_revision.get(number, ()) for number in before))
        items = state.leases_by_item.items()
        return self.emergency.taken([item for item, lease in items if lease not in exposed])


def _with_points(progress: Affected, points: Sequence[_Point]) -> Affected:
    """Return the progress of a secret that waits, in the state that is worst, with a message about every point."""
    share = MAX_MESSAGE // len(points)
    return replace(
        progress,
        state=min((state for state, _ in points), key=_WORST_FIRST.index),
        message="; ".join(first_within(messages, share) for _, messages in points),
        open_points=tuple(dict.fromkeys(message for _, messages in points for message in messages)),
    )


def _elsewhere(progress: Affected) -> str | None:
    places = {
        "to be rotated at its store": progress.pulled,
        "kept as found in the adopted Secret, to be replaced by hand": progress.found,
    }
    return "; ".join(f"{what}: {', '.join(names)}" for what, names in places.items() if names) or None


# Database logins.


def exposed_logins(
    emergency: Emergency, observed: Managed, error: Wait | Stalled | None
) -> tuple[AffectedLogin, ...]:
    """Return the logins that were open at the declaration, each with a password from before it; the oldest first."""
    state = observed.state
    renewed = renewed_by(without_signers(emergency), observed)
    published = state.credential_of(observed.target.revision) if observed.target else None
    return tuple(
        AffectedLogin(
            login=one.login,
            revision=None if one.revision == UNKNOWN_REVISION else one.revision,
            refused_at=None if one.is_open else to_second(one.since),
            message=_why_open(one, published, observed, error)[:MAX_MESSAGE] if one.is_open else None,
        )
        for one in sorted(state.credentials, key=lambda one: one.revision)
        if emergency.taken([one.item])
        and (renewed is None or one.revision < renewed.number)
        and (one.is_open or one.since >= emergency.started)
    )


def _why_open(
    one: Credential, published: Credential | None, observed: Managed, error: Wait | Stalled | None
) -> str:
    """Return why the server is not proven to refuse a login."""
    if observed.desired.account is None:
        return (
            "the spec has no account any more, so Keyturn closes nothing; add it again, or close it yourself"
        )
    if observed.managed.spec.suspend:
        return "spec.suspend is true, so nothing is closed"
    problem = observed.account.problem or error
    if problem is not None:
        return f"{problem.reason}: {problem.message}" if isinstance(problem, Stalled) else problem.message
    nexts = (
        (one.is_closing, "it is to be closed"),
        (one is published, "the Secret has it until the database server accepts a new one"),
        (one.is_candidate, "it is unpublished, and given up"),
    )
    return next(
        (says for holds, says in nexts if holds), "it is closed when every workload runs on the new values"
    )
