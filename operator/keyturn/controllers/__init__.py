"""The process: sources of events, work queue, reconcilers, and what they share.

Modules
    manager                          parts of the process, their start and end
    kopf_source                      kopf: watches and process life cycle; no other module imports it
    event_handlers                   events to cache and queue
    cache_sync                       first list and sweep; which kinds are served; liveness of watches
    start                            objects that a start leaves at rest; reads of all others, in pages
    workqueue                        keys with delays, priorities and fairness between namespaces
    context                          clients, cache and clock that reconcilers share; background jobs; own writes
    secretclass, external_health     reconcilers of SecretClass; of stores and database targets
    cluster_checks, object_metrics   checks of CRDs and permissions; samples for /metrics

Packages
    managedsecret, emergency      reconcilers of two kinds

Imports: every package but `cli` and `offline`.
"""
