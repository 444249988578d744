"""Model of `spec.account`: the account of a database server that a generated password belongs to."""

from enum import StrEnum
from typing import Annotated, Final

import pydantic

from .base import AS_SET, Duration, Schema, Spelled, rules
from .meta import Name
from .target import DeletionPolicy

USERNAME: Final = "username"
"""The key of the Secret with the login that the password belongs to."""
PASSWORD: Final = "password"  # noqa: S105  # a name
"""The item of data that is the password unless passwordValue names another."""

_Username = Annotated[
    str,
    Spelled(
        r"^[A-Za-z0-9_.-]+$",
        "a username has 1 to 60 letters, digits, '_', '.' and '-'; write a name such as orders_app",
        60,
    ),
]
NO_SCHEMA_OF_THE_SERVER: Final = (
    "!self.matches('^(?i)(pg_.*|information_schema)$')",
    "pg_* and information_schema are of the server, and show passwords; write a schema of the application",
)
SchemaName = Annotated[
    str,
    Spelled(
        r"^[A-Za-z_][A-Za-z0-9_$-]*$",
        "write the name of a schema such as public: letters, digits, '_', '-' and '$', a letter or '_' at its start",
        63,
        (NO_SCHEMA_OF_THE_SERVER,),
    ),
]


class TargetKind(StrEnum):
    """The kinds of database target."""

    DATABASE_TARGET = "DatabaseTarget"
    CLUSTER_DATABASE_TARGET = "ClusterDatabaseTarget"


class Strategy(StrEnum):
    """How the server accepts the old and the new credential during an overlap."""

    ALTERNATING_USERS = "AlternatingUsers"
    SINGLE_USER = "SingleUser"


class Sessions(StrEnum):
    """What happens to open sessions of a credential that is revoked."""

    KEEP = "Keep"
    TERMINATE = "Terminate"


class Drift(StrEnum):
    """What happens when the server refuses the published credential."""

    REPAIR = "Repair"
    REPORT = "Report"


class Privilege(StrEnum):
    """What a new account may do in the schemas besides their USAGE."""

    SELECT = "SELECT"
    INSERT = "INSERT"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    CREATE = "CREATE"


class TargetRef(Schema):
    """A reference to a database server."""

    kind: TargetKind | None = None
    """DatabaseTarget (the default), of the same namespace, or ClusterDatabaseTarget."""
    name: Name
    """The name of the target."""


_NOT_TOO_OFTEN = (
    "!has(self.every) || self.every.matches('[1-9][0-9]*[mhdw]|[6-9][0-9]s|[1-9][0-9][0-9]+s')",
    "a probe is one login at the server; write 1m or longer, such as 10m",
    ".every",
)


class Probe(Schema):
    """How the published credential is checked at the server."""

    model_config = pydantic.ConfigDict(json_schema_extra=rules(_NOT_TOO_OFTEN))

    every: Duration | None = None
    """The interval between two logins with the published credential; 10m if absent."""
    drift: Drift | None = None
    """Repair (the default) sets the current password again when the server refuses it, Report only reports that."""


class AccountTemplate(Schema):
    """What a new account may do; an account that exists keeps its privileges."""

    schemas: list[SchemaName] | None = pydantic.Field(
        None, min_length=1, max_length=16, json_schema_extra=AS_SET
    )
    """The schemas that the account may use, such as public; they exist, and the target allows them."""
    privileges: list[Privilege] | None = pydantic.Field(
        None, min_length=1, max_length=5, json_schema_extra=AS_SET
    )
    """The privileges on all tables of these schemas, CREATE on the schemas; all but CREATE if absent."""


_ACCOUNT_STAYS = (
    (
        "self.username == oldSelf.username && self.targetRef.name == oldSelf.targetRef.name"
        " && (has(self.targetRef.kind) ? self.targetRef.kind : 'DatabaseTarget')"
        " == (has(oldSelf.targetRef.kind) ? oldSelf.targetRef.kind : 'DatabaseTarget')"
        " && (has(self.postgresql) && has(self.postgresql.strategy) ? self.postgresql.strategy : 'AlternatingUsers')"
        " == (has(oldSelf.postgresql) && has(oldSelf.postgresql.strategy) ? oldSelf.postgresql.strategy"
        " : 'AlternatingUsers')"
        " && (has(self.passwordValue) ? self.passwordValue : 'password')"
        " == (has(oldSelf.passwordValue) ? oldSelf.passwordValue : 'password')"
    ),
    (
        "username, targetRef, postgresql.strategy and passwordValue stay as they are, because open credentials belong"
        " to them; create another ManagedSecret for another account"
    ),
)


class AccountOfPostgresql(Schema):
    """What an account has only at PostgreSQL."""

    strategy: Strategy | None = None
    """AlternatingUsers (the default) has two logins, <username>_a and <username>_b; SingleUser has one, whose old
    password fails between the change at the server and the restart of each pod."""
    template: AccountTemplate | None = None
    """What a new account may do; without it, the account must exist already."""


RULES_OF_ADMINS: Final = (
    r"[+](@(all|admin|dangerous)|acl|config|debug|module|replicaof|slaveof|shutdown|psync|sync|replconf|failover|cluster)"
    r"([|].*)?"
)
"""Rules with which a user could change its own or others' passwords, or administer the server."""
RedisRule = Annotated[
    str,
    Spelled(
        r"^([~&][!-~]+|%[RW]+~[!-~]+|[+-]@?[A-Za-z0-9_|.-]+|(all|reset)(keys|channels)|nocommands)$",
        "write keys, channels and commands, such as ~orders:*, &orders:* and +@read, and none that sets a password",
        256,
        (
            (
                f"!self.matches('^(?i){RULES_OF_ADMINS}$')",
                "such a rule lets a user change passwords or administer the server; write +@read or the like",
            ),
        ),
    ),
]


class AccountOfRedis(Schema):
    """What an account has only at Redis and Valkey."""

    rules: list[RedisRule] = pydantic.Field(min_length=1, max_length=64)
    """What a new user may do, in the order of ACL SETUSER, such as ~orders:* and +@read; one that exists keeps its
    rules."""


class Account(Schema):
    """The account of a server that learns each new password before the Secret has it."""

    model_config = pydantic.ConfigDict(json_schema_extra=rules(_ACCOUNT_STAYS))

    target_ref: TargetRef
    """The server of the account."""
    username: _Username
    """The name of the account; the key username of the Secret has the login that works now."""
    password_value: str | None = pydantic.Field(None, min_length=1, max_length=253)
    """The name of the item of data that is the password; password if absent."""
    sessions: Sessions | None = None
    """Keep (the default) leaves open sessions of a revoked credential to the application, Terminate ends them."""
    probe: Probe | None = None
    """How the published credential is checked at the server."""
    deletion_policy: DeletionPolicy | None = None
    """Retain (the default) leaves the account open when the ManagedSecret is deleted, Delete closes its logins."""
    postgresql: AccountOfPostgresql | None = None
    """What the account has only at PostgreSQL."""
    redis: AccountOfRedis | None = None
    """What the account has only at Redis and Valkey."""

    @property
    def template(self) -> AccountTemplate | AccountOfRedis | None:
        """Return what a new account may do."""
        return self.redis or (self.postgresql.template if self.postgresql else None)

    @property
    def engines(self) -> frozenset[str]:
        """Return the engines that have settings of their own here; one at most is right."""
        return frozenset(name for name in ("postgresql", "redis") if getattr(self, name))
