"""The two ways in which an operator learns that a Secret of ours has changed."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, TypeAlias

from .secret_informer import SecretWatch
from .secret_poller import SecretReads

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from .client import Api
    from .secret_informer import SecretMeta
    from .secret_poller import Named

__all__ = ["Sight", "SightOf", "sight_of"]

SightOf: TypeAlias = SecretWatch | SecretReads


class Sight(enum.StrEnum):
    """What the operator asks the API server for."""

    WATCH = "watch"
    """A list and a watch of all that bear our label: told at once, with a right that reads every Secret."""
    BY_NAME = "by-name"
    """Each Secret that a ManagedSecret names, by that name and in turn: found within a minute, without that right."""


def sight_of(
    sight: Sight,
    api: Api,
    namespaces: Collection[str] | None,
    named: Named,
    told: tuple[Callable[[SecretMeta], None], Callable[[str, str], None]],
) -> SightOf:
    """Return what tells of Secrets that are there, and of those that are not any more."""
    if sight is Sight.BY_NAME:
        return SecretReads(api, named, *told)
    return SecretWatch(api, namespaces, *told)
