"""The desired spec of a ManagedSecret: class and defaults filled in, flaws found.

`desired.resolve_spec(managed, secret_class, ...)` returns a `Desired`, which every decision uses instead of the raw
spec, or raises `Stalled` with what to write instead.

Modules
    desired      `Desired`: items with their keys in the target, schedule, rollout, target; rules over several fields
    references   stores: sources and push destinations; a database account: its logins, and its password
    schedule     interval, cron expression, windows and overlap; due times, and when a window is open

Imports: `core.errors`, `core.keys`, `core.value`, and `api`.
"""
