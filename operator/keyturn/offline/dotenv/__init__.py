"""The same declarations without a cluster: .env files for laptops, secrets for compose, manifests for Kubernetes.

A `Document` is a .env file byte for byte. A `Declaration` says where each variable's value comes from: a hint beside
it in .env.example, its name, or a ManagedSecret. `making` makes what is missing with the operator's own generators
and templates. `environments` has the files beside each other, `initialise` fills them, the renderers write them on.

Nothing here speaks to an API server, and no sentence, no exception and no printed line holds a value.
"""
