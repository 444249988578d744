"""Other operators that set the password of a role, as the labels of the role's Secret name them.

Sources: CloudNativePG, "Labels and Annotations", and Postgres Operator of Zalando, `cluster_labels` and
`cluster_name_label` with their defaults.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from keyturn.api.database import CNPG_CLUSTER, CNPG_RELOAD, OF_SPILO, SPILO_CLUSTER

if TYPE_CHECKING:
    from collections.abc import Mapping


class AccountManager(NamedTuple):
    """An operator that sets the password of a Secret at a database server."""

    operator: str
    label: str
    """The label of the Secret that tells it."""
    remedy: str
    """What releases the role, or what to write instead."""


_OF_CLUSTER: Final = AccountManager(
    "CloudNativePG",
    CNPG_CLUSTER,
    "write another database.username and another target.name, because a Cluster keeps its own roles",
)
_OF_RELOADED: Final = AccountManager(
    "CloudNativePG",
    CNPG_RELOAD,
    "remove the role from spec.managed.roles of its Cluster, then that label from the Secret",
)
_OF_SPILO: Final = AccountManager(
    "Zalando's operator",
    "{}={}".format(*OF_SPILO),
    "remove the user from spec.users and spec.usersWithSecretRotation of its postgresql, then that label from the"
    " Secret",
)


def manager_of(labels: Mapping[str, str]) -> AccountManager | None:
    """Return the operator that sets the password of a Secret with these labels; None without one."""
    if CNPG_CLUSTER in labels:
        return _OF_CLUSTER
    if CNPG_RELOAD in labels:
        return _OF_RELOADED
    return _OF_SPILO if OF_SPILO in labels.items() and SPILO_CLUSTER in labels else None
