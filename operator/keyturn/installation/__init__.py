"""What an installation consists of, and checks of a cluster against it.

Packages
    crds     CRDs and their reference, generated from the models of `api`, generators and providers
    checks   `keyturn check`, and the checks of the operator at its start: rights, schemas, clocks, versions

Imports: `kube`, `stores`, `generators`, `runtime`, `core`, `api`.
"""
