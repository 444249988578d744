"""Converts the users of a PostgreSQL cluster of Zalando's operator.

Source: CRD `postgresqls.acid.zalan.do` v1, `spec.users`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from keyturn.api.database import OF_SPILO

from .accounts import REFUSED, account, report_refused, target
from .inputs import name_of, namespace_of
from .strict_reader import StrictReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .accounts import Made, ReportOn
    from .findings import Report
    from .inputs import Body

__all__ = ["ZALANDO", "postgresql"]

ZALANDO: Final = "acid.zalan.do"
_SECRET: Final = "{user}.{cluster}.credentials.postgresql.acid.zalan.do"  # noqa: S105  # a name
_DEFAULT_DATABASE: Final = "postgres"


def postgresql(body: Body, report_on: ReportOn) -> list[Made]:
    """Convert the users that are accounts of applications."""
    report, name, namespace = report_on(""), name_of(body), namespace_of(body)
    spec = StrictReader(body.get("spec"), "spec", report)
    owners, users = spec.texts_by_name("databases"), spec.part("users")
    made = [one for user in users.names() for one in _user(user, users, name, namespace, report_on)]
    if not made:
        return []
    database = next((one for one, owner in owners.items() if owner in users.names()), _DEFAULT_DATABASE)
    server = {"host": name, "database": database, "tls": _tls(spec.part("tls"), report)}
    admin = _SECRET.format(user="postgres", cluster=name)
    return [(report, target(name, namespace, server, admin)), *made]


def _user(name: str, users: StrictReader, server: str, namespace: str, report_on: ReportOn) -> Iterator[Made]:
    report, path = report_on(f" user {name}"), users.at(name)
    flags = {flag.lower() for flag in users.texts(name)}
    if refused := sorted(flags & {*REFUSED, "nologin"}):
        report_refused(report, path, refused)
        return
    if flags:
        report.changed(path, f"keeps {', '.join(sorted(flags))}, as both logins belong to it")
    report.lost(
        path,
        "gets the password of its Secret from Zalando's operator",
        f"remove it from spec.users first, then the label {OF_SPILO[0]} from its Secret; the role stays in the"
        " database",
    )
    # Names of Secrets have no underscore (Zalando's operator, credentialSecretNameForCluster).
    secret = _SECRET.format(user=name.replace("_", "-"), cluster=server)
    yield report, account(secret, namespace, server, name)


def _tls(tls: StrictReader, report: Report) -> dict[str, Any]:
    secret, authority, file = tls.text("secretName"), tls.text("caSecretName"), tls.text("caFile")
    if secret is None:
        report.lost(
            "spec.tls",
            "has no secretName: the server signs its certificate itself, which verify-full refuses",
            "give the cluster a certificate, and write its authority in tls.caRef",
        )
        return {}
    key = {"key": file.rpartition("/")[2]} if file else {}
    return {"caRef": {"name": authority or secret, **key}}
