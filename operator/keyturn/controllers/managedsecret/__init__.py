"""Reconciler of ManagedSecret: observe, choose a step, execute it, report; until no step is left.

Modules
    reconcile                       the loop, and what follows an error
    observe, resolve, secret_reads, consumers, holders, compliance   the observation
    former_secrets                  uses of Secrets under earlier names of the target
    signers                         CAs that an emergency rotates before what they sign
    rest                            whether an object is as the last pass left it at rest
    refresh, pull                   when stores are read, and the reads; memory of operations at stores
    restart_budget                  limits of restarts, in the cluster and of one workload
    retries                         when an object is reconciled again
    memory                          the owners of memory; each class with `forget` is in the module of its question
    write_memory                    writes of Secrets, which several modules use
    execute                         one step
    generate, adoption              new revisions: of generated values, of the data of an existing Secret
    write, push, leases             target and state Secret; stores
    account                         the account at a database server
    report, rollout_report, errors   status, Events, metrics, and messages of errors

Imports: `controllers.context`, `controllers.background`, `controllers.emergency`, and what controllers may import.
"""
