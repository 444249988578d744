"""The record of a ManagedSecret in its state Secret.

The state is written before the target: a process that dies between two writes leaves what the next one needs.

Modules
    state      `StateFacts`: revisions, triggers, leases, pushes, credentials; `State`: facts and values
    revision   one revision: its values, and its facts: reason, time, what changed, end of the overlap
    records    a login of a database account, and how far the server knows it; a lease of a dynamic credential

`StateFacts` is what observations carry; values stay in `State`, which is dropped after a reconcile.

Imports: `core.spec`, `core.value`, and `api`.
"""
