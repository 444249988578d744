"""Output of an account of a database: a ManagedSecret with `database`, and a DatabaseTarget for its server."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from keyturn.api import API_VERSION

from .findings import Report

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["REFUSED", "Made", "ReportOn", "account", "managed_secret", "report_refused", "target"]

Made: TypeAlias = tuple[Report, dict[str, Any]]
"""An object with the findings that stand above it."""
ReportOn: TypeAlias = Callable[[str], Report]
"""Begins a report on a part of the document, such as ` role shop_app`; empty for the whole document."""

REFUSED: Final = ("superuser", "replication", "bypassrls", "createrole")
"""Attributes of roles that no account may have."""
_ADOPTED: Final = {"adopt": "IfUnowned"}
_LENGTH: Final = 40


def account(secret: str, namespace: str, server: str, username: str) -> dict[str, Any]:
    """Return the ManagedSecret that adopts the Secret of an account."""
    return managed_secret(_named(secret, namespace), _ADOPTED, server, username)


def managed_secret(
    metadata: Mapping[str, Any], shape: Mapping[str, Any], server: str, username: str, **others: Any
) -> dict[str, Any]:
    """Return a ManagedSecret whose password belongs to an account of a server."""
    spec = {
        "target": dict(shape),
        "data": [{"name": "password", "generate": {"password": {"length": _LENGTH}}}],
        "database": {"targetRef": {"name": server}, "username": username},
        **others,
    }
    return {"apiVersion": API_VERSION, "kind": "ManagedSecret", "metadata": dict(metadata), "spec": spec}


def target(name: str, namespace: str, server: Mapping[str, Any], admin: str) -> dict[str, Any]:
    """Return the DatabaseTarget of a PostgreSQL server, with the Secret of its admin."""
    spec = {"postgresql": dict(server), "adminCredentials": {"secretRef": {"name": admin}}}
    return {
        "apiVersion": API_VERSION,
        "kind": "DatabaseTarget",
        "metadata": _named(name, namespace),
        "spec": spec,
    }


def report_refused(report: Report, path: str, attributes: Iterable[str]) -> None:
    what = f"has {', '.join(attributes)}, as no account of an application has, and is left out"
    report.lost(path, what, "give the application a role without it")


def _named(name: str, namespace: str) -> dict[str, str]:
    return {"name": name, **({"namespace": namespace} if namespace else {})}
