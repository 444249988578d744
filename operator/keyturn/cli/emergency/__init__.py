"""Commands `keyturn emergency`: declare, status, acknowledge, report.

`command` holds the click command and imports `incidents` when it runs, so that help stays fast.

Imports: what `cli` may import.
"""
