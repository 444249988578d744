"""Models of the custom resources of group keyturn.dev, version v1alpha1.

A model describes what users write and what the status shows, and nothing else: docstrings of fields become
`kubectl explain`, annotations become the schema of the CRD, and `contradictions` become CEL rules.

Kinds
    ManagedSecret, SecretClass, SecretStore, ClusterSecretStore, DatabaseTarget, ClusterDatabaseTarget,
    EmergencyRotation

Modules
    managedsecret, secretclass, secretstore, databasetarget, emergency   one kind each
    target, source, rotation, account                    parts of a ManagedSecret's spec
    status, meta                                         what the operator writes and reads of an object
    base                                                 building blocks
    contradictions                                       CEL rules over several fields

Imports: nothing of Keyturn. Every other package may import `api`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import Recipe
    from .databasetarget import ClusterDatabaseTarget, DatabaseTarget
    from .emergency import EmergencyRotation
    from .managedsecret import ManagedSecret
    from .secretclass import SecretClass
    from .secretstore import ClusterSecretStore, ProviderChoice, SecretStore

__all__ = [
    "API_VERSION",
    "GROUP",
    "NEVER_OBSERVED",
    "NEVER_RECONCILED",
    "VERSION",
    "ClusterDatabaseTarget",
    "ClusterSecretStore",
    "DatabaseTarget",
    "EmergencyRotation",
    "ManagedSecret",
    "ProviderChoice",
    "Recipe",
    "SecretClass",
    "SecretStore",
]

GROUP = "keyturn.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
NEVER_OBSERVED = -1
"""Default of `observedGeneration` in the CRD: kstatus does not take an object for ready before its first reconcile.
"""
NEVER_RECONCILED = "1970-01-01T00:00:00Z"
"""`lastTransitionTime` of the condition that the CRD sets as default; a schema holds constants only."""

_HOMES = {
    "ClusterDatabaseTarget": "databasetarget",
    "ClusterSecretStore": "secretstore",
    "DatabaseTarget": "databasetarget",
    "EmergencyRotation": "emergency",
    "ManagedSecret": "managedsecret",
    "ProviderChoice": "secretstore",
    "Recipe": "base",
    "SecretClass": "secretclass",
    "SecretStore": "secretstore",
}


def __getattr__(name: str) -> Any:
    """Import a kind when it is used: a command of the command line reads one or two."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
