"""Client of the Kubernetes API server: the only place that talks to it.

Modules
    client, wire, errors, paths, paging          one call: bounded in time and attempts, fenced, bodies never quoted
    config, connection, kubeconfig, clock        which server, how it is trusted, its time
    tokens, jwt, callers                         tokens of ServiceAccounts; authentication of callers
    leader_election, lease_holder                the Lease
    target_secret, state_secret                  Secrets of ours
    secret_informer, secret_poller, secret_source   how changes of Secrets are noticed: watch, or reads
    workloads                                    restarts
    pods, pod_body                               pods of a workload: requests, when they are read, parser
    namespace_pods                               all pods that use Secrets
    events, status                               Events; writes of a status
    cache                                        informer cache

Errors are typed (`errors.NotFound`, `errors.Conflict`, ...) and never carry a body.

Imports: `runtime`, `core`, `api`.
"""
