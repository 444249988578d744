"""Credentials of a database account: which ones the server must accept, and the next step towards that.

A new credential is proven before its revision becomes the current one, and the previous one is closed when no pod
needs it. What the server must accept is asserted as a whole (`live_credentials`), so each step can be repeated after
a crash.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from keyturn.api.account import Sessions
from keyturn.core.errors import Stalled, Wait
from keyturn.core.observation.external import NEEDS_REPAIR, AccountFacts, ProbeVerdict
from keyturn.core.observation.observed import Observed, WithAccount
from keyturn.core.reasons import ErrorReason
from keyturn.core.spec.references import AccountDesired
from keyturn.core.spec.schedule import is_open
from keyturn.core.state.records import UNKNOWN_REVISION, Credential, Phase
from keyturn.core.state.state import StateFacts

from . import steps
from .completion import is_rollout_complete, publication_limit
from .credential_slots import (
    MOST_CANDIDATES,
    REFUSALS,
    contradiction,
    is_doubtful,
    is_exhausted,
    is_locked,
    may_open,
    previous_credential,
    previous_still_open,
    record_problem,
    unproven,
    was_found,
    was_in_use,
)
from .emergency import is_exposed, revokes_at_once
from .steps import Action
from .triggers import ON_REQUEST, emergency_was_declared, is_asked, waits_for_previous

_RECHECK_INTERVAL = timedelta(minutes=1)


def has_account(observed: Observed) -> bool:
    """Whether credentials are recorded that the server has, unlike one of an account that is not adopted yet."""
    state = observed.state
    return state is not None and any(not is_doubtful(one, state) for one in state.open_credentials)


# Before the Secret is written


def next_candidate(observed: WithAccount) -> steps.Step | None:
    """Return the next step of a credential that no Secret has: of the candidate, or of one that was given up."""
    state = observed.state
    closing = (one for one in state.credentials if one.is_closing)
    if given_up := next((one for one in closing if _was_abandoned(one, state)), None):
        is_kept = _waits(observed) or _stays_locked(observed)
        return None if is_kept else _revoke(given_up, observed, was_used=False)
    if state.candidate is None:
        return None
    exposed = _close_exposed(state.candidate.number, observed)
    return exposed or _set_and_prove(observed)


def next_current(observed: WithAccount) -> steps.Step | None:
    """Return the next step of the current credential, if it is not proven: that of a first or adopted revision."""
    state = observed.state
    if state.candidate:
        return None
    credential = state.current_credential
    if credential is None or not credential.is_candidate:
        return None
    exposed = None
    if not observed.is_published and not was_in_use(credential.revision, state):
        exposed = _close_exposed(credential.revision, observed)
    return exposed or _set_and_prove(observed)


def close_credentials_of_former_spec(observed: WithAccount) -> steps.StateChange | None:
    """Give up credentials of an earlier `account` in the spec, except the last one, which pods may have."""
    state = observed.state
    if state.current.credential is not None or state.candidate:
        return None
    kept = previous_credential(state)
    left = tuple(one.revision for one in state.open_credentials if one is not kept and not one.is_closing)
    return steps.Close(left) if left else None


def is_publishable(observed: WithAccount) -> bool:
    """Whether the Secret may have the current revision: the server has accepted its credential."""
    credential = observed.state.current_credential
    return credential is None or credential.is_proven


def _close_exposed(number: int, observed: WithAccount) -> steps.Close | None:
    """Give up an unpublished credential that an emergency has exposed."""
    return steps.Close((number,)) if emergency_was_declared(observed) else None


def _set_and_prove(observed: WithAccount) -> steps.Step | None:
    """Let the server learn the unproven credential, then prove it; give it up if the server refuses it."""
    state, credential = observed.state, unproven(observed.state)
    if credential is None or _waits(observed):
        return None
    if closes_account(observed) and not observed.is_finalized:
        return steps.Finalize(present=True)
    if credential.phase is Phase.STAGED:
        revision = state.revision(credential.revision)
        is_asked_for = revision is not None and revision.reason in ON_REQUEST
        return (
            _at_server(Action.APPLY, credential, observed)
            if is_asked_for or not _stays_locked(observed)
            else None
        )
    return _repair_beside(observed) or _prove(credential, observed)


def _prove(credential: Credential, observed: WithAccount) -> steps.Step | None:
    state, is_refused = observed.state, observed.account.refused >= REFUSALS
    if is_refused and was_found(credential.revision, state):
        return next_repair(observed)
    if is_refused and not was_in_use(credential.revision, state):
        return steps.Close((credential.revision,))
    return _at_server(Action.PROVE, credential, observed)


def _repair_beside(observed: WithAccount) -> steps.Account | None:
    """Return the repair of the published credential next to a candidate, which cannot be proven without it.

    Without an overlap the server refuses the published one because it has the candidate's.
    """
    is_beside = observed.state.candidate and observed.account_desired.capacity.overlaps
    is_refused = observed.account.verdict in NEEDS_REPAIR
    return next_repair(observed) if is_beside and is_refused else None


def _stays_locked(observed: WithAccount) -> bool:
    """Whether no change at the server may open the published login, which was locked there: nothing asks for that."""
    return is_locked(observed) and not _ends_at_once(observed) and not is_asked(observed)


def _was_abandoned(credential: Credential, state: StateFacts) -> bool:
    revision = state.revision(credential.revision)
    return revision is not None and revision.abandoned


# After the Secret was written


def next_revocation(observed: WithAccount) -> steps.Account | None:
    """Return the revocation of the next closing credential that no pod needs."""
    if _waits(observed) or _stays_locked(observed):
        return None
    ready = (one for one in observed.state.credentials if _may_be_revoked(one, observed))
    return next((_revoke(one, observed) for one in ready), None)


def revocation_limit(observed: WithAccount) -> datetime | None:
    """Return when a credential that was rolled back is revoked although pods may need it, by rotation.maxOverlap."""
    state = observed.state
    if not state.gives_up_credential:
        return None
    limit = publication_limit(observed)
    return limit if limit and limit > observed.now else None


def next_repair(observed: WithAccount) -> steps.Account | None:
    """Return the repair of an account that refuses the published credential, unless the spec only reports that.

    One that was locked is opened on request; if a rotation can begin, that opens it.
    """
    account, state, target = observed.account, observed.state, observed.target
    if target is None or _waits(observed):
        return None
    if state.credential_of(target.revision) is not state.current_credential:
        return None  # the Secret does not have it yet
    if account.verdict is ProbeVerdict.LOCKED and is_asked(observed) and not may_open(observed):
        return steps.Account(Action.ASSERT, live_credentials(observed), opens=True)
    if not observed.account_desired.repairs:
        return None
    is_refused = account.verdict in NEEDS_REPAIR or account.refused >= REFUSALS
    if not is_refused or account.verdict is ProbeVerdict.CONTESTED:
        return None
    return steps.Account(Action.ASSERT, live_credentials(observed))


def needs_slot(observed: WithAccount) -> bool:
    """Whether an emergency closes the previous credential at once, because a third one is never opened."""
    state = observed.state
    previous = state.credential(state.current.supersedes)
    is_in_the_way = previous is not None and previous.is_open
    return is_in_the_way and observed.is_published and _emergency_brings_credential(observed)


def _emergency_brings_credential(observed: WithAccount) -> bool:
    reason = emergency_was_declared(observed)
    return reason is not None and observed.account_desired.password in reason.fresh


def _ends_at_once(observed: WithAccount) -> bool:
    """Whether an emergency removes previous passwords at once."""
    return revokes_at_once(observed, [observed.account_desired.password])


def _may_be_revoked(credential: Credential, observed: WithAccount) -> bool:
    """Whether the server may refuse a closing credential now.

    A superseded one is recorded as closing when its overlap has ended. One of a revision that was rolled back is
    needed until every pod runs on the current revision again.
    """
    state = observed.state
    if not credential.is_closing:
        return False
    if _was_abandoned(credential, state):
        return True
    current = state.current_credential
    if current is credential or not observed.is_published:
        return False
    if (current and credential.revision < current.revision) or _ends_at_once(observed):
        return True
    limit = publication_limit(observed)
    if (limit and observed.now >= limit) or _emergency_brings_credential(observed):
        return True
    return is_rollout_complete(observed)


def _revoke(credential: Credential, observed: WithAccount, *, was_used: bool = True) -> steps.Account:
    """Return a revocation; the sessions that it ends may be those of the published password, if that has its name."""
    may_end = was_used or observed.account_desired.capacity.renames
    is_asked = may_end and observed.account_desired.sessions is Sessions.TERMINATE
    has_open_emergency = _ends_at_once(observed) and (may_end or is_exposed(credential.revision, observed))
    step = _at_server(Action.REVOKE, credential, observed)
    return replace(step, ends_sessions=is_asked or has_open_emergency)


# Deletion


def closes_account(observed: Observed) -> bool:
    """Whether the deletion of the ManagedSecret has to close logins at the server, also if its class is gone."""
    database = observed.account_desired
    if database is None or observed.state is None:
        return False
    return database.deletes and bool(observed.state.open_credentials)


def last_closing(observed: Observed, state: StateFacts) -> steps.Step | None:
    """Return the next step for the account of a deleted ManagedSecret that is to be closed; None if it waits.

    Raises:
        Stalled: The spec has another account.
    """
    if problem := record_problem(observed):
        raise problem
    if left := tuple(one.revision for one in state.open_credentials if not one.is_closing):
        return steps.Close(left)
    return None if _waits(observed) else steps.Account(Action.RETIRE, (), state.open_credentials)


# What the server must accept


def _at_server(action: Action, about: Credential, observed: WithAccount) -> steps.Account:
    opens = about if action is Action.APPLY else None
    closes = about if action is Action.REVOKE else None
    return steps.Account(action, live_credentials(observed, opens, closes), (about,))


def live_credentials(
    observed: WithAccount,
    opens: Credential | None = None,
    closes: Credential | None = None,
) -> tuple[Credential, ...]:
    """Return the credentials that the server must accept after a step that opens or closes one.

    Raises:
        Stalled: The record contradicts itself: it was edited.
    """
    state = observed.state
    capacity, learned, live = observed.account_desired.capacity, unproven(state), list[Credential]()
    if learned and learned.phase is not Phase.APPLIED:
        learned = None
    # By precedence: for a name without room for all, first the ones whose passwords the server must have.
    firsts = (opens, learned, state.current_credential, *state.open_credentials)
    for one in {one.revision: one for one in firsts if one}.values():
        is_live = one is opens or (one is not closes and _stays_open(one, observed))
        if is_live and capacity.has_room(one.login, [other.login for other in live]):
            live.append(one)
    published = _published(observed)
    if published and capacity.overlaps and published not in live:
        raise contradiction(observed)
    return tuple(sorted(live, key=lambda one: one is not published))


def _stays_open(credential: Credential, observed: WithAccount) -> bool:
    if credential.phase is Phase.STAGED:  # without an overlap also the published one, after a rollback
        return credential is _published(observed)
    is_known = credential.is_open and credential.revision != UNKNOWN_REVISION
    return is_known and not _may_be_revoked(credential, observed)


def _published(observed: WithAccount) -> Credential | None:
    """Return the credential that the Secret has now."""
    state = observed.state
    credential = state.credential_of(observed.target.revision) if observed.target else None
    return credential if credential and credential.is_open and not _was_abandoned(credential, state) else None


# Waits and problems


def account_again(observed: Observed) -> datetime | None:
    """Return when the next operation at the server is due; probes have items of the work queue of their own."""
    again = observed.account.again
    return again if again and again > observed.now else None


def account_problem(observed: WithAccount) -> Wait | Stalled | None:
    """Return why the account is not as the spec says, or None."""
    account = observed.account
    problem = account.problem or _refusal(account, observed.account_desired) or _lock(observed)
    if problem or not waits_for_previous(observed):
        return problem
    return Wait(ErrorReason.PREVIOUS_STILL_OPEN, previous_still_open(observed.state), _RECHECK_INTERVAL)


def refuse_exhausted(observed: WithAccount) -> None:
    """Report that the server refused every candidate of a rotation.

    Raises:
        Stalled: PasswordRefused.
    """
    if not is_exhausted(observed.state):
        return
    passwords = f"{MOST_CANDIDATES} new passwords of {observed.account_desired.username!r} in a row"
    what = f"the database server refused {passwords}; check its rules for passwords and logins"
    if not observed.account_desired.capacity.overlaps:
        what = f"{passwords} were not accepted at every address; check the server's rules, and alsoAt"
    raise Stalled(ErrorReason.PASSWORD_REFUSED, f"{what}, then run `keyturn rotate {observed.name}`")


def _refusal(account: AccountFacts, database: AccountDesired) -> Stalled | None:
    """Return why a refused published credential needs manual action; None if it is accepted, unknown, or repaired."""
    match account.verdict:
        case ProbeVerdict.CONTESTED:
            return Stalled(
                ErrorReason.CREDENTIAL_CONTESTED,
                f"another writer keeps changing the login of {database.username!r} at the database server;"
                " stop it, and the next repair lasts",
            )
        case ProbeVerdict.REFUSED if not database.repairs:
            return Stalled(
                ErrorReason.CREDENTIAL_REFUSED,
                f"the database server refuses the published login of {database.username!r}, and drift: Report only"
                " reports that; set the password of the Secret at the server, or write drift: Repair",
            )
        case ProbeVerdict.WRONG_ROLE if not database.repairs:
            return Stalled(
                ErrorReason.WRONG_ROLE,
                f"sessions of the published login do not act as {database.username!r}, and drift: Report only reports"
                f" that; set the membership and the setting role of the login, or write drift: Repair",
            )
        case _:
            return None


def _lock(observed: WithAccount) -> Stalled | None:
    """Return that the published login is locked, and what waits for that."""
    if not is_locked(observed):
        return None
    waits = "" if is_open(observed.desired.windows, observed.now) else ", which waits for a window"
    account, name = observed.account, observed.account_desired.username
    how = f" ({account.cause})" if account.verdict is ProbeVerdict.LOCKED and account.cause else ""
    return Stalled(
        ErrorReason.CREDENTIAL_LOCKED,
        f"the published login of {name!r} was closed, locked or dropped at the database server{how};"
        " open it there, with a later date if it has expired, or run `keyturn rotate`"
        f"{waits}. Until then no other rotation begins, and no login is closed",
    )


def _waits(observed: Observed) -> bool:
    """Whether an operation is in progress, or the next one is postponed after a failure."""
    return observed.account.busy or account_again(observed) is not None
