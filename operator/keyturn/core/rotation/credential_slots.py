"""Recorded credentials of a database account: whose they are, whether another may be opened, and with which login.

A rule of the CRD fixes the account, and does not see one that was removed from the spec and added again. So the open
credentials are compared with the account in the spec: its server, its logins and its item of data.
"""

from collections.abc import Collection

from keyturn.core.errors import Stalled
from keyturn.core.observation.external import ProbeVerdict
from keyturn.core.observation.observed import Observed
from keyturn.core.reasons import ConditionReason, ErrorReason, RevisionReason
from keyturn.core.spec.desired import Desired
from keyturn.core.spec.references import AccountDesired
from keyturn.core.state.records import Credential, Phase
from keyturn.core.state.state import StateFacts, state_name

MOST_CANDIDATES = 3
"""Candidates of one rotation that the server may refuse before manual action is required."""
REFUSALS = 2
"""Refusals in a row after which a candidate is replaced."""
_MOST_OPEN = 2
"""Credentials that are open at the same time: the published one, and a new or a previous one."""
_NO_ANSWERS = frozenset({ProbeVerdict.NOT_PROBED, ProbeVerdict.UNREACHABLE, ProbeVerdict.NOT_ADMITTED})
_ANOTHER = "create another ManagedSecret for another account"


def brings_credential(fresh: Collection[str], desired: Desired) -> bool:
    """Whether a revision with these new values has another password for the database account."""
    return desired.account is not None and desired.account.password in fresh


def staged_login(fresh: Collection[str], state: StateFacts | None, desired: Desired) -> str | None:
    """Return the login of the next revision: one with room for a new password, else that of the current revision."""
    if desired.account is None:
        return None
    current = state.current_credential if state else None
    if current is None or brings_credential(fresh, desired):
        capacity = desired.account.capacity
        taken = [one.login for one in state.open_credentials] if state else []
        return capacity.free_name(taken) or capacity.names[0]  # without room the previous one is replaced
    return current.login


def previous_credential(state: StateFacts) -> Credential | None:
    """Return the credential that stays open next to a new one: that of the current revision.

    If `account` was absent from the spec meanwhile, it is the last one that worked.
    """
    if state.current.credential is not None:
        return state.current_credential
    return next((one for one in state.credentials if one.is_proven), None)


def unproven(state: StateFacts) -> Credential | None:
    """Return the credential that the server is to learn or to prove next: the candidate's, or the current one."""
    number = state.candidate.number if state.candidate else state.current_number
    credential = state.credential_of(number)
    return credential if credential and credential.is_candidate else None


def was_found(number: int, state: StateFacts) -> bool:
    """Whether the password of a revision was not generated for the account, but found in a Secret."""
    revision = state.revision(number)
    return revision is not None and revision.reason == RevisionReason.CLAIMED


def was_in_use(number: int, state: StateFacts) -> bool:
    """Whether an application may have the password of a revision: it was found in a Secret, or published before."""
    return was_found(number, state) or any(one.number == number for one in state.publications)


def is_doubtful(credential: Credential, state: StateFacts) -> bool:
    """Whether a password was found in a Secret and no login has proven it, so that it may be corrected there."""
    return credential.is_candidate and was_found(credential.revision, state)


def may_open(observed: Observed) -> bool:
    """Whether a new credential may be opened: only that of the current revision is open, and it is settled.

    The server keeps two at most. A current one that is not proven yet is waited for, unless the server refuses it.
    """
    state = observed.state
    if state is None:
        return True
    current = previous_credential(state)
    if any(one is not current for one in state.open_credentials):
        return False
    if current is None or current.phase in {Phase.PROVEN, Phase.CLOSED}:
        return True
    return current.phase is Phase.APPLIED and observed.account.refused >= REFUSALS


def previous_still_open(state: StateFacts) -> str:
    """Return what a rotation waits for that may not open another credential."""
    others = sorted(one.name for one in state.open_credentials if one is not state.current_credential)
    if not others:
        return "the next rotation waits until a login has proven the password of the Secret"
    return f"the next rotation waits until the previous login {' and '.join(others)} is closed; two are open at most"


def is_exhausted(state: StateFacts) -> bool:
    """Whether the server refused as many candidates in a row as it may, and no other rotation was started since."""
    last = state.last_new_credential
    credential = state.credential(last.number) if last and last.abandoned else None
    return credential is not None and credential.tries + 1 >= MOST_CANDIDATES


def is_locked(observed: Observed) -> bool:
    """Whether the published login was closed, locked or dropped at the server, as far as the last answer says.

    A process without an answer yet knows that from the status, which keeps it until there is one. Without a published
    login, such as after the loss of its password, an earlier answer is about none that a change would open.
    """
    current = observed.state.current_credential if observed.state else None
    if current is None or not current.is_proven:
        return False
    account = observed.account
    if account.verdict in _NO_ANSWERS and not account.locked:
        conditions = observed.managed.status.conditions
        return any(
            one.type == "CredentialValid" and one.reason == ConditionReason.LOCKED for one in conditions
        )
    return account.verdict is ProbeVerdict.LOCKED or account.locked


def tries_of(reason: str, state: StateFacts | None) -> int:
    """Return how many candidates of the same rotation were given up before a new one."""
    last = state.last_new_credential if state else None
    if state is None or last is None or last.reason != reason or is_exhausted(state):
        return 0
    credential = state.credential(last.number) if last.abandoned else None
    return credential.tries + 1 if credential else 0


# Whether the open credentials are of the account in the spec


def record_problem(observed: Observed) -> Stalled | None:
    """Return why nothing is done at the server of the spec; None if the open credentials are of its account.

    Users can edit the state Secret.
    """
    database, opened = observed.account_desired, observed.state.open_credentials if observed.state else ()
    if database is None:
        return None
    if len(opened) > _MOST_OPEN:
        return contradiction(observed)
    differences = (_difference(one, database, observed) for one in opened)
    difference = next((text for text in differences if text), None)
    return Stalled(ErrorReason.INVALID_DATABASE, f"account: {difference}; {_ANOTHER}") if difference else None


def contradiction(observed: Observed) -> Stalled:
    """Return the error for a record that no sequence of steps writes."""
    return Stalled(
        ErrorReason.STATE_UNREADABLE,
        f"the state Secret {state_name(observed.name)!r} records database credentials that the account cannot have;"
        " restore it, or delete it to continue with the values of the target Secret",
    )


def _difference(one: Credential, database: AccountDesired, observed: Observed) -> str | None:
    """Return how an open credential differs from the account of the spec."""
    if one.login not in database.every_name:
        return (
            f"the open login {one.login!r} is none of account {database.username!r}, which has"
            f" {', '.join(database.every_name)}; write account as it was, or restore the state"
            f" Secret {state_name(observed.name)!r} if it was edited"
        )
    if one.target != database.target_name:
        return (
            f"the login {one.login!r} is open at {one.target}, and targetRef names {database.target_name};"
            " write targetRef as it was"
        )
    if one.item != database.password:
        return (
            f"the password of the open login {one.login!r} is the item {one.item!r}, and passwordValue names"
            f" {database.password!r}; write passwordValue: {one.item}"
        )
    return None
