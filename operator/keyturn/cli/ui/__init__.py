"""Command `keyturn ui`: read-only pages in the browser, with the rights of the user's own kubeconfig.

Modules
    command   the click command; it imports the other modules when it runs
    server    a listener on the loopback address, and who may ask it
    pages     objects from the API server, and HTML of the overview and of single objects; files has its templates

Imports: what `cli` may import.
"""
