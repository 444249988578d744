"""Command `keyturn convert`: manifests of other operators as ManagedSecrets.

`command` holds the click command and imports the other modules when it runs, so that help stays fast.

Imports: what `cli` may import.
"""
