"""Converts the providers of External Secrets, one module each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .aws import aws
from .azure import azure
from .gcp import gcp
from .kubernetes import kubernetes
from .store import Store
from .vault import vault
from .webhook import webhook

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keyturn.offline.convert.strict_reader import StrictReader

__all__ = ["PROVIDERS", "Store"]

PROVIDERS: Final[Mapping[str, Callable[[StrictReader, Store], dict[str, Any] | None]]] = {
    "aws": aws,
    "azurekv": azure,
    "gcpsm": gcp,
    "kubernetes": kubernetes,
    "vault": vault,
    "webhook": webhook,
}
