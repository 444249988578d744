"""The checklist of eight points of `keyturn audit`: one module per point in `points` and `repository`.

Modules
    points                                     points that need a cluster: strength, environments, at_rest,
                                               access_log, schedule, recovery, revocation
    repository                                 the point source_control
    cluster                                    runs the points, and explains what cannot be read
    facts, fingerprints, condition, operator   what a point reads: each thing once, values as keyed digests
    unscheduled, strength_estimate, guesses    judgements that the operator shares
    backup                                     age files with the state Secrets of a namespace, restore, drill
    html, sarif, publishing, report_configmap  formats of a report
    evidence, monitor, probe                   proofs that the running operator collects

Imports: `endpoints`, `offline`, `kube`, `generators`, `runtime`, `core`, `api`.
"""
