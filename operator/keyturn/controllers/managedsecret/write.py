"""Writes state and target Secret: each over the version that was read, and compared with what was sent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from keyturn.core.labels import ARGO_SECRET_TYPE
from keyturn.core.rotation import steps
from keyturn.core.rotation.publication import (
    changed_on_write,
    publication_time,
    with_change,
    with_repair,
    with_unchanged_write,
)
from keyturn.core.rotation.push import binder_of
from keyturn.core.state.state import state_name
from keyturn.core.status.status import history_of
from keyturn.kube import errors, paths
from keyturn.kube.secret_informer import meta_of
from keyturn.kube.state_secret import fitted, require_room, too_large
from keyturn.kube.target_secret import (
    LARGEST,
    Stamp,
    owner_of,
    released_body,
    size_of,
    target_body,
    target_facts,
)

from .errors import invalid_spec, state_conflict

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.controllers.context import Context
    from keyturn.core.keys import ObjectKey
    from keyturn.core.observation.observed import Observed
    from keyturn.core.spec.desired import Desired
    from keyturn.core.state.state import State
    from keyturn.kube.wire import Body

    from .memory import Memory
    from .secret_reads import SecretReads


def require_desired(observed: Observed) -> Desired:
    if observed.desired is None:
        raise invalid_spec()
    return observed.desired


def require_state(state: State | None, key: ObjectKey) -> State:
    """Return a state that was observed.

    Raises:
        Conflict: It was deleted since.
    """
    if state is None:
        raise state_conflict(key, "Deleted")
    return state


# State Secret


async def write_state(
    key: ObjectKey, state: State, observed: Observed, memory: Memory, context: Context
) -> None:
    """Write a state.

    Raises:
        Stalled: The stored object differs from what was sent.
    """
    name = state_name(key.name)
    there = context.cache.secret(key.namespace, name)
    binder = binder_of(observed, observed.desired, state.facts) if observed.desired else ""
    state = state.with_facts(replace(state.facts, history=tuple(history_of(observed))))
    state, body = fitted(key, state, there.resource_version if there else None, binder)
    if there is None:
        keeps = observed.desired is not None and any(item.keep_previous for item in observed.desired.items)
        require_room(body, keeps_previous=keeps)
    body["metadata"]["labels"] = _labels(observed) | body["metadata"]["labels"]
    memory.stores.leases.note_sent(key, state.facts)
    written = await _write_secret(key, body, memory, context)
    meta = meta_of(written)
    if written.get("data") != body["data"]:
        context.cache.put_secret(meta)
        raise changed_on_write(name, "what it keeps")  # a revision that is not recorded is not published
    memory.secrets.put_state(key, state, meta.resource_version)
    context.cache.put_secret(meta)


def _labels(observed: Observed) -> dict[str, str]:
    """Return the labels of the target Secret, which an admission policy may require of every Secret.

    Not the one by which Argo CD reads a Secret as a repository or cluster, nor annotations: mirroring tools copy a
    Secret into other namespaces by them.
    """
    labels = observed.desired.labels if observed.desired else {}
    return {name: text for name, text in labels.items() if name != ARGO_SECRET_TYPE}


# Target Secret


async def write_target(
    step: steps.Publish | steps.Repair | steps.Settle,
    key: ObjectKey,
    observed: Observed,
    memory: Memory,
    context: Context,
) -> None:
    """Write the target Secret with the current revision.

    Raises:
        Conflict: The stored object differs from what was sent; the next observation reports it.
    """
    is_new = isinstance(step, steps.Publish)
    published = publication_time(step, observed, context.now())
    state = require_state(await memory.secrets.state(key), key)
    body = await _body(key, observed, state, published, memory.secrets)
    written = await _write_secret(key, body, memory, context)
    meta = meta_of(written)
    memory.secrets.put_target(key, written)
    context.cache.put_secret(meta)
    if is_new:
        memory.writes.publish(key, state.facts.current_number, meta.resource_version)
    what = None if _is_as_sent(written, body) else _difference(written, key, observed, state)
    if what:
        memory.drift.keep(key, with_change(observed, what))
        raise errors.Conflict("update", paths.secret(key.namespace, meta.name), 0, "Changed")
    memory.drift.keep(
        key, with_repair(observed) if isinstance(step, steps.Repair) else with_unchanged_write(observed)
    )
    memory.secrets.put_in_sync(key, observed)


async def _body(
    key: ObjectKey, observed: Observed, state: State, published: datetime, secrets: SecretReads
) -> Body:
    desired, facts = require_desired(observed), state.facts.current
    found = await secrets.target(key, desired.secret) if observed.target else None
    stamp = Stamp(
        facts.number, published, facts.keeps_previous, observed.uid if desired.target_policy.deletes else ""
    )
    body = target_body(key, desired, state, stamp, found)
    if size_of(body) > LARGEST:
        raise too_large()
    return body


def _is_as_sent(written: Body, sent: Body) -> bool:
    """Whether all that an observation compares was stored as it was sent, which is nearly always so."""
    stored, meant = written["metadata"], sent["metadata"]
    return all(written.get(field) == sent.get(field) for field in ("data", "type", "immutable")) and all(
        stored.get(field) == meant.get(field) for field in ("labels", "annotations", "ownerReferences")
    )


def _difference(written: Body, key: ObjectKey, observed: Observed, state: State) -> str | None:
    """Return what a webhook has changed in a written Secret; the next observation would find the same."""
    facts = target_facts(written, key, observed.uid, require_desired(observed), state, observed.now)
    if facts.differs:
        return ", ".join(sorted(facts.differs))
    return None if facts.has_metadata_of_spec else "its labels and annotations"


async def release(key: ObjectKey, secret: str, context: Context) -> None:
    """Remove our label from a Secret under an earlier name; the informer no longer sees it then.

    Another ManagedSecret may own it since it was observed.
    """
    try:
        found = await context.api.get(paths.secret(key.namespace, secret))
        if owner_of(found) == key.name:
            await context.api.replace(paths.secret(key.namespace, secret), released_body(found))
    except errors.NotFound:
        pass  # already deleted
    context.cache.drop_secret(replace(key, name=secret))


async def _write_secret(key: ObjectKey, body: Body, memory: Memory, context: Context) -> Body:
    """Write a Secret; observe again only if the watch reported another write of it meanwhile.

    Raises:
        Conflict: It has changed since it was read.
    """
    writing = memory.writes.begin(key, body["metadata"]["name"])
    ours: set[str] = set()
    try:
        written = await _put_secret(key, body, memory.secrets, context)
        ours.add(written["metadata"]["resourceVersion"])
    finally:
        memory.writes.end(key)
        if writing.observed - ours:
            context.wake(key)
    return written


async def _put_secret(key: ObjectKey, body: Body, secrets: SecretReads, context: Context) -> Body:
    """Replace the version that was read, or create the Secret."""
    name = body["metadata"]["name"]
    if "resourceVersion" in body["metadata"]:
        try:
            return await context.api.replace(paths.secret(key.namespace, name), body)
        except errors.NotFound as error:
            context.cache.drop_secret(replace(key, name=name))
            raise errors.Conflict(error.verb, error.path, error.status, error.reason) from None
    try:
        return await context.api.create(paths.secrets(key.namespace), body)
    except errors.AlreadyExists as error:
        secrets.read_unlabelled(key, name)
        raise errors.Conflict(error.verb, error.path, error.status, error.reason) from None
