"""What the status shows of the database account: its credentials, and whether the published one is valid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from keyturn.api.status import CredentialStatus
from keyturn.core.observation.account import NOT_PROBED, ProbeVerdict
from keyturn.core.reasons import ConditionReason
from keyturn.core.state.credential import UNKNOWN_REVISION, Phase
from keyturn.core.times import to_second

if TYPE_CHECKING:
    from keyturn.core.observation.observed import Observed
    from keyturn.core.state.credential import Credential
    from keyturn.core.state.state import StateFacts

__all__ = ["Meaning", "credential_status", "credential_step", "credential_valid", "is_closing"]

_STEPS = {Phase.STAGED: "Apply", Phase.APPLIED: "Prove"}
_CONDITION = "CredentialValid"


class Meaning(NamedTuple):
    """Status, reason and message of the condition."""

    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str


_MEANINGS = {
    ProbeVerdict.ACCEPTED: Meaning(
        "True", ConditionReason.ACCEPTED, "the database server accepted the published login at the last probe"
    ),
    ProbeVerdict.REFUSED: Meaning(
        "False", ConditionReason.LOGIN_REFUSED, "the database server refuses the published login"
    ),
    ProbeVerdict.LOCKED: Meaning(
        "False",
        ConditionReason.LOCKED,
        "the published login was locked or dropped at the database server; unlock it there",
    ),
    ProbeVerdict.CONTESTED: Meaning(
        "False",
        ConditionReason.CONTESTED,
        "another writer keeps changing the password at the database server; stop it",
    ),
    ProbeVerdict.UNREACHABLE: Meaning(
        "Unknown", ConditionReason.UNREACHABLE, "the database server does not answer"
    ),
    ProbeVerdict.NOT_PROBED: Meaning("Unknown", ConditionReason.NOT_PROBED, "no login was tried yet"),
}


def credential_status(observed: Observed) -> list[CredentialStatus] | None:
    """Return the recorded credentials, the newest first; without a state those of the status."""
    if observed.state is None:
        return observed.managed.status.credentials
    known = (one for one in observed.state.credentials if one.revision != UNKNOWN_REVISION)
    return [_row(one) for one in known] or None


def _row(one: Credential) -> CredentialStatus:
    return CredentialStatus(
        login=one.login, revision=one.revision, phase=one.phase.value, since=to_second(one.since)
    )


def credential_valid(observed: Observed) -> Meaning | None:
    """Return the meaning of CredentialValid; None before a credential is published.

    A process that has not probed yet repeats the previous condition, so that its start writes nothing.
    """
    is_managed = observed.desired is not None and observed.desired.database is not None
    if not is_managed or not observed.is_published:
        return None
    verdict = (observed.account or NOT_PROBED).verdict
    before = next((one for one in observed.managed.status.conditions if one.type == _CONDITION), None)
    if verdict is ProbeVerdict.NOT_PROBED and before:
        return Meaning(before.status, before.reason, before.message)
    return _MEANINGS[verdict]


def credential_step(state: StateFacts) -> str | None:
    """Return the step that an unproven credential needs next; None if the published one is proven."""
    unproven = state.credential_of(state.candidate.number if state.candidate else state.current_number)
    return _STEPS.get(unproven.phase) if unproven else None


def is_closing(state: StateFacts) -> bool:
    """Whether a credential is still to be refused by the server."""
    return any(one.is_closing for one in state.credentials)
