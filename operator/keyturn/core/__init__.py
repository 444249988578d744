"""Decisions: pure functions over an observation, without I/O, clock, randomness or kopf.

Time is an argument (`observed.now`), data is frozen, and a function returns new data. The contract "The core is
pure" in `pyproject.toml` forbids asyncio, random, secrets, os, time, aiohttp, structlog and kopf, also through
other modules.

Layers, each imports only those below it
    emergency     status, deadlines and timeline of an EmergencyRotation
    status        conditions and status of a ManagedSecret, and its summary
    rotation      steps, triggers, rollout, rollback, push, leases: what happens next
    observation   facts of one observation
    policy        class rules and checklist rules
    state         the record in the state Secret
    spec          the desired spec: class and defaults filled in
    errors, keys, labels, reasons, texts, times, value

Entry points: `spec.desired.resolve_spec`, `rotation.decision.next_step`, `status.status.status_of`,
`emergency.status.status_of`, `policy.rules.violations_of`.

Imports: `api` only. Branch coverage is 100 %, by tests in tests/unit/core.
"""
