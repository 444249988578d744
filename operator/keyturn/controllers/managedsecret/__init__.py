"""Reconciler of ManagedSecret: observe, choose a step, execute it, report; until no step is left.

Modules
    reconcile                    the loop
    observe, resolve, secret_reads, consumers, compliance   the observation
    signers                      CAs that an emergency rotates before what they sign
    refresh, pull                when stores are read, and the reads; memory of operations at stores
    restart_budget               limits of restarts, in the cluster and of one workload
    retries                      messages of errors, and when an object is reconciled again
    memory                       the owners of memory; each class with `forget` is in the module of its question
    execute                      one step, and the writes of target and state Secret
    generate, adoption           new revisions: of generated values, of the data of an existing Secret
    push, leases                 stores
    account                      the account at a database server
    report, account_report       status, Events and metrics

Imports: `controllers.context`, `controllers.emergency`, and what controllers may import.
"""
