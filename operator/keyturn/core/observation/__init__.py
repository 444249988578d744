"""Facts that one observation of a ManagedSecret has found, never values.

`observed.Observed` is the input of every decision. `controllers.managedsecret.observe` builds it; tests build it with
`tests/unit/core/builders.py`; `keyturn plan` changes copies of it.

Modules
    observed      `Observed`: target, state, consumers, class, emergencies, back-off of restarts and of drift repair
    workload      a workload: its references to Secrets, and its restart marker
    workload_kinds   table of the kinds: API, template, when a rollout is complete
    pods          pods of a workload
    holders       pods of a namespace that use Secrets, and their owners
    store_reads   results of store reads and pushes
    health        health of a store or of a database server
    account       what the process knows of a database account: the last probe, the operation in progress
    account_manager   another operator that sets the password of an account, by the labels of its Secret
    emergency     an emergency as one secret observes it

Imports: `core.policy`, `core.state`, `core.spec`, and `api`.
"""
