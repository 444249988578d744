"""Converts a VaultDynamicSecret of the Vault Secrets Operator that reads a static role.

Source: CRD `vaultdynamicsecrets.secrets.hashicorp.com` v1beta1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .accounts import managed_secret
from .inputs import name_of
from .metadata import kept, pass_over
from .strict_reader import StrictReader

if TYPE_CHECKING:
    from .accounts import Made, ReportOn
    from .inputs import Body

__all__ = ["VAULT_OPERATOR", "vault_dynamic_secret"]

VAULT_OPERATOR: Final = "secrets.hashicorp.com"
_STATIC: Final = "static-creds/"


def vault_dynamic_secret(body: Body, report_on: ReportOn) -> list[Made]:
    """Convert the Secret of a static role."""
    report = report_on("")
    document = StrictReader(body, "", report)
    pass_over(document)
    metadata = kept(document.part("metadata"))
    spec = document.part("spec")
    path, mount = spec.text("path") or "", spec.text("mount") or ""
    for name in ("allowStaticCreds", "refreshAfter", "renewalPercent", "revoke", "requestHTTPMethod"):
        spec.changed(name, "is left out: Keyturn rotates the password, and Vault no longer has it")
    spec.changed("vaultAuthRef", "is left out: the DatabaseTarget has its own login")
    spec.changed("namespace", "is left out, being that of Vault")
    rollout = _restarts(spec)
    shape = _destination(spec.part("destination"), metadata.get("name", ""))
    document.report_unread()
    if not path.startswith(_STATIC):
        report.lost(
            "spec.path",
            f"has {mount}/{path}, no static role, and is left out; the Secret is {shape.get('name', name_of(body))}",
            "read a dynamic credential by a SecretStore of Vault (docs/stores/vault.md)",
        )
        return []
    role = path.removeprefix(_STATIC)
    report.lost(
        "spec.path",
        f"names the role {role}, of which only Vault knows server and username",
        f"read {mount}/static-roles/{role}; write username, a DatabaseTarget {mount}, and delete the role in Vault",
    )
    return [(report, managed_secret(metadata, shape, mount, role, **rollout))]


def _destination(destination: StrictReader, name: str) -> dict[str, Any]:
    target: dict[str, Any] = {}
    if (written := destination.text("name")) and written != name:
        target["name"] = written
    target["adopt"] = "IfUnowned"
    dress = {part: found for part in ("labels", "annotations") if (found := destination.texts_by_name(part))}
    if dress:
        target["template"] = {"metadata": dress}
    destination.changed("create", "is left out: the Secret is adopted, or created")
    destination.changed("overwrite", "is left out: the Secret is adopted only if it has no owner")
    destination.lost("transformation", "is a template in Go", "write target.template.data in Liquid")
    destination.lost_unless("Opaque", "type", "is left out", "write target.type")
    return target


def _restarts(spec: StrictReader) -> dict[str, Any]:
    targets = [
        {"kind": one.text("kind") or "", "name": one.text("name") or ""}
        for one in spec.parts("rolloutRestartTargets")
    ]
    return {"rollout": {"restart": "Listed", "targets": targets}} if targets else {}
