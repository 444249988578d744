"""Reports operations at database servers and verdicts of probes: Events, log lines and metrics."""

from collections.abc import Iterable

import structlog

from keyturn.core.observation.external import ProbeVerdict
from keyturn.core.observation.observed import Observed
from keyturn.core.reasons import ErrorReason, EventReason
from keyturn.core.rotation import steps
from keyturn.core.rotation.credential_slots import is_locked
from keyturn.core.rotation.steps import Action
from keyturn.core.status.credentials import meaning_of
from keyturn.core.status.summary import condition

from .account.operation import Claimed, Effect, OpenSessions
from .memory import Pass

_MOST_ADDRESSES = 5

_log = structlog.get_logger()


def report_account_step(step: steps.Account, this: Pass) -> None:
    """Report a step; one in progress is reported at its end, a failure by the condition."""
    record = this.memory.accounts.of(this.key)
    name, effect, problem = step.action, record.take_effect(), record.problem
    if problem is not None and problem.reason == ErrorReason.CHANGING_CREDENTIAL:
        return
    if effect is None:
        _log.warning("database step failed", step=name, secret=this.name, reason=problem and problem.reason)
        return
    if effect.refused_at:
        note = f"{effect.refused_at} refuses the new password and accepts the published one"
        this.warn(EventReason.CANDIDATE_REFUSED, note)
        _log.warning("candidate refused", secret=this.name, endpoint=str(effect.refused_at))
        return
    if effect.unproven:
        _log.warning("candidate not proven", secret=this.name, reason=effect.unproven.reason)
        return
    match effect.claimed:
        case Claimed.CREATED:
            note = "the account is created at the database, with the privileges of its template"
            this.post(EventReason.ACCOUNT_CREATED, note)
        case Claimed.ADOPTED:
            note = "the account exists at the database and is managed from now on"
            this.post(EventReason.ACCOUNT_ADOPTED, note)
    _report_effect(step, effect, this)
    _log.info("step done", step=name, secret=this.name)


def report_verdict(this: Pass) -> None:
    """Report that the database refuses the published login, when the status first says so."""
    account, managed = this.observed.account, this.observed.managed
    found, before = meaning_of(account.verdict), condition(managed, "CredentialValid")
    if found.status != "False" or (before and before.reason == found.reason):
        return
    note = f"{found.message}: {account.cause}" if account.cause else found.message
    this.warn(EventReason.CREDENTIAL_REFUSED, note)
    _log.warning("published credential refused", secret=this.name, verdict=str(account.verdict))


def _report_effect(step: steps.Account, effect: Effect, this: Pass) -> None:
    observed, whose = this.observed, ""
    if step.credentials:
        whose = f"{step.credential.login}, with the password of revision {step.credential.revision}"
    match step.action:
        case Action.APPLY:
            note = f"the database accepts {whose}"
            opened = _opened(step, observed)
            this.post(EventReason.CREDENTIAL_APPLIED, note + opened, is_warning=bool(opened))
        case Action.PROVE:
            note = (
                f"{step.credential.login} logged in with the password of revision {step.credential.revision}"
            )
            this.post(EventReason.CREDENTIAL_PROVEN, note)
        case Action.REVOKE:
            opened = _opened(step, observed)
            still_open = _still_open(effect.sessions, were_to_end=step.ends_sessions)
            note = f"the database refuses {whose}{still_open}{opened}"
            is_warning = bool(opened or (step.ends_sessions and effect.sessions))
            this.post(EventReason.CREDENTIAL_REVOKED, note, is_warning=is_warning)
        case Action.ASSERT:
            note = f"{_cause(observed)}; the recorded credentials are set again"
            if step.opens:
                note = "the published login was locked at the database; a requested rotation opens it"
            this.warn(EventReason.CREDENTIAL_REPAIRED, note)
        case Action.RETIRE:
            note = "the ManagedSecret is deleted, and the database refuses each of its logins"
            this.post(EventReason.CREDENTIAL_REVOKED, note)


def _cause(observed: Observed) -> str:
    """Return why the recorded credentials were set again."""
    if observed.account.verdict is ProbeVerdict.WRONG_ROLE:
        return "sessions of the published login did not act as the account"
    return "the database refused the published password"


def _opened(step: steps.Account, observed: Observed) -> str:
    """Return that a step opened the published login, which was locked at the server."""
    published = observed.state.current_credential if observed.state else None
    if published is None or not published.is_proven or published.revision == step.credential.revision:
        return ""
    return f"; {published.login}, which was locked there, is open again" if is_locked(observed) else ""


def _still_open(sessions: Iterable[OpenSessions], *, were_to_end: bool) -> str:
    """Return how many sessions of a closed login are open, why, and from where."""
    known = sorted(sessions, key=lambda one: -one.count)
    if not known:
        return ""
    count = sum(one.count for one in known)
    places = [one.address or "an unknown address" for one in known[:_MOST_ADDRESSES]]
    more = f" and {len(known) - len(places)} other addresses" if len(known) > len(places) else ""
    why = "could not be ended" if were_to_end else "stay open until their applications close them"
    return f"; {count} of its sessions {why}: {', '.join(places)}{more}"
