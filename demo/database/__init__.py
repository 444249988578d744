"""Demonstration of a database password that rotates under load: `python -m demo.database`, or `make demo-database`.

`application` runs in each pod: an HTTP server with a pool of sessions. `pods` runs one process for each pod of the
fake nodes, `clients` sends requests and counts failures, `shop` is the server, `story` has the chapters.
"""
