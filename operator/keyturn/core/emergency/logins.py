"""Logins of a database account with an exposed password, and whether the server was proven to refuse each."""

from __future__ import annotations

from collections.abc import Sequence

from keyturn.api.emergency import AffectedLogin
from keyturn.core.errors import Stalled, Wait
from keyturn.core.observation.emergency import Emergency
from keyturn.core.observation.observed import Observed
from keyturn.core.rotation.emergency import renewed_by, without_signers
from keyturn.core.state.records import UNKNOWN_REVISION, Credential
from keyturn.core.times import to_second

from .size import MAX_MESSAGE

_MOST = 8


def exposed_logins(
    emergency: Emergency, observed: Observed, error: Wait | Stalled | None
) -> tuple[AffectedLogin, ...]:
    """Return the logins that were open at the declaration, each with a password from before it; the oldest first."""
    state, desired = observed.state, observed.desired
    if state is None or desired is None:
        return ()
    renewed = renewed_by(without_signers(emergency), observed, desired)
    exposed = (one for one in state.credentials if renewed is None or one.revision < renewed.number)
    published = state.credential_of(observed.target.revision) if observed.target else None
    return tuple(
        _login(one, published, observed, error)
        for one in sorted(exposed, key=lambda one: one.revision)
        if one.is_open or one.since >= emergency.started
    )


def kept_logins(before: Sequence[AffectedLogin], now: Sequence[AffectedLogin]) -> list[AffectedLogin] | None:
    """Return the logins of an earlier status as they are now; those that the record has dropped stay."""
    known = {(one.revision, one.login): one for one in (*before, *now)}
    return sorted(known.values(), key=lambda one: (one.revision or 0, one.login))[-_MOST:] or None


def _login(
    one: Credential, published: Credential | None, observed: Observed, error: Wait | Stalled | None
) -> AffectedLogin:
    return AffectedLogin(
        login=one.login,
        revision=None if one.revision == UNKNOWN_REVISION else one.revision,
        refused_at=None if one.is_open else to_second(one.since),
        message=_why_open(one, published, observed, error)[:MAX_MESSAGE] if one.is_open else None,
    )


def _why_open(
    one: Credential, published: Credential | None, observed: Observed, error: Wait | Stalled | None
) -> str:
    """Return why the server is not proven to refuse a login."""
    if observed.desired is None or observed.desired.database is None:
        return (
            "the spec has no database any more, so Keyturn closes nothing; add it again, or close it yourself"
        )
    if observed.managed.spec.suspend:
        return "spec.suspend is true, so nothing is closed"
    problem = (observed.account.problem if observed.account else None) or error
    if problem is not None:
        return f"{problem.reason}: {problem.message}" if isinstance(problem, Stalled) else problem.message
    return _next_for(one, published)


def _next_for(one: Credential, published: Credential | None) -> str:
    if one.is_closing:
        return "it is to be closed"
    if one is published:
        return "the Secret has it until the database server accepts a new one"
    if one.is_candidate:
        return "it is unpublished, and given up"
    return "it is closed when every workload runs on the new values"
