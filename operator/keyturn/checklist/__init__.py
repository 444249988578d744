"""The checklist of eight points of `keyturn audit`.

Modules
    cluster           runs the points that need a cluster, with point 5 (access log) and 7 (recovery)
    values            points 1 (strength) and 3 (environments)
    api_server        point 4 (at rest), and what metrics say about point 5
    schedule          point 6, and the document of the rotation schedule
    revocation        point 8
    repository        the point source_control
    facts             what a point reads, each thing once, and why something cannot be read
    strength_estimate which values are certainly weak; the operator uses it too
    monitor           evidence that the running operator collects
    backup            age files with the state Secrets of a namespace, restore, drill
    sarif             a report for code hosts

Imports: `endpoints`, `offline`, `kube`, `generators`, `runtime`, `core`, `api`.
"""
