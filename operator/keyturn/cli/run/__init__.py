"""Command `keyturn run`: options of the operator and its start.

`command` holds the click command and imports the other modules when it runs, so that help stays fast.

Imports: what `cli` may import.
"""
