"""Executes one step: at most one write, which is idempotent."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from keyturn.core.rotation import steps, transitions
from keyturn.core.rotation.rollout import next_marker
from keyturn.core.rotation.rollout_obstacles import is_deletable
from keyturn.core.status.status import Outcome, status_of
from keyturn.kube import errors, paths
from keyturn.kube.pods import delete_pod, evict_pod
from keyturn.kube.workloads import restart, workload_of

from .account.change import change_account
from .adoption import adopt, claim
from .consumers import consumer_of
from .errors import state_conflict
from .generate import generate_revision
from .leases import revoke_lease
from .push import delete_pushed_key, push, set_finalizer
from .report import write_status
from .write import release, require_desired, require_state, write_state, write_target

if TYPE_CHECKING:
    from keyturn.controllers.context import Context
    from keyturn.core.keys import ObjectKey, WorkloadKey
    from keyturn.core.observation.observed import Observed
    from keyturn.core.state.state import State
    from keyturn.kube.wire import Body

    from .memory import Memory
    from .restart_budget import RestartLocks
    from .secret_reads import SecretReads


async def execute_step(  # one case per step
    step: steps.Step, key: ObjectKey, observed: Observed, memory: Memory, context: Context
) -> None:
    """Execute one step.

    Raises:
        ApiError: The write failed; the earlier object is unchanged.
    """
    match step:
        case steps.Begin():
            await write_status(key, observed.managed, status_of(observed, Outcome(step)), context)
        case steps.Release(secret=secret):
            await release(key, secret, context)
        case steps.Publish() | steps.Repair() | steps.Settle():
            await write_target(step, key, observed, memory, context)
        case steps.RollOut():
            await _roll(step, observed, memory.restart_locks, context)
        case steps.DeletePod():
            await _delete_pod(step, require_desired(observed).secret, context)
        case steps.EvictPod(pod=pod):
            memory.holders.note_eviction(key, pod.uid)  # the next one follows the next read, in any result
            await evict_pod(context.api, key.namespace, pod.name, pod.uid)
        case steps.Finalize():
            await set_finalizer(step, key, observed, context)
        case (
            steps.Push()
            | steps.Withdraw()
            | steps.GiveBack()
            | steps.Apply()
            | steps.Prove()
            | steps.Assert()
            | steps.Revoke()
            | steps.Retire()
        ):
            await _execute_outside(step, key, observed, memory, context)
        case steps.Rest():
            pass
        case _:
            after = await _state_after(step, key, observed, memory, context)
            await write_state(key, after, observed, memory, context)


# State Secret


async def _state_after(
    step: steps.Claim | steps.Adopt | steps.Bind | steps.Stage | transitions.Recorded,
    key: ObjectKey,
    observed: Observed,
    memory: Memory,
    context: Context,
) -> State:
    """Return the state that a step writes; Bind writes the recorded one unchanged."""
    if isinstance(step, steps.Bind):
        return require_state(await memory.secrets.state(key), key)
    if isinstance(step, steps.Claim):
        return await claim(step, key, observed, require_desired(observed), memory.secrets, context)
    before = await _state_as_seen(key, observed, memory.secrets)
    if isinstance(step, steps.Adopt | steps.Stage | steps.Close) and observed.account is not None:
        memory.accounts.renew(key)
    if isinstance(step, steps.Adopt):
        return await adopt(step, key, observed, require_desired(observed), before, memory.secrets, context)
    if isinstance(step, steps.Stage):
        last, generated = memory.stores.pulls.last(key), memory.generated
        generated.forget_exposed(key, observed, step.reason.name)
        return await generate_revision(
            step, key, observed, require_desired(observed), before, last, generated, context
        )
    if isinstance(step, steps.Intend):  # a different push, which starts without back-off
        memory.stores.pushes.forget_place(key, step.record.place)
    state = require_state(before, key)
    return state.with_facts(transitions.record(step, state.facts, observed, context.now()))


async def _state_as_seen(key: ObjectKey, observed: Observed, secrets: SecretReads) -> State | None:
    """Read the state from which the step was chosen.

    Raises:
        Conflict: The state has changed: an earlier attempt succeeded, though its response was lost.
    """
    state = await secrets.state(key) if observed.state else None
    if (state.facts if state else None) != observed.state:
        raise state_conflict(key, "Changed")
    return state


async def _execute_outside(
    step: steps.Push | steps.Withdraw | steps.GiveBack | steps.DatabaseStep,
    key: ObjectKey,
    observed: Observed,
    memory: Memory,
    context: Context,
) -> None:
    """Run an operation at a store or a database and record it; its failure is kept in memory."""
    state, stores = require_state(await _state_as_seen(key, observed, memory.secrets), key), memory.stores
    match step:
        case steps.Push():
            after = await push(step, key, state, stores.pushes, context)
        case steps.Withdraw():
            after = await delete_pushed_key(step, key, state, stores.pushes, context)
        case steps.GiveBack():
            after = await revoke_lease(step, key, state, stores.leases, context)
        case _:
            reads, accounts = memory.secrets, memory.accounts
            after = await change_account(step, key, observed, state, reads, accounts, context)
    if after is not None:
        await write_state(key, after, observed, memory, context)


# Workloads


async def _roll(step: steps.RollOut, observed: Observed, locks: RestartLocks, context: Context) -> None:
    """Restart a workload, one Secret at a time: two concurrent restarts would undo each other's marker."""
    planned = step.consumer.workload
    template_key = planned.template_of or planned.key
    async with locks.of(template_key):
        workload = context.cache.workload(planned.key)
        if workload is None or observed.current is None:
            return
        desired = require_desired(observed)
        found = consumer_of(workload, desired.secret, context.cache, context.now())
        marker = next_marker(replace(found, pods=step.consumer.pods), observed, desired)
        if marker != workload.marker:
            with context.own_writes.of(template_key):
                try:
                    body = await restart(context.api, workload, marker)
                except errors.Conflict:
                    await _read_again(template_key, context)
                    raise
                _note(template_key, body, context)


async def _read_again(key: WorkloadKey, context: Context) -> None:
    """Put a workload into the cache as it is now: its watch may not have reported yet that it was created again.

    Raises:
        NotFound: It was deleted.
    """
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
