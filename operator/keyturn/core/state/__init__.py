"""The record of a ManagedSecret in its state Secret.

The state is written before the target: a process that dies between two writes leaves what the next one needs.

Modules
    state      `StateFacts`: revisions, triggers, leases, pushes, credentials; `State`: facts and values
    records    one revision: its values and facts; a login of a database account; a lease of a dynamic credential

`StateFacts` is what observations carry; values stay in `State`, which is dropped after a reconcile.

Imports: `core.spec`, `core.value`, and `api`.
"""
