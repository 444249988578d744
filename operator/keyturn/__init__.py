"""A Kubernetes operator that owns the whole life of a secret.

One reconcile of a ManagedSecret
    1. `controllers.kopf_source` receives a watch event (`kube.secret_informer` those of Secrets);
       `controllers.event_handlers` puts the object into the informer cache (`kube.cache`), and the keys that it
       affects into the work queue (`controllers.workqueue`).
    2. On the leader, `controllers.manager` hands each key to `controllers.managedsecret.reconcile`.
    3. `observe` builds an observation (`core.observation`): the spec with its class, facts of state Secret and
       target Secret, consumers, store reads, emergencies. Observations hold facts, never values.
    4. `core.rotation.decision.next_step` returns one step; `Rest` if nothing is to be done.
    5. `execute` carries the step out: a new revision (`generate`), a write (`write`), a restart, a push, a lease.
    6. 3 to 5 repeat until no step is left; `report` writes status, Events and metrics. The key is due again at the
       time that the reconcile returns, or with the next event.

Packages, each imports only those below it, and none of its own line
    cli           commands of `keyturn` and `kubectl keyturn`
    controllers   the process: sources of events, work queue, reconcilers
    checklist     the points of `keyturn audit`      |  installation  CRDs, and checks of a cluster
    endpoints     HTTP servers: metrics, probes, audit webhook
    databases     database servers, and the accounts whose passwords are set there
    stores        external secret stores             |  offline       .env files, conversion of manifests
    kube          client of the API server and cache |  generators    new values
    templates     Liquid templates of a Secret
    runtime       logs, metrics, threads, TLS
    core          decisions: pure functions over observations
    api           models of the custom resources

docs/architecture.md has the same in pictures, a crash at each step, and a table "to change X, look at Y".

Vocabulary
    revision      the values of all items at one time; the state Secret keeps several
    target        the native Secret that workloads read
    state         the record in the state Secret: revisions, leases, pushes, handled triggers
    item          one entry of `spec.data` or `spec.dataFrom`: generated, pulled from a store, or literal
    observation   the facts from which the next step follows
    step          one idempotent write; `core.rotation.steps` lists all
    consumer      a workload that uses the target
    marker        the annotation of its pod template with the revision that its pods read
    overlap       the time for which the previous values stay valid
    lease         a dynamic credential of a store, renewed and revoked
"""

__version__ = "0.1.0"
