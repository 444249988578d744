"""The record of a ManagedSecret in its state Secret.

The state is written before the target: a process that dies between two writes leaves what the next one needs.

Modules
    state      `State` with values and `StateFacts` without: revisions, current revision, triggers, leases, pushes
    revision   one revision: values, reason, time, what changed, and until when previous values stay valid
    lease      a dynamic credential of a store

`StateFacts` is what observations carry; values stay in `State`, which is dropped after a reconcile.

Imports: `core.spec`, `core.value`, and `api`.
"""
