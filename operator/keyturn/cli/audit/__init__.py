"""Command `keyturn audit`: runs the checklist and prints or publishes its reports.

`command` holds the click command and imports the other modules when it runs, so that help stays fast.

Imports: what `cli` may import.
"""
