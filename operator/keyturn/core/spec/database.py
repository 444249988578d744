"""Database account of a ManagedSecret: its server, its logins, and the value that is its password."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from keyturn.api.database import PASSWORD, AccountTemplate, Database, Drift, Sessions, Strategy, TargetRef
from keyturn.api.target import DeletionPolicy
from keyturn.core.keys import TargetKey

LOGIN = "database login"
"""Recipe of the value `username`, which the credential of its revision determines."""
_DEFAULT_PROBE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class DatabaseDesired:
    """`spec.database` with every default resolved."""

    target: TargetRef
    username: str
    """The name of the account; its logins follow from it and from the strategy."""
    strategy: Strategy = Strategy.ALTERNATING_USERS
    password: str = PASSWORD
    """The item that is the password."""
    sessions: Sessions = Sessions.KEEP
    probe_interval: timedelta = _DEFAULT_PROBE
    drift: Drift = Drift.REPAIR
    template: AccountTemplate | None = None
    """What a new account may do; None if the account must exist."""
    deletion: DeletionPolicy = DeletionPolicy.RETAIN

    @property
    def target_name(self) -> str:
        """Kind and name of the target, as a record has them."""
        return f"{self.target.kind or TargetKey.kind_of_namespace}/{self.target.name}"

    @property
    def logins(self) -> tuple[str, ...]:
        """The logins between which rotations alternate."""
        return logins_of(self.username, self.strategy)

    @property
    def every_login(self) -> tuple[str, ...]:
        """Every login that may have a credential of the account: an adopted account logs in under its own name."""
        return (*self.logins, *({self.username} - set(self.logins)))

    @property
    def alternates(self) -> bool:
        """Whether the server accepts the previous credential next to the new one."""
        return self.strategy is Strategy.ALTERNATING_USERS

    @property
    def deletes(self) -> bool:
        """Whether the deletion of the ManagedSecret closes the logins."""
        return self.deletion is DeletionPolicy.DELETE

    @property
    def repairs(self) -> bool:
        """Whether a refused published credential is set again."""
        return self.drift is Drift.REPAIR


def logins_of(username: str, strategy: Strategy) -> tuple[str, ...]:
    """Return the logins of an account between which rotations alternate."""
    match strategy:
        case Strategy.ALTERNATING_USERS:
            return f"{username}_a", f"{username}_b"
        case Strategy.SINGLE_USER:
            return (username,)
        case _:
            assert_never(strategy)


def database_of(spec: Database | None) -> DatabaseDesired | None:
    """Complete `spec.database` from the defaults; None without one."""
    if spec is None:
        return None
    probe = spec.probe
    return DatabaseDesired(
        target=spec.target_ref,
        username=spec.username,
        strategy=spec.strategy or Strategy.ALTERNATING_USERS,
        password=spec.password_value or PASSWORD,
        sessions=spec.sessions or Sessions.KEEP,
        probe_interval=(probe.every if probe else None) or _DEFAULT_PROBE,
        drift=(probe.drift if probe else None) or Drift.REPAIR,
        template=spec.template,
        deletion=spec.deletion_policy or DeletionPolicy.RETAIN,
    )
