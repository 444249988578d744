"""Commands `keyturn backup` and `keyturn restore`: state Secrets of a namespace in an age file.

`command` holds the click command and imports the other modules when it runs, so that help stays fast.

Imports: what `cli` may import.
"""
