"""Demonstration of Keyturn on a real control plane: `python -m demo`, or `make demo`.

`story` has the chapters, `cluster` and `node` the clusters, `terminal` and `operator` run programs, `screen` prints.
`processes` queries the containers of a real node. Only `values` reads values, to compare them.
"""
