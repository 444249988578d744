"""What works without a cluster: .env files, and conversion of manifests.

Packages
    dotenv    strong values in .env files, rendered for compose, shells and Kubernetes
    convert   manifests of External Secrets and mittwald to ManagedSecrets

Both start fast: they import neither a client of Kubernetes nor the controllers.

Imports: `generators`, `runtime`, `core`, `api`.
"""
