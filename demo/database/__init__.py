"""Demonstration of a database password that rotates under load: `python -m demo.database`, or `make demo-database`.

`application` runs in each pod: an HTTP server with a pool of sessions. `clients` sends requests and counts failures,
`story` has the chapters, `scene` what they need of the place where they happen. In `local`, the server is `shop` and
`pods` runs one process for each pod of fake nodes; in `node`, everything runs in real pods.
"""
