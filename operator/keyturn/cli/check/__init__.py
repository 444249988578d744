"""Command `keyturn check`: checks of a cluster against this version.

`command` holds the click command and imports the other modules when it runs, so that help stays fast.

Imports: what `cli` may import.
"""
