"""Command `keyturn plan`: simulates the next rotation on a copy of the observation.

`command` holds the click command and imports the other modules when it runs, so that help stays fast.

Imports: what `cli` may import.
"""
