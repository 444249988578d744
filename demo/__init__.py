"""Demonstration of Keyturn on a real control plane: `python -m demo`, or `make demo`.

`story` is the first chapter, `database` the second, with `pods` that run `application`; `terminal` has the screen and
the commands. `checkout` is `make run`.
"""
