"""Reads ManagedSecrets from the cluster, by name or by selection, with messages for missing ones."""

import difflib
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, cast

import click

from keyturn.api import NEVER_OBSERVED, NEVER_RECONCILED
from keyturn.core.keys import ObjectKey
from keyturn.core.status.summary import Known
from keyturn.core.texts import first_of
from keyturn.core.times import time_of
from keyturn.kube import errors, paths
from keyturn.kube.wire import Body, Patch

from . import cluster as clusters
from .cluster import Cluster
from .options import Selection
from .printing import listed, print_lines

if TYPE_CHECKING:
    from keyturn.api.managedsecret import ManagedSecret

_FEW = 5


@dataclass(frozen=True, slots=True)
class FoundManagedSecret(Known):
    """A ManagedSecret from the API server."""

    body: Body

    @property
    def key(self) -> ObjectKey:
        return ObjectKey(self.managed.metadata.namespace, self.managed.metadata.name)


Reader: TypeAlias = Callable[[Body], FoundManagedSecret]


def found_in(body: Body) -> FoundManagedSecret:
    """Parse a ManagedSecret as the operator does."""
    from keyturn.kube.cache.objects import readable, slim  # noqa: PLC0415  # it loads the models

    managed, trouble = readable(slim(body))
    return FoundManagedSecret(managed, trouble, _created(body), body)


def shown_in(body: Body) -> FoundManagedSecret:
    """Read a ManagedSecret without the models, for commands that only show it: to load them takes half a second."""
    status = dict(body.get("status") or {})
    if status.get("observedGeneration") == NEVER_OBSERVED:
        del status["observedGeneration"]
    conditions = status.get("conditions") or ()
    status["conditions"] = [one for one in conditions if one.get("lastTransitionTime") != NEVER_RECONCILED]
    fields = _Fields({**body, "status": status})
    return FoundManagedSecret(cast("ManagedSecret", fields), None, _created(body), body)


def _created(body: Body) -> datetime:
    return datetime.fromisoformat(body["metadata"]["creationTimestamp"])


_TIMES: Final = frozenset(
    {"finishedAt", "lastRotationTime", "nextRotationTime", "provenAt", "since", "startedAt", "validUntil"}
)
_LISTS: Final = frozenset({"conditions", "history", "via", "workloads"})
"""Lists that are empty if they are absent."""
_MAPS: Final = frozenset({"annotations", "labels"})


class _Fields:
    """Fields of a JSON object under the names of the models; the API server has checked it by the CRD."""

    __slots__ = ("_json",)

    def __init__(self, json: Mapping[str, Any]) -> None:
        self._json = json

    def __getattr__(self, name: str) -> Any:
        first, *others = name.split("_")
        name = "".join([first, *map(str.title, others)])
        found = self._json.get(name)
        if name in _TIMES:
            return time_of(found)
        if name in _MAPS:
            return found or {}
        if isinstance(found, list):
            return [part for one in found if (part := _part(one)) is not None]
        return _part(found) if found is not None else [] if name in _LISTS else None


def _part(json: Any) -> Any:
    """Return a part of an object; None if it has a time that no calendar has, as the API server accepts it."""
    if not isinstance(json, dict):
        return json
    return _Fields(json) if all(time_of(json[name]) for name in _TIMES & json.keys() if json[name]) else None


def picked(json: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return fields of a JSON object, None for an absent one."""
    return {name: time_of(json.get(name)) if name in _TIMES else json.get(name) for name in names}


async def one(cluster: Cluster, name: str, read: Reader = found_in) -> FoundManagedSecret:
    """Return one ManagedSecret; for an unknown name, suggest similar ones."""
    try:
        return read(await cluster.api.get(paths.managed_secret(cluster.namespace, _checked(name))))
    except errors.NotFound:
        pass
    raise click.ClickException(await _unknown(cluster, name))


async def all_of(
    cluster: Cluster, namespace: str | None, labels: str | None = None, read: Reader = found_in
) -> list[FoundManagedSecret]:
    """Return the ManagedSecrets of a namespace, or of all; with `labels`, those that match."""
    params = {"labelSelector": labels} if labels else {}
    found, _ = await list_of(cluster, paths.managed_secrets(namespace), params, read)
    return found


async def list_of(
    cluster: Cluster, path: str, params: Mapping[str, str], read: Reader
) -> tuple[list[FoundManagedSecret], str]:
    """Return the ManagedSecrets of a list, and its version, from which a watch continues.

    Raises:
        click.UsageError: The API server cannot parse the label selector.
    """
    found: list[FoundManagedSecret] = []
    version = ""
    try:
        async for page in cluster.api.pages(path, params):
            if page.first:
                found.clear()
            found += map(read, page.items)
            version = page.resource_version
    except errors.BadRequest:
        if labels := params.get("labelSelector"):
            raise click.UsageError(
                f"{labels!r} is not a label selector;"
                " write KEY=VALUE, KEY!=VALUE, KEY or 'KEY in (A,B)', joined by commas"
            ) from None
        raise
    return found, version


async def describe_empty(cluster: Cluster) -> str:
    """Return what is unknown about a namespace without objects.

    Raises:
        click.ClickException: It does not exist.
    """
    try:
        await cluster.api.get(paths.namespace(cluster.namespace), metadata_only=True)
    except errors.NotFound:
        pass
    except errors.Forbidden:
        return "; whether this namespace exists is unknown, since you cannot get namespaces"
    else:
        return ""
    raise click.ClickException(
        f"namespace {cluster.namespace!r} does not exist; see `kubectl get namespaces`"
    )


async def describe_none(cluster: Cluster, selection: Selection) -> str:
    """Return the message for no objects; the namespace may be missing.

    Raises:
        click.ClickException: The namespace does not exist.
    """
    if selection.everywhere:
        return f"there is no ManagedSecret{selection} in the cluster"
    unknown = await describe_empty(cluster)
    return f"there is no ManagedSecret{selection} in namespace {cluster.namespace!r}{unknown}"


def print_failures(failures: Iterable["Failure | click.ClickException"]) -> None:
    for failure in failures:
        print_lines(f"Error: {failure.message}", err=True)


async def annotate(cluster: Cluster, name: str, annotation: str, text: str | None) -> FoundManagedSecret:
    """Set one annotation, or remove it with None."""
    return await change(cluster, name, {"metadata": {"annotations": {annotation: text}}})


async def change(cluster: Cluster, name: str, patch: Mapping[str, Any]) -> FoundManagedSecret:
    """Apply a merge patch to a ManagedSecret."""
    path = paths.managed_secret(cluster.namespace, _checked(name))
    try:
        return found_in(await cluster.api.patch(path, dict(patch), Patch.MERGE))
    except errors.NotFound:
        pass
    raise click.ClickException(await _unknown(cluster, name))


def _checked(name: str) -> str:
    if name in {"", ".", ".."}:
        raise click.UsageError(f"{name!r} names no ManagedSecret")
    return name


async def _unknown(cluster: Cluster, name: str) -> str:
    problem = f"there is no ManagedSecret {name!r} in namespace {cluster.namespace!r}"
    try:
        pages = cluster.api.pages(paths.managed_secrets(cluster.namespace), metadata_only=True)
        names = [body["metadata"]["name"] async for page in pages for body in page.items]
    except errors.Forbidden:
        return problem
    if like := difflib.get_close_matches(name, names, n=_FEW):
        return f"{problem}; did you mean {listed(like)}?"
    if not names:
        unknown = await describe_empty(cluster)
        return f"{problem}, which has none; another namespace is named with --namespace{unknown}"
    return f"{problem}; there is {first_of(sorted(names), _FEW)}"


# Selected ManagedSecrets: by name, by label or all, in one namespace or in all


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure for one ManagedSecret."""

    key: ObjectKey
    message: str

    @classmethod
    def of(cls, key: ObjectKey, error: click.ClickException | errors.ApiError, cluster: Cluster) -> Self:
        if isinstance(error, errors.ApiError):
            return cls(key, clusters.sentence(error, cluster.server))
        return cls(key, error.message)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Found objects and failures."""

    found: tuple[FoundManagedSecret, ...]
    failures: tuple[Failure, ...] = ()


async def find(cluster: Cluster, selection: Selection, read: Reader = found_in) -> Chosen:
    """Find the selected objects; a missing name does not prevent the others, and is an error if it is alone."""
    if not selection.names:
        namespace = None if selection.everywhere else cluster.namespace
        found = await all_of(cluster, namespace, selection.labels, read)
        return Chosen(tuple(sorted(found, key=lambda one: (one.key.namespace, one.key.name))))
    found, failures = [], []
    for name in selection.names:
        try:
            found.append(await one(cluster, name, read))
        except (click.ClickException, errors.ApiError) as error:
            if selection.name or isinstance(error, click.UsageError):
                raise
            failures.append(Failure.of(ObjectKey(cluster.namespace, name), error, cluster))
    return Chosen(tuple(found), tuple(failures))


def confirm(action: str, count: int, namespaces: int) -> None:
    """Ask for confirmation of an action in all namespaces."""
    what = f"{action} {count} ManagedSecrets in {namespaces} namespaces"
    if not sys.stdin.isatty():
        raise click.UsageError(f"this would {what}; confirm it with --yes")
    # The handler of asyncio cancels the task, which waits for the answer and does not end.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        click.confirm(f"This would {what}. Continue?", abort=True, err=True)
    except click.Abort as end:
        if isinstance(end.__context__, KeyboardInterrupt):  # for click the same as a no
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, before)
