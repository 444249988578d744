"""What the status shows of the database account: its credentials, and whether the published one is valid."""

from collections.abc import Mapping
from typing import Final, Literal

from keyturn.api.status import CredentialStatus
from keyturn.core.observation.external import NEEDS_REPAIR, ProbeVerdict
from keyturn.core.observation.observed import Observed
from keyturn.core.reasons import ConditionReason, ErrorReason
from keyturn.core.rotation.credential_slots import is_locked, unproven
from keyturn.core.state.records import UNKNOWN_REVISION, Credential, Phase
from keyturn.core.state.state import StateFacts
from keyturn.core.times import to_second

from .summary import ConditionVerdict, condition_of

_STEPS = {Phase.STAGED: "Apply", Phase.APPLIED: "Prove"}
_WORDS = {
    "Apply": "the database server is to accept the new password of {}",
    "Prove": "a login as {} with the new password is to be accepted by the database server",
    "Revoke": "the database server may accept the previous login {} until it is closed",
}

_SERVER = "the database server"
_MEANINGS: Final[Mapping[ConditionReason, tuple[Literal["True", "False", "Unknown"], str]]] = {
    ConditionReason.ACCEPTED: ("True", f"{_SERVER} accepted the published login at the last probe"),
    ConditionReason.LOGIN_REFUSED: ("False", f"{_SERVER} refuses the published login"),
    ConditionReason.WRONG_ROLE: (
        "False",
        f"{_SERVER} accepts the published login, whose sessions do not act as the account",
    ),
    ConditionReason.LOCKED: ("False", f"the published login is closed at {_SERVER}"),
    ConditionReason.CONTESTED: ("False", f"another writer keeps changing the login at {_SERVER}; stop it"),
    ConditionReason.UNREACHABLE: ("Unknown", f"{_SERVER} does not answer"),
    ConditionReason.NOT_ADMITTED: ("Unknown", f"{_SERVER} answers, and admits no login of the account"),
    ConditionReason.NOT_PROBED: ("Unknown", "no login was tried yet"),
}


def meaning_of(verdict: ProbeVerdict) -> ConditionVerdict:
    """Return the condition CredentialValid after a probe; the verdict is its reason."""
    reason = ConditionReason(verdict)
    status, message = _MEANINGS[reason]
    return ConditionVerdict(status, reason, message)


def credential_status(observed: Observed) -> list[CredentialStatus] | None:
    """Return the recorded credentials, the newest first; without a state those of the status."""
    if observed.state is None:
        return observed.managed.status.credentials
    known = (one for one in observed.state.credentials if one.revision != UNKNOWN_REVISION)
    return [_row(one) for one in known] or None


def _row(one: Credential) -> CredentialStatus:
    return CredentialStatus(
        login=one.login,
        revision=one.revision,
        phase=one.phase.value,
        since=to_second(one.since),
        proven_at=to_second(one.proven_at) if one.proven_at else None,
    )


def credential_valid(observed: Observed) -> ConditionVerdict | None:
    """Return the verdict of CredentialValid; None before a credential is published.

    A process that has not probed yet repeats the previous condition, so that its start writes nothing. A lock is kept
    until there is another answer, so that the next process knows it, too.
    """
    is_managed = observed.desired is not None and observed.desired.account is not None
    if not is_managed or not observed.is_published:
        return None
    account = observed.account
    verdict, meaning = account.verdict, meaning_of(account.verdict)
    before = condition_of(observed.managed.status.conditions, "CredentialValid")
    if verdict is ProbeVerdict.NOT_PROBED and before:
        return ConditionVerdict(before.status, before.reason, before.message)
    if account.cause:
        meaning = meaning._replace(message=f"{meaning.message}: {account.cause}")
    if verdict is not ProbeVerdict.LOCKED and is_locked(observed):
        lock = meaning_of(ProbeVerdict.LOCKED)
        return lock._replace(message=f"{lock.message}; since then, {meaning.message}")
    # A problem says why a repair, or the proof of a password that was found in the Secret, does not succeed.
    problem = account.problem
    published = observed.state.current_credential if observed.state else None
    concerns = verdict in NEEDS_REPAIR or (published is not None and published.is_candidate)
    if problem is None or not concerns or problem.reason == ErrorReason.CHANGING_CREDENTIAL:
        return meaning
    return meaning._replace(message=f"{meaning.message}; {problem.message}")


def at_server(step: str, observed: Observed) -> str | None:
    """Return what a step at the database server waits for, or changes; None for another step."""
    if observed.state is None or step not in _WORDS:
        return None
    if observed.account.problem:
        return observed.account.problem.message
    closing = [one.name for one in observed.state.credentials if one.is_closing]
    new = unproven(observed.state)
    logins = closing if step == "Revoke" or new is None else [new.login]
    return _WORDS[step].format(" and ".join(sorted(logins)))


def credential_step(state: StateFacts) -> str | None:
    """Return the step that an unproven credential needs next; None if the published one is proven."""
    credential = unproven(state)
    return _STEPS[credential.phase] if credential else None


def is_closing(state: StateFacts) -> bool:
    """Whether a credential is still to be refused by the server."""
    return any(one.is_closing for one in state.credentials)
