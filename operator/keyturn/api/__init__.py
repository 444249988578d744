"""What users write and read: the kinds of group keyturn.dev, version v1alpha1, and nothing else."""

from .managedsecret import ManagedSecret
from .recipe import Recipe
from .secretclass import SecretClass

__all__ = ["GROUP", "VERSION", "ManagedSecret", "Recipe", "SecretClass"]

GROUP = "keyturn.dev"
VERSION = "v1alpha1"
