"""Point 5: reads of Secrets are logged."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, ClassVar

from keyturn.checklist.probe import Probe
from keyturn.core.policy.encryption import samples
from keyturn.core.policy.findings import Finding, Point, Verdict
from keyturn.kube import errors

from .base import PointCheck

if TYPE_CHECKING:
    from .base import Checked

__all__ = ["AccessLogged", "judged"]

_EVENTS = "apiserver_audit_event_total"
_POLICY = (
    "give the API server an --audit-policy-file that has a rule of level Metadata for secrets,"
    " and a log or a webhook"
)


def judged(metrics: str) -> list[Finding]:
    """Judge by the API server's audit metrics; only a probe shows that they include reads of Secrets."""
    events = sum(one.value for one in samples(metrics, _EVENTS))
    if not events:
        return [
            Finding(
                Point.ACCESS_LOG, Verdict.FAIL, "the API server that answered writes no audit event", _POLICY
            )
        ]
    return [
        Finding(
            Point.ACCESS_LOG,
            Verdict.UNKNOWN,
            "the API server writes audit events; that reads of Secrets are among them is not proven",
            "let Keyturn take the audit events, as docs/access.md has it; or read a Secret and look for that in the"
            " audit log, and if it is not there, " + _POLICY,
        )
    ]


class AccessLogged(PointCheck):
    """Judges by a probe, or by the metrics of the API server."""

    kind: ClassVar[str] = Point.ACCESS_LOG

    async def find(self, checked: Checked) -> list[Finding]:
        with contextlib.suppress(errors.Forbidden, errors.Unavailable):  # the metrics alone can tell then
            declared = await checked.facts.list_declared()
            found = await Probe(checked.facts, checked.operator_namespace, checked.tell).findings(declared)
            if found:
                return found
        return judged(await checked.facts.metrics())
