"""Demonstration of Keyturn on a real control plane: `python -m demo`, or `make demo`.

`story` is the first chapter, `database` the second, with `pods` that run `application`; `cluster` has the clusters,
`terminal` the screen and the commands. Only `values` reads values, to compare them. `checkout` is `make run`.
"""
