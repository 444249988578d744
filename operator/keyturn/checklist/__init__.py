"""The checklist of eight points of `keyturn audit`.

Modules
    cluster           runs the points that need a cluster: 1, 3, 5, 7 and 8 are here
    schedule          point 6, and the document of the rotation schedule
    source_control    point 2: what is a secret in a repository
    git               the repository: files, history, and what it ignores
    facts             what a point reads, each thing once, and why something cannot be read
    strength_estimate which values are certainly weak; the operator uses it too
    monitor           points 4 and 5 by metrics, and evidence that the running operator collects
    backup            age files with the state Secrets of a namespace, restore, drill

Imports: `endpoints`, `offline`, `kube`, `generators`, `runtime`, `core`, `api`.
"""
