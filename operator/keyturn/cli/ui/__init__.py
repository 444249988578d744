"""Command `keyturn ui`: read-only pages in the browser, with the rights of the user's own kubeconfig.

Modules
    command   the click command; it imports the other modules when it runs
    server    a listener on the loopback address, and who may ask it
    reads     objects from the API server; a section that may not be read has a sentence instead
    pages, details, files   HTML of the overview and of single objects, and its templates

Imports: what `cli` may import.
"""
