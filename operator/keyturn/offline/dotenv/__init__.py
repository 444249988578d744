"""The same declarations without a cluster: .env files, secrets for compose, manifests for Kubernetes.

A `Document` is a .env file byte for byte. A `Declaration` names the source of each variable's value: a hint beside it
in .env.example, its name (`inference`), or a ManagedSecret (`read_manifests`). `generate` makes missing values with
the operator's own generators and templates. `environments` compares the files, `initialise` fills them, `render`,
`write_manifest` and `run` pass them on.

Nothing here speaks to an API server, and no sentence, exception or printed line holds a value.

Imports: `generators`, `templates`, `runtime`, `core`, `api`.
"""
