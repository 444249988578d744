"""Checks of a cluster: what `keyturn check` asks, and the operator at its start.

Modules, one question each
    api_server           version and clock of the API server
    schemas              fields of the installed CRDs
    rights               rights of the operator, and which manifest grants each
    deployment, election   pods of the operator, and its leader
    operator_namespace   Pod Security and admission policies
    versions             versions of the command line and the operator
    point                a result

A check only reads; what it may not read is unknown, never in order.

Imports: `installation.crds`, `kube`, `core`, `api`.
"""
