"""Client of the Kubernetes API server: the only place that talks to it.

Modules
    client, wire, errors, paths      one call: bounded in time and attempts, fenced, bodies never quoted
    session                          transport of the operator over aiohttp, which authenticates each request
    config                           which server, how it is trusted, and credentials, which are renewed
    tokens                           tokens of ServiceAccounts; authentication of callers
    leader_election                  the Lease
    target_secret, state_secret      Secrets of ours
    secret_informer                  how changes of Secrets are noticed: watch, or reads
    workloads                        restarts
    pods, pod_lists                  pods: their parser; lists of a workload's, and of all that use Secrets
    events, status                   Events; writes of a status
    cache                            informer cache

Errors are typed (`errors.NotFound`, `errors.Conflict`, ...) and never carry a body.

Imports: `runtime`, `core`, `api`.
"""
