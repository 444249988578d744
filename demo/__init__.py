"""The life of a secret on a real control plane, shown: `python -m demo`, or `make demo`.

`story` is what is shown, `cluster` and `node` where, `terminal` and `operator` by what means, `screen` how it looks;
`processes` asks what runs in the containers of a real node. Values are read in one place, `values`, and only to
compare them.
"""
