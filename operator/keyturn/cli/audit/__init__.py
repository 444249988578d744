"""Command `keyturn audit`: runs the checklist and prints its report.

`command` holds the click command and imports `run` when it runs, so that help stays fast.

Imports: what `cli` may import.
"""
