"""Whether the recorded credentials are of the account in the spec: of its server, its logins and its item of data.

A rule of the CRD fixes the account, and does not see one that was removed from the spec and added again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.core.errors import Stalled
from keyturn.core.reasons import ErrorReason
from keyturn.core.state.state import state_name

if TYPE_CHECKING:
    from keyturn.core.observation.observed import Observed
    from keyturn.core.spec.database import DatabaseDesired
    from keyturn.core.spec.desired import Desired
    from keyturn.core.state.credential import Credential

__all__ = ["MOST_OPEN", "contradiction", "hold_to_record", "record_problem"]

MOST_OPEN = 2
"""Credentials that a server accepts at the same time."""
_ANOTHER = "create another ManagedSecret for another account"


def hold_to_record(observed: Observed, desired: Desired) -> None:
    """Check that the open credentials are of the account.

    Raises:
        Stalled: They are of another one, or there are too many; users can edit the state Secret.
    """
    if desired.database and (problem := record_problem(observed, desired.database)):
        raise problem


def record_problem(observed: Observed, database: DatabaseDesired) -> Stalled | None:
    """Return why nothing is done at the server of the spec; None if the open credentials are of its account."""
    opened = observed.state.open_credentials if observed.state else ()
    if len(opened) > MOST_OPEN:
        return contradiction(observed)
    differences = (_difference(one, database, observed) for one in opened)
    difference = next((text for text in differences if text), None)
    return (
        Stalled(ErrorReason.INVALID_DATABASE, f"database: {difference}; {_ANOTHER}") if difference else None
    )


def contradiction(observed: Observed) -> Stalled:
    """Return the error for a record that no sequence of steps writes."""
    return Stalled(
        ErrorReason.STATE_UNREADABLE,
        f"the state Secret {state_name(observed.name)!r} records database credentials that the account cannot have;"
        " restore it, or delete it to continue with the values of the target Secret",
    )


def _difference(one: Credential, database: DatabaseDesired, observed: Observed) -> str | None:
    """Return how an open credential differs from the account of the spec.

    A record of an earlier version has its login only.
    """
    if one.login not in database.every_login:
        return (
            f"the open login {one.login!r} is none of account {database.username!r} with strategy"
            f" {database.strategy}; write username and strategy as they were, or restore the state Secret"
            f" {state_name(observed.name)!r} if it was edited"
        )
    if one.target not in {"", database.target_name}:
        return (
            f"the login {one.login!r} is open at {one.target}, and targetRef names {database.target_name};"
            " write targetRef as it was"
        )
    if one.item not in {"", database.password}:
        return (
            f"the password of the open login {one.login!r} is the item {one.item!r}, and passwordValue names"
            f" {database.password!r}; write passwordValue: {one.item}"
        )
    return None
