"""Converts the roles of a Cluster of CloudNativePG that have a password in a Secret.

Sources: CRD `clusters.postgresql.cnpg.io` v1, `spec.managed.roles`; its defaults, `api/v1/cluster_defaults.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyturn.api.database import CNPG_RELOAD

from .accounts import REFUSED, account, report_refused, target
from .inputs import name_of, namespace_of
from .strict_reader import StrictReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .accounts import Made, ReportOn
    from .inputs import Body

__all__ = ["CLOUDNATIVEPG", "cluster"]

CLOUDNATIVEPG: Final = "postgresql.cnpg.io"
_DEFAULT_DATABASE: Final = "app"


def cluster(body: Body, report_on: ReportOn) -> list[Made]:
    """Convert the roles with a password."""
    report, name, namespace = report_on(""), name_of(body), namespace_of(body)
    spec = StrictReader(body.get("spec"), "spec", report)
    roles = spec.part("managed").parts("roles")
    made = [
        one for role in roles if "passwordSecret" in role for one in _role(role, name, namespace, report_on)
    ]
    if not made:
        return []
    admin = spec.part("superuserSecret").text("name") or f"{name}-superuser"
    if spec.flag("enableSuperuserAccess") is not True:
        report.lost(
            "spec.enableSuperuserAccess",
            f"is not true, so the target cannot log in with the Secret {admin}",
            "write true, or the Secret of a role with CREATEROLE under adminCredentials",
        )
    authority = spec.part("certificates").text("serverCASecret") or f"{name}-ca"
    server = {"host": f"{name}-rw", "database": _database(spec), "tls": {"caRef": {"name": authority}}}
    return [(report, target(name, namespace, server, admin)), *made]


def _database(spec: StrictReader) -> str:
    """Return the database of the application."""
    bootstrap = spec.part("bootstrap")
    for method in ("recovery", "pg_basebackup", "initdb"):
        if written := bootstrap.part(method).text("database"):
            return written
    if bootstrap.part("initdb").part("import").text("type") == "monolith":
        spec.report.lost(
            bootstrap.part("initdb").at("import"),
            f"brings several databases, of which none is the default; {_DEFAULT_DATABASE} is written",
            "write the database to connect to",
        )
    return _DEFAULT_DATABASE


def _role(listed: StrictReader, server: str, namespace: str, report_on: ReportOn) -> Iterator[Made]:
    username = listed.text("name") or ""
    report = report_on(f" role {username}")
    role = listed.reported_in(report)
    role.ignore("name")
    secret = role.part("passwordSecret").text("name") or ""
    logs_in, is_there = role.flag("login"), role.text("ensure") != "absent"
    refused = [name for name in REFUSED if role.flag(name)]
    for name in ("comment", "connectionLimit", "createdb", "inRoles", "inherit"):
        role.changed(name, "stays with the role, to which both logins belong")
    role.lost("validUntil", "ends the password at a date", "write rotation.every")
    role.lost("disablePassword", "removes the password", "remove it")
    role.report_unread()
    if refused:
        report_refused(report, role.path, refused)
    elif not (logs_in and is_there):
        report.lost(role.path, "does not log in, and is left out", "keep it where it is")
    else:
        report.lost(
            role.path,
            "gets the password of its Secret from CloudNativePG again at each promotion",
            f"remove it from spec.managed.roles first, then the label {CNPG_RELOAD} from its Secret; the role stays"
            " in the database",
        )
        yield report, account(secret, namespace, server, username)
