"""A Kubernetes operator that owns the whole life of a secret.

One reconcile of a ManagedSecret
    1. `controllers.kopf_source` receives a watch event, `controllers.event_handlers` puts the object into the
       informer cache (`kube.cache`) and its key into the work queue (`controllers.workqueue`).
    2. A worker of `controllers.manager` takes the key and calls `controllers.managedsecret.reconcile`.
    3. `observe` builds an observation (`core.observation`): the spec with its class, facts of state Secret and
       target Secret, consumers, store reads, emergencies. Observations hold facts, never values.
    4. `core.rotation.decision.next_step` returns one step, or none.
    5. `execute` carries the step out: a new revision (`generate`), a write (`write`), a restart, a push, a lease.
    6. Steps 3 to 5 repeat until no step is left; `report` writes status, events and metrics.

Packages, each imports only those below it
    cli           commands of `keyturn` and `kubectl keyturn`
    controllers   the process: sources of events, work queue, reconcilers
    checklist     the points of `keyturn audit`      |  installation  CRDs, and checks of a cluster
    endpoints     HTTP servers: metrics, probes, audit webhook, dashboard
    stores        external secret stores             |  offline       .env files, conversion of manifests
    kube          client of the API server and cache |  generators    new values
    templates     Liquid templates of a Secret
    runtime       logs, metrics, threads, TLS
    core          decisions: pure functions over observations
    api           models of the custom resources

Vocabulary
    revision      the values of all items at one time; the state Secret keeps several
    target        the native Secret that workloads read
    state         the record in the state Secret: revisions, leases, handled triggers
    item          one entry of `spec.data`: generated, pulled from a store, or literal
    consumer      a workload that uses the target
    overlap       the time for which the previous values stay valid
    lease         a dynamic credential of a store, renewed and revoked
"""

__version__ = "0.1.0"
