"""Command `keyturn version`: versions of the command line, the operator and Kubernetes.

`command` holds the click command and imports the other modules when it runs, so that help stays fast.

Imports: what `cli` may import.
"""
