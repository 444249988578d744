"""DatabaseTarget and ClusterDatabaseTarget: a database server, and the account that may change passwords there."""

from enum import StrEnum
from typing import Annotated, ClassVar, Final, NamedTuple

import pydantic

from .account import NO_SCHEMA_OF_THE_SERVER, SchemaName
from .base import AS_SET, BY_TYPE, Schema, Spelled, rules
from .meta import Conditions, Metadata, Name, ObservedGeneration
from .secretstore import AllowedNamespaces

Host = Annotated[
    str,
    Spelled(
        r"^([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)$",
        "write one host: the name of a Service of this namespace, a full name such as db.example.com, or an address",
        253,
    ),
]
_SecretKey = Annotated[
    str,
    Spelled(r"^[-._a-zA-Z0-9]+$", "a key of a Secret has letters, digits, '-', '_' or '.' only", 253),
]
DatabaseName = Annotated[
    str,
    Spelled(
        r"^[A-Za-z0-9_][A-Za-z0-9_$.-]*$",
        "write the name of one database: letters, digits and _ $ . -, no '-' or '.' at its start",
        63,
    ),
]
_Port = Annotated[int, pydantic.Field(ge=1, le=65535)]


class AccountManager(NamedTuple):
    """Another operator that sets the password of a Secret at a database server."""

    operator: str
    label: str
    """The label of the Secret that shows it: a name, or name=value."""
    remedy: str
    """What releases the role, or what to write instead."""
    also: str = ""
    """Another label that its Secrets have."""


ACCOUNT_MANAGERS: Final = (
    AccountManager(
        "CloudNativePG",
        "cnpg.io/cluster",
        "write another account.username and another target.name, because a Cluster keeps its own roles",
    ),
    AccountManager(
        "CloudNativePG",
        "cnpg.io/reload",
        "remove the role from spec.managed.roles of its Cluster, then that label from the Secret",
    ),
    AccountManager(
        "the operator of Zalando",
        "application=spilo",
        "remove the user from spec.users and spec.usersWithSecretRotation of its postgresql, then that label from the"
        " Secret",
        also="cluster-name",
    ),
)
"""Sources: CloudNativePG, "Labels and Annotations"; Postgres Operator, cluster_labels and cluster_name_label."""


class TlsMode(StrEnum):
    """How connections to the server are protected."""

    VERIFY_FULL = "verify-full"
    DISABLE = "disable"


class CertificateAuthority(Schema):
    """A key of a Secret with the certificates of an authority, in PEM."""

    name: Name
    """The name of the Secret."""
    key: _SecretKey | None = None
    """The key; ca.crt if absent."""


_NO_AUTHORITY_WITHOUT_TLS = (
    "!has(self.caRef) || !has(self.mode) || self.mode != 'disable'",
    "without TLS no certificate is checked; remove caRef, or write mode: verify-full",
    ".caRef",
)


class Tls(Schema):
    """How connections to the server are protected."""

    model_config = pydantic.ConfigDict(json_schema_extra=rules(_NO_AUTHORITY_WITHOUT_TLS))

    mode: TlsMode | None = None
    """verify-full (the default), or disable, which needs --allow-host of an administrator."""
    ca_ref: CertificateAuthority | None = None
    """The authority of the server's certificate; if absent, the ones that the operator's image trusts."""


class Endpoint(Schema):
    """A further address at which the accounts log in."""

    host: Host
    """The host, written as that of the server."""
    port: _Port | None = None
    """The port; that of the server if absent."""


class PostgresqlServer(Schema):
    """A PostgreSQL server, version 12 or newer."""

    default_port: ClassVar[int] = 5432
    host: Host
    """The host: a Service of the same namespace (a name without dot), or a full name, which leads to the primary."""
    port: _Port | None = None
    """The port; 5432 if absent."""
    database: DatabaseName
    """The database to connect to."""
    tls: Tls = Tls()
    """How connections to the server are protected."""
    also_at: list[Endpoint] = pydantic.Field(default_factory=list, min_length=1, max_length=8)
    """Further addresses at which each credential must work, such as poolers and replicas."""
    own: ClassVar[dict[str, str]] = {}


class Persistence(StrEnum):
    """Whether changes are to outlive a restart of the server."""

    SERVER = "Server"
    NONE = "None"


class RedisServer(Schema):
    """A primary of Redis, version 6 or newer, or of Valkey."""

    default_port: ClassVar[int] = 6379
    database: ClassVar[str] = ""
    host: Host
    """The host: a Service of the same namespace (a name without dot), or a full name, which leads to the primary."""
    port: _Port | None = None
    """The port; 6379 if absent."""
    tls: Tls = Tls()
    """How connections to the server are protected."""
    also_at: list[Endpoint] = pydantic.Field(default_factory=list, min_length=1, max_length=8)
    """The other nodes, which have users of their own: replicas, or a headless Service that leads to all of them."""
    persistence: Persistence | None = None
    """Server (the default) has each change saved by ACL SAVE or CONFIG REWRITE; None saves nothing, and accounts are
    set again after a restart."""

    @property
    def own(self) -> dict[str, str]:
        """Return the settings that no other engine has."""
        return {"persistence": self.persistence} if self.persistence else {}


Server = PostgresqlServer | RedisServer
"""The settings of a server, whichever its engine."""


class AdminSecret(Schema):
    """A Secret with the login of the account that changes passwords."""

    name: Name
    """The name of the Secret."""
    username_key: _SecretKey | None = None
    """The key of the login's name; username if absent."""
    password_key: _SecretKey | None = None
    """The key of the login's password; password if absent."""


class AdminCredentials(Schema):
    """The account that changes passwords; at PostgreSQL it needs CREATEROLE, and no superuser."""

    secret_ref: AdminSecret
    """The Secret with its name and password."""


_ONE_ENGINE = (
    "has(self.postgresql) != has(self.redis)",
    "write exactly one engine, such as postgresql: {host: db, database: orders}, or redis: {host: cache}",
)
_MAX_PATTERNS: Final = 64
_Pattern = Annotated[
    str,
    Spelled(
        r"^[A-Za-z0-9_.*-]+$",
        "write usernames such as orders_app or orders_*: letters, digits, '_', '.' and '-'; * stands for any of them",
        60,
    ),
]
_PatternOfAll = Annotated[
    str,
    Spelled(
        r"^[A-Za-z0-9_.-]*([{]namespace[}]([_.][A-Za-z0-9_.*-]*)?)?$",
        (
            "write exact usernames, or ones with {namespace}, such as {namespace}_*: after it an end, '_' or '.', and"
            " * only behind it, so that no namespace reaches the accounts of another"
        ),
        60,
    ),
]
_SchemaOfAll = Annotated[
    str,
    Spelled(
        r"^([A-Za-z_][A-Za-z0-9_$-]*|[{]namespace[}])$",
        "write the name of one schema such as public, or {namespace} for the schema with the name of the namespace",
        63,
        (NO_SCHEMA_OF_THE_SERVER,),
    ),
]


class _TargetSpec(Schema):
    """A server, and the account that changes passwords there."""

    postgresql: PostgresqlServer | None = None
    """A PostgreSQL server."""
    redis: RedisServer | None = None
    """A primary of Redis or Valkey."""
    admin_credentials: AdminCredentials
    """The account that changes passwords."""
    max_connections: int | None = pydantic.Field(None, ge=1, le=32)
    """The most sessions of that account at one time; 4 if absent."""

    @property
    def server(self) -> tuple[str, Server] | None:
        """Return the engine and its settings; None if this version knows none of them."""
        if self.redis:
            return "redis", self.redis
        return ("postgresql", self.postgresql) if self.postgresql else None


class DatabaseTargetSpec(_TargetSpec):
    """A server, and the account that changes passwords there; references are to its own namespace."""

    model_config = pydantic.ConfigDict(json_schema_extra=rules(_ONE_ENGINE))

    allowed_usernames: list[_Pattern] | None = pydantic.Field(
        None, min_length=1, max_length=_MAX_PATTERNS, json_schema_extra=AS_SET
    )
    """The accounts that ManagedSecrets may name, such as orders_*; every account of an application if absent."""
    allowed_schemas: list[SchemaName] | None = pydantic.Field(
        None, min_length=1, max_length=_MAX_PATTERNS, json_schema_extra=AS_SET
    )
    """The schemas in which a template may grant privileges, such as public; every one of applications if absent."""


_FULL: Final = (
    "a ClusterDatabaseTarget has no namespace of its own; write the host in full, such as db.shop.svc"
)


def _hosts_are_full(engine: str) -> tuple[tuple[str, str, str], ...]:
    """Return the rules for the hosts of one engine."""
    others = f"self.{engine}.alsoAt"
    return (
        (f"!has(self.{engine}) || self.{engine}.host.matches('[.:]')", _FULL, f".{engine}.host"),
        (
            f"!has(self.{engine}) || !has({others}) || {others}.all(e, e.host.matches('[.:]'))",
            _FULL,
            f".{engine}.alsoAt",
        ),
    )


class ClusterDatabaseTargetSpec(_TargetSpec):
    """A server for several namespaces; references are to the operator's namespace."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(_ONE_ENGINE, *_hosts_are_full("postgresql"), *_hosts_are_full("redis"))
    )

    allowed_namespaces: AllowedNamespaces | None = None
    """The namespaces whose ManagedSecrets may use the server; none if absent."""
    allowed_usernames: list[_PatternOfAll] = pydantic.Field(
        min_length=1, max_length=_MAX_PATTERNS, json_schema_extra=AS_SET
    )
    """The accounts that ManagedSecrets may name: exact ones, or of their own namespace, such as {namespace}_*."""
    allowed_schemas: list[_SchemaOfAll] | None = pydantic.Field(
        None, min_length=1, max_length=_MAX_PATTERNS, json_schema_extra=AS_SET
    )
    """The schemas in which a template may grant privileges: exact names, or {namespace}; none if absent."""


class DatabaseTargetStatus(Schema):
    """Whether the server can be used."""

    observed_generation: ObservedGeneration = None
    """The generation of the spec that this status describes."""
    engine: str | None = None
    """The engine of the server, such as postgresql."""
    version: str | None = None
    """The version of the server, as it names it."""
    server_started: str | None = None
    """When the server was started, as it says; after another time its accounts are probed."""
    conditions: Conditions = pydantic.Field(default_factory=list, json_schema_extra=BY_TYPE)
    """Ready, and Stalled while manual action is required; with one of the reasons {TargetReason}."""


class DatabaseTarget(Schema):
    """A database server of one namespace, and the account that changes passwords there."""

    metadata: Metadata
    spec: DatabaseTargetSpec
    """A server, and the account that changes passwords there; references are to its own namespace."""
    status: DatabaseTargetStatus = DatabaseTargetStatus()
    """Whether the server can be used."""


class ClusterDatabaseTarget(Schema):
    """A database server that several namespaces may use, and the account that changes passwords there."""

    metadata: Metadata
    spec: ClusterDatabaseTargetSpec
    """A server for several namespaces; references are to the operator's namespace."""
    status: DatabaseTargetStatus = DatabaseTargetStatus()
    """Whether the server can be used."""
