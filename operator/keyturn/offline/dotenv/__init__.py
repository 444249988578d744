"""Strong values in .env files, rendered for compose, shells and Kubernetes, without a cluster.

`declaration` names the source of each variable of .env.example: a hint next to it, or its name. `document` is a
.env file byte for byte, `environments` compares the files, `initialise` fills them with values of the operator's
generators, and `render` passes them on or declares them in a manifest.

`Refused` is raised wherever something cannot be read, generated or written; then no file was changed. No sentence,
exception or printed line holds a value.

Imports: `generators`, `runtime`, `core`, `api`.
"""
