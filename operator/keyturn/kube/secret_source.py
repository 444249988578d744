"""Choice between the two sources of changes of Secrets: informer or poller."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from .cache.cache import InformerCache
    from .client import Api
    from .secret_informer import SecretInformer, SecretMeta
    from .secret_poller import SecretPoller

SecretSource: TypeAlias = "SecretInformer | SecretPoller"


class OnGone(Protocol):
    """Callback for a deleted Secret."""

    def __call__(self, namespace: str, name: str, version: int | None = None) -> None:
        """`version` is one at which it was absent, if the source knows one."""


class SourceKind(enum.StrEnum):
    """Source of changes of Secrets."""

    WATCH = "watch"
    """List and watch of all labelled Secrets: changes arrive at once, and the permission covers every Secret."""
    BY_NAME = "by-name"
    """Polling by name: changes are found within a minute, without permission to list Secrets."""


def secret_source(
    kind: SourceKind,
    api: Api,
    namespaces: Collection[str] | None,
    cache: InformerCache,
    told: tuple[Callable[[SecretMeta], None], OnGone],
) -> SecretSource:
    """Return the source; `told` are its callbacks for changed and for deleted Secrets."""
    if kind is SourceKind.BY_NAME:
        from .secret_poller import SecretPoller  # noqa: PLC0415  # commands need the enum only

        return SecretPoller(api, cache, *told)
    from .secret_informer import SecretInformer  # noqa: PLC0415

    return SecretInformer(api, namespaces, *told, cache.labelled_secrets)
