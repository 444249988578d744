"""Strong values in .env files, rendered for compose, shells and Kubernetes, without a cluster.

`declaration` names the source of each variable of .env.example: a hint next to it, or its name (`inference`).
`generate` makes missing values with the operator's generators and templates. `document` is a .env file byte for byte,
`environments` compares the files, `initialise` fills them, `render` passes them on, and `manifest` declares them.

`Refused` is raised wherever something cannot be read, generated or written; then no file was changed. No sentence,
exception or printed line holds a value.

Imports: `generators`, `runtime`, `core`, `api`.
"""
