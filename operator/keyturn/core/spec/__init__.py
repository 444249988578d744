"""The desired spec of a ManagedSecret: class and defaults filled in, flaws found.

`desired.wanted_by(managed, secret_class, ...)` returns a `Desired`, which every decision uses instead of the raw
spec, or raises `Stalled` with what to write instead.

Modules
    desired      `Desired`: items, schedule, rollout, target
    items        items of `spec.data` and their keys in the target
    store_refs   references to stores: sources and push destinations
    cadence      interval, cron expression, windows and overlap of a spec and its class
    schedule     due times, and when a window is open
    selector     label selectors
    validation   rules over several fields of spec and class

Imports: `core.errors`, `core.keys`, `core.value`, and `api`.
"""
