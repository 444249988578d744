"""What users write and read: the kinds of group keyturn.dev, version v1alpha1, and nothing else."""

from .emergency import EmergencyRotation
from .managedsecret import ManagedSecret
from .recipe import Recipe
from .secretclass import SecretClass
from .secretstore import ClusterSecretStore, ProviderChoice, SecretStore

__all__ = [
    "GROUP",
    "VERSION",
    "ClusterSecretStore",
    "EmergencyRotation",
    "ManagedSecret",
    "ProviderChoice",
    "Recipe",
    "SecretClass",
    "SecretStore",
]

GROUP = "keyturn.dev"
VERSION = "v1alpha1"
