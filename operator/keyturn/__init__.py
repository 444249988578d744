"""A Kubernetes operator that owns the whole life of a secret."""

__version__ = "0.1.0"
