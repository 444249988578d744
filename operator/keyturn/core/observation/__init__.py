"""Facts that one observation of a ManagedSecret has found, never values.

`observed.Observed` is the input of every decision. `controllers.managedsecret.observe` builds it; tests build it with
`tests/unit/core/builders.py`; `keyturn plan` changes copies of it.

Modules
    observed      `Observed`: target, state, consumers, class, emergencies, back-off of restarts and of drift repair
    workload      a workload and pods: their references to Secrets, restart marker, and owners
    workload_kinds   table of the kinds: API, template, when a rollout is complete
    external      store reads and pushes, a database account and who else sets its password, health of both
    emergency     an emergency as one secret observes it; label selectors

Imports: `core.policy`, `core.state`, `core.spec`, and `api`.
"""
