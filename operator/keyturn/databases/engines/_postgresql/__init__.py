"""PostgreSQL: what the engine does, imported when the first target of it is used.

Modules
    driver, connecting, codes       one session, the steps of its login, and what its failures mean
    addresses                       at which addresses of an endpoint
    scram                           keys of a password and a salt, and what a server stores of them
    catalog, facts                  what the server has of an account
    guards, rights                  which accounts are refused, and what the admin lacks
    statements, settings, quoting   the statements of each change
    operations                      changes in one transaction, behind the lock and the fence; logins

Only `driver`, `connecting` and `scram` import psycopg.
"""
