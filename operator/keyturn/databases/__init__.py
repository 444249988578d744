"""Database servers: accounts whose credentials Keyturn opens, proves and closes.

Modules
    base, errors    the interface of an engine, and what may go wrong
    engines         one module per kind of server

Imports: `runtime`, `core`.
"""
