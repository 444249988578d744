"""Executes one step: at most one write, which is idempotent.

State and target Secret are written over the version that was read, and compared with what was sent.
"""

from dataclasses import replace
from datetime import datetime
from http import HTTPStatus

from keyturn.controllers.context import Context
from keyturn.core.keys import ObjectKey, WorkloadKey
from keyturn.core.labels import ARGO_SECRET_TYPE
from keyturn.core.observation.observed import Managed, Observed, Specified
from keyturn.core.rotation import steps
from keyturn.core.rotation.emergency import answered
from keyturn.core.rotation.ownership import (
    binder_of,
    changed_on_write,
    with_change,
    with_repair,
    with_unchanged_write,
)
from keyturn.core.rotation.publication import publication_time
from keyturn.core.rotation.rollout import next_marker
from keyturn.core.rotation.rollout_obstacles import is_deletable
from keyturn.core.spec.desired import secret_of
from keyturn.core.state.state import State, state_name
from keyturn.core.status.status import history_of
from keyturn.kube import errors, paths
from keyturn.kube.pods import delete_pod, evict_pod
from keyturn.kube.secret_informer import meta_of
from keyturn.kube.state_secret import fitted, require_room, too_large
from keyturn.kube.target_secret import LARGEST, Stamp, size_of, target_body, target_facts
from keyturn.kube.wire import Body
from keyturn.kube.workloads import restart, workload_of

from .account.change import change_account
from .adoption import adopt, claim
from .consumers import consumer_of
from .generate import generate_revision
from .leases import revoke_lease
from .memory import Pass
from .push import delete_pushed_key, push, set_finalizer
from .retries import state_conflict
from .secret_reads import SecretReads


def require_state(state: State | None, key: ObjectKey) -> State:
    """Return a state that was observed.

    Raises:
        Conflict: It was deleted since.
    """
    if state is None:
        raise state_conflict(key, "Deleted")
    return state


# State Secret


async def write_state(state: State, this: Pass) -> None:
    """Write a state.

    Raises:
        Stalled: The stored object differs from what was sent.
    """
    key, observed, memory, context = this.key, this.observed, this.memory, this.context
    name = state_name(key.name)
    there = context.cache.secret(key.namespace, name)
    binder = binder_of(observed, state.facts) if isinstance(observed, Specified) else ""
    state = state.with_facts(replace(state.facts, history=tuple(history_of(observed))))
    state, body = fitted(key, state, there.resource_version if there else None, binder)
    if there is None:
        keeps = any(item.keep_previous for item in observed.desired.items) if observed.desired else False
        require_room(body, keeps_previous=keeps)
    body["metadata"]["labels"] = _labels(observed) | body["metadata"]["labels"]
    memory.stores.leases.note_sent(key, state.facts)
    written = await _write_secret(body, this)
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


async def write_target(step: steps.TargetWrite, this: Pass) -> None:
    """Write the target Secret with the current revision.

    Raises:
        Conflict: The stored object differs from what was sent; the next observation reports it.
    """
    key, observed, memory, context = this.key, this.of_case(Managed), this.memory, this.context
    published = publication_time(step, observed, context.now())
    state = require_state(await memory.secrets.state(key), key)
    body = await _body(state, published, key, observed, memory.secrets)
    written = await _write_secret(body, this)
    meta = meta_of(written)
    memory.secrets.put_target(key, written)
    context.cache.put_secret(meta)
    if isinstance(step, steps.Publish):
        memory.writes.publish(key, state.facts.current_number, meta.resource_version)
    what = None if _is_as_sent(written, body) else _difference(written, key, observed, state)
    if what:
        memory.drift[key] = with_change(observed, what)
        raise errors.Conflict("update", paths.secret(key.namespace, meta.name), 0, "Changed")
    is_repair = isinstance(step, steps.Repair)
    if history := with_repair(observed) if is_repair else with_unchanged_write(observed):
        memory.drift[key] = history
    else:
        memory.drift.pop(key, None)  # which ends the back-off
    memory.secrets.put_in_sync(key, observed)


async def _body(
    state: State, published: datetime, key: ObjectKey, observed: Managed, secrets: SecretReads
) -> Body:
    desired, facts = observed.desired, state.facts.current
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


def _difference(written: Body, key: ObjectKey, observed: Managed, state: State) -> str | None:
    """Return what a webhook has changed in a written Secret; the next observation would find the same."""
    facts = target_facts(written, key, observed.uid, observed.desired, state, observed.now)
    if facts.differs:
        return ", ".join(sorted(facts.differs))
    return None if facts.has_metadata_of_spec else "its labels and annotations"


async def _write_secret(body: Body, this: Pass) -> Body:
    """Write a Secret; observe again only if the watch reported another write of it meanwhile."""
    key, memory, context = this.key, this.memory, this.context
    writing = memory.writes.begin(key, body["metadata"]["name"])
    ours: set[str] = set()
    try:
        written = await _put_secret(key, body, memory.secrets, context)
        ours.add(written["metadata"]["resourceVersion"])
    finally:
        memory.writes.end(key)
        if writing.observed - ours:
            context.queue.add(key)
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


async def execute_step(step: steps.Step, this: Pass) -> None:  # one case per step
    """Execute one step.

    Raises:
        ApiError: The write failed; the earlier object is unchanged.
    """
    match step:
        case steps.TargetWrite():
            await write_target(step, this)
        case steps.RollOut():
            await _roll(step, this)
        case steps.DeletePod():
            await _delete_pod(step, secret_of(this.observed.managed), this.context)
        case steps.EvictPod(pod=pod):
            this.memory.pods.note_eviction(
                this.key, pod.uid
            )  # the next one follows the next read, in any result
            await evict_pod(this.context.api, this.key.namespace, pod.name, pod.uid)
        case steps.Finalize():
            await set_finalizer(step, this.key, this.observed, this.context)
        case steps.Claim() | steps.Adopt() | steps.Stage() | steps.StateChange():
            await write_state(await _state_after(step, this), this)
        case steps.Rest():
            pass
        case _:
            await _execute_outside(step, this)


# State Secret


async def _state_after(
    step: steps.Claim | steps.Adopt | steps.Stage | steps.StateChange, this: Pass
) -> State:
    """Return the state that a step writes."""
    key, observed, memory, context = this.key, this.observed, this.memory, this.context
    if isinstance(step, steps.Claim):
        return await claim(step, key, this.of_case(Specified), memory.secrets, context)
    before = await _state_as_seen(this)
    if isinstance(step, steps.Adopt | steps.Stage | steps.Close) and observed.account_desired:
        memory.accounts.of(key).renew()
    if isinstance(step, steps.Adopt):
        return await adopt(step, key, this.of_case(Specified), before, memory.secrets, context)
    if isinstance(step, steps.Stage):
        generated = memory.generated
        answers = answered(observed, step.reason.name) if observed.emergencies else frozenset[str]()
        generated.forget_exposed(key, answers)
        return await generate_revision(step, key, this.of_case(Specified), before, generated, context)
    if isinstance(step, steps.Intend):  # a different push, which starts without back-off
        memory.stores.pushes.forget_place(key, step.record.place)
    state = require_state(before, key)
    return state.with_facts(step.recorded(state.facts, observed, context.now()))


async def _state_as_seen(this: Pass) -> State | None:
    """Read the state from which the step was chosen.

    Raises:
        Conflict: The state has changed: an earlier attempt succeeded, though its response was lost.
    """
    state = await this.memory.secrets.state(this.key) if this.observed.state else None
    if (state.facts if state else None) != this.observed.state:
        raise state_conflict(this.key, "Changed")
    return state


async def _execute_outside(step: steps.StoreStep | steps.Account, this: Pass) -> None:
    """Run an operation at a store or a database and record it; its failure is kept in memory."""
    key, memory, context = this.key, this.memory, this.context
    state, stores = require_state(await _state_as_seen(this), key), memory.stores
    match step:
        case steps.Push():
            after = await push(step, key, state, stores.pushes, context)
        case steps.Withdraw():
            after = await delete_pushed_key(step, key, state, stores.pushes, context)
        case steps.GiveBack():
            after = await revoke_lease(step, key, state, stores.leases, context)
        case _:
            version = memory.secrets.state_version(key)
            after = await change_account(step, key, this.observed, state, version, memory.accounts, context)
    if after is not None:
        await write_state(after, this)


# Workloads


async def _roll(step: steps.RollOut, this: Pass) -> None:
    """Restart a workload, one Secret at a time: two concurrent restarts would undo each other's marker."""
    observed, context, planned = this.of_case(Managed), this.context, step.consumer.workload
    template_key = planned.template_of or planned.key
    async with this.memory.restart_locks.of(template_key):
        workload = context.cache.workload(planned.key)
        if workload is None:
            return
        found = consumer_of(workload, observed.desired.secret, context.cache, context.now())
        marker = next_marker(replace(found, pods=step.consumer.pods), observed)
        if marker != workload.marker:
            with context.own_writes.of(template_key):
                try:
                    body = await restart(context.api, workload, marker)
                except errors.Conflict:
                    await _read_again(template_key, context)
                    raise
                _note(template_key, body, context)


async def _read_again(key: WorkloadKey, context: Context) -> None:
    """Put a workload into the cache as it is now: its watch may not have reported yet that it was created again."""
    path = paths.workloads(key.kind, key.namespace)
    pages = context.api.pages(path, {"fieldSelector": f"metadata.name={key.name}"})
    bodies = [body async for page in pages for body in page.items]
    if not bodies:
        raise errors.NotFound("list", path, HTTPStatus.NOT_FOUND, "NotFound")
    for body in bodies:
        _note(key, body, context)


def _note(key: WorkloadKey, body: Body, context: Context) -> None:
    """Put an answer into the cache, unless the watch was faster."""
    if context.cache.record_version(key, body):
        context.cache.put_workload(workload_of(key.kind, body))


async def _delete_pod(step: steps.DeletePod, secret: str, context: Context) -> None:
    """Delete a pod that its StatefulSet does not replace, if the StatefulSet is unchanged since the decision."""
    key = step.consumer.workload.key
    context.pods.forget(key)  # the next observation reads the pods again, whether or not this succeeds
    try:
        body = await context.api.get(paths.workload(key.kind, key.namespace, key.name))
    except errors.NotFound:
        return
    if is_deletable(step.pod, workload_of(key.kind, body), secret, step.rolled_back):
        await delete_pod(context.api, key.namespace, step.pod)
